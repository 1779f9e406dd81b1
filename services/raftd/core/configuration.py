"""Who is in the cluster: servers, their addresses, and who may vote (Raft dissertation 4)."""

import json
from dataclasses import dataclass
from enum import StrEnum

from raftd.core.errors import CorruptConfigurationError


@dataclass(frozen=True, slots=True)
class Server:
    """One member. `id` is the node's UUID, `address` ip:port of its server RPC."""

    id: str
    address: str
    voter: bool = True


@dataclass(frozen=True, slots=True)
class Configuration:
    """A set of servers, ordered by id so that equal sets encode to equal bytes. Ids are unique."""

    servers: tuple[Server, ...] = ()

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.servers, key=lambda server: server.id))
        object.__setattr__(self, "servers", ordered)
        assert len({server.id for server in ordered}) == len(ordered), f"server id twice in {ordered}"

    @property
    def voters(self) -> tuple[str, ...]:
        """Ids of those whose votes and acknowledgements count."""
        return tuple(server.id for server in self.servers if server.voter)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all, voters or not."""
        return tuple(server.id for server in self.servers)

    def get(self, server_id: str) -> Server | None:
        """The server with this id, if it is a member."""
        return next((server for server in self.servers if server.id == server_id), None)

    def is_voter(self, server_id: str) -> bool:
        """Whether this id is a voting member."""
        server = self.get(server_id)
        return server is not None and server.voter

    def encode(self) -> bytes:
        """The bytes of a CONFIGURATION entry (JSON, so that tools can show it)."""
        rows = [{"id": s.id, "address": s.address, "voter": s.voter} for s in self.servers]
        return json.dumps({"servers": rows}, separators=(",", ":")).encode()

    @staticmethod
    def decode(data: bytes) -> "Configuration":
        """The inverse of `encode`. Raises `CorruptConfigurationError`."""
        try:
            rows = json.loads(data)["servers"]
            servers = tuple(Server(str(r["id"]), str(r["address"]), bool(r["voter"])) for r in rows)
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptConfigurationError(f"configuration entry cannot be read: {error!r}") from error
        if len({server.id for server in servers}) != len(servers):
            raise CorruptConfigurationError("configuration entry names a server twice")
        return Configuration(servers)


class ChangeKind(StrEnum):
    """The single-server changes (dissertation 4.1)."""

    ADD_VOTER = "add-voter"
    """Add as a voter, promote a non-voter, or give a voter a new address."""
    ADD_NONVOTER = "add-nonvoter"
    """Add without a vote; for a member: only its address changes."""
    DEMOTE = "demote"
    """Take the vote away."""
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """One change to one server. `address` is used by the two ADD kinds only."""

    kind: ChangeKind
    server_id: str
    address: str = ""
