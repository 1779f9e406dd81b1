"""/v1/status/: who leads, who votes (Consul 1.7: status_endpoint.go)."""

from __future__ import annotations

import grpc

from apid.core.encoding import to_json
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from apid.node.reading import json_response
from lictor.pb.lictor.v1 import raft_pb2
from lictor.rpc import DaemonNotRunning


class StatusEndpoints:
    """Asked of the local raftd, which needs nobody to answer."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/status/leader",
                {
                    "GET": Operation(
                        self.leader,
                        "The Raft address of the leader, empty when there is none",
                        query=("dc",),
                        result={"type": "string", "examples": ["10.0.0.1:8300"]},
                        responses={400: "A malformed parameter"},
                        namespaced=False,
                    )
                },
            ),
            Route(
                "/v1/status/peers",
                {
                    "GET": Operation(
                        self.peers,
                        "The Raft addresses of all servers",
                        query=("dc",),
                        result={"type": "array", "items": {"type": "string"}},
                        responses={400: "A malformed parameter"},
                        namespaced=False,
                    )
                },
            ),
        ]

    async def leader(self, request: Request) -> Response:
        self._node.reads.parse(request)
        return json_response(to_json((await self._status()).leader_address))

    async def peers(self, request: Request) -> Response:
        self._node.reads.parse(request)
        return json_response(to_json([server.address for server in (await self._status()).servers]))

    async def _status(self) -> raft_pb2.StatusResponse:
        """raftd's view; an empty one while raftd is away, as nobody leads then as far as this server knows."""
        try:
            return await self._node.consensus.status()
        except (DaemonNotRunning, grpc.aio.AioRpcError):
            return raft_pb2.StatusResponse()
