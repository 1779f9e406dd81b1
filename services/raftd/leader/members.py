"""Gossip members as the leader's duties see them (tags: Consul 1.7, agent/metadata/server.go)."""

import re
from dataclasses import dataclass, field
from enum import IntEnum

from lictor.pb.lictor.v1 import gossip_pb2

_BUILD_VERSION = re.compile(r"\d+\.\d+\.\d+[^:]*")


class Status(IntEnum):
    """A member's state, as Serf numbers it."""

    ALIVE = 1
    LEAVING = 2
    LEFT = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class ServerTags:
    """What a server says of itself."""

    id: str
    address: str
    """host:port of its server RPC."""
    port: int
    version: str
    raft_version: str
    bootstrap: bool
    expect: int
    nonvoter: bool
    use_tls: bool = False


@dataclass(frozen=True, slots=True)
class LanMember:
    """One member of the LAN pool; `server` is None for client agents and strangers."""

    name: str
    address: str
    status: Status
    id: str
    datacenter: str
    role: str
    server: ServerTags | None = None
    protocol: tuple[int, int, int] = field(default=(0, 0, 0))
    """Gossip protocol: minimum, maximum, current."""

    @property
    def is_ours(self) -> bool:
        """Whether it is an agent at all: others in the pool are tolerated and ignored."""
        return self.role in ("consul", "node")


def from_message(message: gossip_pb2.Member) -> LanMember:
    """A member as gossipd tells it."""
    tags = dict(message.tags)
    return LanMember(
        name=message.name,
        address=message.address,
        status=Status(message.status or Status.FAILED),
        id=tags.get("id", ""),
        datacenter=tags.get("dc", ""),
        role=tags.get("role", ""),
        server=_server_tags(message.address, tags),
        protocol=(message.protocol_min, message.protocol_max, message.protocol_cur),
    )


def _server_tags(address: str, tags: dict[str, str]) -> ServerTags | None:
    """None unless the tags are a whole server's."""
    build = _BUILD_VERSION.match(tags.get("build", ""))
    if tags.get("role") != "consul" or build is None:
        return None
    try:
        port, expect = int(tags.get("port", "")), int(tags.get("expect", "0"))
    except ValueError:
        return None
    host = f"[{address}]" if ":" in address else address
    return ServerTags(
        id=tags.get("id", ""),
        address=f"{host}:{port}",
        port=port,
        version=build.group(),
        raft_version=tags.get("raft_vsn", "2"),
        bootstrap="bootstrap" in tags,
        expect=expect,
        nonvoter="nonvoter" in tags,
        use_tls="use_tls" in tags,
    )


def describe(member: LanMember) -> str:
    """A server as Consul's log lines name it."""
    assert member.server is not None
    return f"{member.name} (Addr: tcp/{member.server.address}) (DC: {member.datacenter})"
