"""/v1/operator/raft/: the Raft configuration and the removal of dead peers (Consul 1.7: operator_endpoint.go)."""

from __future__ import annotations

import grpc

from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, PrefixedBadRequest
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints.schemas import BOOLEAN, INTEGER, STRING, _object, array
from apid.node.context import Node
from apid.node.reading import json_response
from lictor.rpc import DaemonNotRunning

RAFT_PROTOCOL = "3"
UNKNOWN_NODE = "(unknown)"
CONFIGURATION = _object(
    Servers=array(
        _object(ID=STRING, Node=STRING, Address=STRING, Leader=BOOLEAN, ProtocolVersion=STRING, Voter=BOOLEAN)
    ),
    Index=INTEGER,
)


class OperatorRaftEndpoints:
    """What an operator sees and repairs of consensus."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/operator/raft/configuration",
                {
                    "GET": Operation(
                        self.configuration,
                        "The servers of the Raft configuration",
                        query=("dc", "stale"),
                        result=CONFIGURATION,
                        namespaced=False,
                    )
                },
            ),
            Route(
                "/v1/operator/raft/peer",
                {
                    "DELETE": Operation(
                        self.remove_peer,
                        "Remove a server from the Raft configuration",
                        query=("dc", "id", "address"),
                        responses={400: "Neither or both of id and address"},
                        namespaced=False,
                    )
                },
            ),
        ]

    async def configuration(self, request: Request) -> Response:
        if not self._node.authorizer(request).operator_read():
            raise Forbidden(PERMISSION_DENIED)
        try:
            status = await self._node.consensus.status()
        except (DaemonNotRunning, grpc.aio.AioRpcError):
            raise HttpError("No cluster leader") from None
        if not status.leader_id and not request.has("stale"):
            raise HttpError("No cluster leader")
        names = {member.tags.get("id"): member.name for member in self._node.gossip.lan.members.values()}
        servers = [
            {
                "ID": server.id,
                "Node": names.get(server.id, UNKNOWN_NODE),
                "Address": server.address,
                "Leader": server.id == status.leader_id,
                "ProtocolVersion": RAFT_PROTOCOL,
                "Voter": server.voter,
            }
            for server in status.servers
        ]
        return json_response(to_json({"Servers": servers, "Index": 0}))

    async def remove_peer(self, request: Request) -> Response:
        by_id, by_address = request.has("id"), request.has("address")
        if not by_id and not by_address:
            raise PrefixedBadRequest(
                "Must specify either ?id with the server's ID or ?address with IP:port of peer to remove"
            )
        if by_id and by_address:
            raise PrefixedBadRequest("Must specify only one of ?id or ?address")
        if not self._node.authorizer(request).operator_write():
            raise Forbidden(PERMISSION_DENIED)
        server_id, address = request.get("id"), request.get("address")
        status = await self._node.consensus.status()
        known = {server.id for server in status.servers} if by_id else {server.address for server in status.servers}
        if (server_id or address) not in known:
            named = f'id "{server_id}"' if by_id else f'address "{address}"'
            raise HttpError(f"{named} was not found in the Raft configuration")
        await self._node.consensus.call("raft.remove_peer", {"id": server_id, "address": address})
        return Response()
