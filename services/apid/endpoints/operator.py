"""/v1/operator/: Raft's configuration and autopilot (Consul 1.7: operator_endpoint.go)."""

from __future__ import annotations

from typing import Any

from apid.core.decoding import BOOL, DURATION, INT, TEXT, UINT64, DecodeError, Struct, decode
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden, NotFound, PrefixedBadRequest
from apid.core.message import JSON, Request, Response
from apid.core.parameters import parse_uint
from apid.core.routes import Operation, Route
from apid.node.context import Node
from apid.node.reading import json_response
from lictor.state import commands, render
from lictor.state.queries import operator
from lictor.state.rows import AutopilotConfig

UNKNOWN_NODE = "(unknown)"
RAFT_PROTOCOL = "3"
AUTOPILOT = Struct(
    "AutopilotConfiguration",
    {
        "CleanupDeadServers": BOOL,
        "LastContactThreshold": DURATION,
        "MaxTrailingLogs": UINT64,
        "MinQuorum": INT,
        "ServerStabilizationTime": DURATION,
        "RedundancyZoneTag": TEXT,
        "DisableUpgradeMigration": BOOL,
        "UpgradeVersionTag": TEXT,
        "CreateIndex": UINT64,
        "ModifyIndex": UINT64,
    },
)


class OperatorEndpoints:
    """For those who run the cluster."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/operator/raft/configuration",
                {
                    "GET": Operation(
                        self.raft_configuration,
                        "Raft's servers",
                        query=("dc", "stale"),
                        result={"type": "object"},
                        responses={400: "A malformed parameter"},
                        namespaced=False,
                    )
                },
            ),
            Route(
                "/v1/operator/raft/peer",
                {
                    "DELETE": Operation(
                        self.remove_peer,
                        "Take a server out of Raft's configuration",
                        query=("dc", "id", "address"),
                        responses={400: "Neither or both of id and address"},
                        namespaced=False,
                    )
                },
            ),
            Route(
                "/v1/operator/autopilot/configuration",
                {
                    "GET": Operation(
                        self.autopilot,
                        "Autopilot's settings",
                        query=("dc", "stale"),
                        result={"type": "object"},
                        responses={400: "A malformed parameter"},
                        namespaced=False,
                    ),
                    "PUT": Operation(
                        self.set_autopilot,
                        "Replace autopilot's settings; what is left out is zero",
                        query=("dc", "cas"),
                        body=AUTOPILOT,
                        result={"type": "boolean"},
                        responses={400: "A malformed body or cas"},
                        namespaced=False,
                    ),
                },
            ),
            Route(
                "/v1/operator/autopilot/health",
                {
                    "GET": Operation(
                        self.autopilot_health,
                        "The servers' health as autopilot sees it",
                        query=("dc",),
                        result={"type": "object"},
                        responses={400: "A malformed parameter", 429: "Not healthy; the body is the same"},
                        json_statuses=(429,),
                        namespaced=False,
                    )
                },
            ),
        ]

    # ------------------------------------------------------------------------------------------------------ Raft

    async def raft_configuration(self, request: Request) -> Response:
        self._node.reads.parse(request)
        self._require_read(request)
        found = await self._node.consensus.call("raft.configuration", None, local=request.has("stale"))
        names = {member.tags.get("id", ""): member.name for member in self._node.gossip.lan.alive_servers()} | {
            member.tags.get("id", ""): member.name for member in self._node.gossip.lan.members.values()
        }
        servers = [
            {
                "ID": server["id"],
                "Node": names.get(server["id"], UNKNOWN_NODE),
                "Address": server["address"],
                "Leader": server["leader"],
                "ProtocolVersion": RAFT_PROTOCOL,
                "Voter": server["voter"],
            }
            for server in found["servers"]
        ]
        return json_response(to_json({"Servers": servers, "Index": 0}))

    async def remove_peer(self, request: Request) -> Response:
        has_id, has_address = request.has("id"), request.has("address")
        if not has_id and not has_address:
            raise PrefixedBadRequest(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"
            )
        if has_id and has_address:
            raise PrefixedBadRequest("Must specify only one of ?id or ?address")
        self._require_write(request)
        body = {"id": request.get("id")} if has_id else {"address": request.get("address")}
        await self._node.consensus.call("raft.remove_peer", body)
        return Response(200)

    # ------------------------------------------------------------------------------------------------- autopilot

    async def autopilot(self, request: Request) -> Response:
        options = self._node.reads.parse(request)
        self._require_read(request)
        found, _, _ = await self._node.reads.run(operator.autopilot, options)
        if found.value is None:
            raise NotFound("autopilot config not found")
        return json_response(render.autopilot(found.value))

    async def set_autopilot(self, request: Request) -> Response:
        try:
            fields = decode(AUTOPILOT, request.body)
        except DecodeError as error:
            raise PrefixedBadRequest(f"Error parsing autopilot config: {error}") from None
        cas_index = None
        if request.has("cas"):
            try:
                cas_index = parse_uint(request.get("cas"))
            except ValueError as error:
                raise PrefixedBadRequest(f"Error parsing cas value: {error}") from None
        self._require_write(request)
        config = AutopilotConfig(
            cleanup_dead_servers=fields.get("CleanupDeadServers", False),
            last_contact_threshold_ns=fields.get("LastContactThreshold", 0),
            max_trailing_logs=fields.get("MaxTrailingLogs", 0),
            min_quorum=fields.get("MinQuorum", 0),
            server_stabilization_time_ns=fields.get("ServerStabilizationTime", 0),
            redundancy_zone_tag=fields.get("RedundancyZoneTag", ""),
            disable_upgrade_migration=fields.get("DisableUpgradeMigration", False),
            upgrade_version_tag=fields.get("UpgradeVersionTag", ""),
        )
        applied = await self._node.consensus.propose(commands.AutopilotSet(config, cas_index))
        refused = isinstance(applied.result, commands.Outcome) and not applied.result.ok
        return Response(200, b"false" if refused else b"true", JSON)

    async def autopilot_health(self, request: Request) -> Response:
        self._node.reads.parse(request)
        self._require_read(request)
        found: dict[str, Any] = await self._node.consensus.call("autopilot.health")
        return Response(200 if found["Healthy"] else 429, to_json(found), JSON)

    def _require_write(self, request: Request) -> None:
        if not self._node.authorizer(request).operator_write():
            raise Forbidden(PERMISSION_DENIED)

    def _require_read(self, request: Request) -> None:
        if not self._node.authorizer(request).operator_read():
            raise Forbidden(PERMISSION_DENIED)
