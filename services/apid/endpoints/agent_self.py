"""/v1/agent/self and /v1/agent/members: what this agent is, and whom it knows (Consul 1.7: agent_endpoint.go)."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import threading
import time
from typing import Any

import grpc
import msgspec

from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, BadRequest, Forbidden, HttpError
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints.debug_config import debug_config
from apid.node.context import Node
from apid.node.reading import json_response
from apid.node.rounds import Rounds
from lictor.config.runtime import RuntimeConfig
from lictor.pb.lictor.v1 import gossip_pb2, raft_pb2
from lictor.rpc import DaemonNotRunning
from lictor.state.gotext import quote
from lictor.version import BUILD

# The answer goes out with what came back in this time.
PARTS_TIMEOUT_S = 0.3
# It is asked first of all, before everything runs: for a while after the start no part is waited for longer than this.
STARTING_S = 2.0
STARTING_TIMEOUT_S = 0.05
# A coordinate moves with gossip's probes, once a second.
COORDINATE_AGE_S = 0.5
COORDINATE_DIMENSIONS = 8
INITIAL_ERROR = 1.5
INITIAL_HEIGHT = 1e-05
# As Go calls them.
GO_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}
RAFT_STATES = {"leader": "Leader", "follower": "Follower", "candidate": "Candidate", "shutdown": "Shutdown"}


class AgentSelfEndpoints:
    """The agent's own description."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._started_s = time.monotonic()
        self._rounds = Rounds(self._describe)
        self._shown_config: RuntimeConfig | None = None
        self._shown = msgspec.Raw(b"null")
        self._known_coordinate: dict[str, Any] | None = None
        self._coordinate_until_s = 0.0

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/agent/self",
                {
                    "GET": Operation(
                        self.describe,
                        "Configuration, member record and statistics of this agent",
                        result={"type": "object"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            ),
            Route(
                "/v1/agent/members",
                {
                    "GET": Operation(
                        self.members,
                        "The members of the LAN pool, or with wan of the WAN pool",
                        query=("wan", "segment"),
                        result={"type": "array", "items": {"type": "object"}},
                        responses={400: "A segment of the WAN pool"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            ),
        ]

    async def describe(self, request: Request) -> Response:
        if not self._node.authorizer(request).agent_read(self._node.config.node_name):
            raise Forbidden(PERMISSION_DENIED)
        return json_response(await self._rounds.ask())

    async def _describe(self) -> bytes:
        """The body, for everybody who asked before it was begun."""
        config = self._node.config
        raft, gossip, coordinate = await asyncio.gather(self._raft(), self._gossip_stats(), self._coordinate())
        answer = {
            "Config": {
                "Datacenter": config.datacenter,
                "NodeName": config.node_name,
                "NodeID": config.node_id,
                "Revision": config.revision,
                "Server": config.server_mode,
                "Version": config.version,
            },
            "DebugConfig": self._debug_config(),
            "Coord": coordinate,
            "Member": self._own_member(),
            "Stats": self._stats(raft, gossip),
            "Meta": dict(config.node_meta) | {"consul-network-segment": ""},
        }
        return to_json(answer)

    def _debug_config(self) -> msgspec.Raw:
        """Encoded once for each configuration: a reload brings another object."""
        config = self._node.config
        if self._shown_config is not config:
            self._shown_config, self._shown = config, msgspec.Raw(to_json(debug_config(config)))
        return self._shown

    async def members(self, request: Request) -> Response:
        wan = bool(request.get("wan"))
        if segment := request.get("segment"):
            if wan and segment != "_all":
                raise BadRequest("Cannot provide a segment with wan=true")
            if segment != "_all":
                if not self._node.config.server_mode:
                    raise HttpError(f"segment {quote(segment)} not found")
                raise HttpError("Network segments are not supported in this version of Consul")
        authorizer = self._node.authorizer(request)
        if wan and not self._node.config.server_mode:
            return json_response(b"null")
        pool = self._node.gossip.wan if wan else self._node.gossip.lan
        await pool.told()
        found = [member_dict(member) for member in pool.members.values() if authorizer.node_read(member.name)]
        return json_response(to_json(found))

    def _own_member(self) -> dict[str, Any]:
        """Our record in the LAN pool; before gossipd tells, what it will be."""
        config = self._node.config
        known = self._node.gossip.lan.members.get(config.node_name)
        if known is not None:
            return member_dict(known)
        lan = config.gossip_lan
        own = gossip_pb2.Member(
            name=config.node_name,
            address=lan.advertise_addr,
            port=lan.advertise_port,
            tags={"dc": config.datacenter, "id": config.node_id, "role": "consul" if config.server_mode else "node"},
            status=gossip_pb2.MEMBER_STATUS_ALIVE,
            protocol_min=1,
            protocol_max=5,
            protocol_cur=2,
            delegate_min=2,
            delegate_max=5,
            delegate_cur=4,
        )
        return member_dict(own)

    def _parts_timeout_s(self) -> float:
        return STARTING_TIMEOUT_S if time.monotonic() - self._started_s < STARTING_S else PARTS_TIMEOUT_S

    async def _raft(self) -> raft_pb2.StatusResponse | None:
        if not self._node.config.server_mode:
            return None
        try:
            async with asyncio.timeout(self._parts_timeout_s()):
                return await self._node.consensus.status()
        except (DaemonNotRunning, grpc.aio.AioRpcError, TimeoutError):
            return raft_pb2.StatusResponse()

    async def _gossip_stats(self) -> gossip_pb2.StatsResponse:
        try:
            async with asyncio.timeout(self._parts_timeout_s()):
                gossip = self._node.gossip
                answer: gossip_pb2.StatsResponse = await gossip.stub().Stats(
                    gossip_pb2.StatsRequest(), metadata=gossip.metadata
                )
                return answer
        except (HttpError, grpc.aio.AioRpcError, TimeoutError):
            return gossip_pb2.StatsResponse()

    async def _coordinate(self) -> dict[str, Any] | None:
        if self._node.config.coordinates.disabled:
            return None
        if time.monotonic() < self._coordinate_until_s:
            return self._known_coordinate
        found = gossip_pb2.Coordinate(
            vec=[0.0] * COORDINATE_DIMENSIONS, error=INITIAL_ERROR, adjustment=0.0, height=INITIAL_HEIGHT
        )
        try:
            async with asyncio.timeout(self._parts_timeout_s()):
                gossip = self._node.gossip
                request = gossip_pb2.CoordinatesRequest(pool=gossip_pb2.POOL_LAN, local_only=True)
                answer = await gossip.stub().Coordinates(request, metadata=gossip.metadata)
                if answer.nodes:
                    found = answer.nodes[0].coordinate
                    self._coordinate_until_s = time.monotonic() + COORDINATE_AGE_S
        except (HttpError, grpc.aio.AioRpcError, TimeoutError):
            pass
        self._known_coordinate = coordinate_dict(found)
        return self._known_coordinate

    def _stats(
        self, raft: raft_pb2.StatusResponse | None, gossip: gossip_pb2.StatsResponse
    ) -> dict[str, dict[str, str]]:
        node, config = self._node, self._node.config
        checks = node.local.checks.values()
        ttl_checks = sum(check.get("Type") == "ttl" for check in checks)
        stats: dict[str, dict[str, str]] = {
            "agent": {
                "check_monitors": str(sum(check.get("Type") == "script" for check in checks)),
                "check_ttls": str(ttl_checks),
                "checks": str(len(checks)),
                "services": str(len(node.local.services)),
            },
            "build": {"prerelease": "", "revision": config.revision, "version": config.version},
        }
        acl = "enabled" if config.acl.enabled else "disabled"
        if raft is None:
            servers = len(node.gossip.lan.alive_servers(config.datacenter))
            stats["consul"] = {"acl": acl, "known_servers": str(servers), "server": "false"}
        else:
            datacenters = node.gossip.wan.datacenters() | {config.datacenter}
            stats["consul"] = {
                "acl": acl,
                "bootstrap": _bool(config.bootstrap or config.bootstrap_expect == 1),
                "known_datacenters": str(len(datacenters)),
                "leader": _bool(raft.state == "leader"),
                "leader_addr": raft.leader_address,
                "server": "true",
            }
            stats["raft"] = _raft_stats(raft)
        stats["runtime"] = {
            "arch": GO_MACHINES.get(os.uname().machine, os.uname().machine),
            "cpu_count": str(len(_cpus())),
            "goroutines": str(threading.active_count()),
            "max_procs": str(len(_cpus())),
            "max_rss_kb": str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss),
            "os": sys.platform,
            "version": f"python{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}",
            "build": BUILD,
        }
        stats["serf_lan"] = dict(gossip.lan)
        if raft is not None:
            stats["serf_wan"] = dict(gossip.wan)
        return stats


def _cpus() -> set[int]:
    return os.sched_getaffinity(0)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _raft_stats(raft: raft_pb2.StatusResponse) -> dict[str, str]:
    if raft.last_contact_ms < 0:
        contact = "never"
    elif raft.state == "leader":
        contact = "0"
    else:
        contact = f"{raft.last_contact_ms}ms"
    voters = sum(server.voter for server in raft.servers)
    return {
        "applied_index": str(raft.applied_index),
        "commit_index": str(raft.commit_index),
        "fsm_pending": "0",
        "last_contact": contact,
        "last_log_index": str(raft.last_log_index),
        "last_log_term": str(raft.last_log_term),
        "last_snapshot_index": str(raft.last_snapshot_index),
        "last_snapshot_term": str(raft.last_snapshot_term),
        "latest_configuration": f"[{' '.join(_server_stats(server) for server in raft.servers)}]",
        "latest_configuration_index": str(raft.configuration_index),
        "num_peers": str(max(voters - 1, 0)),
        "protocol_version": "3",
        "protocol_version_max": "3",
        "protocol_version_min": "0",
        "snapshot_version_max": "1",
        "snapshot_version_min": "0",
        "state": RAFT_STATES.get(raft.state, "Follower"),
        "term": str(raft.term),
    }


def _server_stats(server: raft_pb2.RaftServer) -> str:
    return f"{{Suffrage:{'Voter' if server.voter else 'Nonvoter'} ID:{server.id} Address:{server.address}}}"


def member_dict(member: gossip_pb2.Member) -> dict[str, Any]:
    """A member as the HTTP API shows it; tags of our own stay inside."""
    return {
        "Name": member.name,
        "Addr": member.address,
        "Port": member.port,
        "Tags": {key: value for key, value in sorted(member.tags.items()) if not key.startswith("lictor_")},
        "Status": member.status,
        "ProtocolMin": member.protocol_min,
        "ProtocolMax": member.protocol_max,
        "ProtocolCur": member.protocol_cur,
        "DelegateMin": member.delegate_min,
        "DelegateMax": member.delegate_max,
        "DelegateCur": member.delegate_cur,
    }


def coordinate_dict(coordinate: gossip_pb2.Coordinate) -> dict[str, Any]:
    """A coordinate as the HTTP API shows it: whole numbers without a point."""
    return {
        "Vec": [go_number(part) for part in coordinate.vec],
        "Error": go_number(coordinate.error),
        "Adjustment": go_number(coordinate.adjustment),
        "Height": go_number(coordinate.height),
    }


def go_number(value: float) -> float | int:
    """A float as Go's JSON writes it."""
    return int(value) if value.is_integer() and abs(value) < 1e21 else value
