"""/v1/agent/ actions on the agent and the pool: join, leave, force-leave, reload, token."""

from __future__ import annotations

import grpc

from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from lictor.agent.link import LinkError
from lictor.pb.lictor.v1 import gossip_pb2
from lictor.state.prepare import several_errors

JOIN_TIMEOUT_S = 30.0
LEAVE_TIMEOUT_S = 60.0
RELOAD_TIMEOUT_S = 30.0


class AgentClusterEndpoints:
    """What `consul join`, `leave`, `force-leave` and `reload` ask."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        def put(pattern: str, operation: Operation) -> Route:
            return Route(pattern, {"PUT": operation})

        return [
            put(
                "/v1/agent/join/",
                Operation(
                    self.join,
                    "Join the pool that the node at an address is in",
                    "/v1/agent/join/{address}",
                    ("wan",),
                    namespaced=False,
                    forwarded=False,
                ),
            ),
            put(
                "/v1/agent/leave",
                Operation(self.leave, "Leave gracefully and stop", namespaced=False, forwarded=False),
            ),
            put(
                "/v1/agent/force-leave/",
                Operation(
                    self.force_leave,
                    "Let a failed member count as left",
                    "/v1/agent/force-leave/{node}",
                    ("prune",),
                    namespaced=False,
                    forwarded=False,
                ),
            ),
            put(
                "/v1/agent/reload",
                Operation(self.reload, "Read the configuration again", namespaced=False, forwarded=False),
            ),
        ]

    async def join(self, request: Request) -> Response:
        self._require_write(request)
        gossip = self._node.gossip
        pool = gossip_pb2.POOL_WAN if request.get("wan") else gossip_pb2.POOL_LAN
        message = gossip_pb2.JoinRequest(pool=pool, addresses=[request.tail])
        try:
            answer = await (await gossip.started_stub()).Join(message, metadata=gossip.metadata, timeout=JOIN_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise HttpError(error.details() or error.code().name) from None
        if not answer.contacted:
            raise HttpError(several_errors(list(answer.errors)))
        return Response(200)

    async def leave(self, request: Request) -> Response:
        """Under a supervisor the whole agent leaves and ends; alone, the node only leaves its pools."""
        self._require_write(request)
        node = self._node
        if node.link is not None:
            try:
                await node.link.ask("leave", timeout_s=LEAVE_TIMEOUT_S)
            except LinkError as error:
                raise HttpError(str(error)) from None
            return Response(200)
        try:
            message = gossip_pb2.LeaveRequest()
            await (await node.gossip.started_stub()).Leave(
                message, metadata=node.gossip.metadata, timeout=LEAVE_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise HttpError(error.details() or error.code().name) from None
        return Response(200)

    async def force_leave(self, request: Request) -> Response:
        if not self._node.authorizer(request).operator_write():
            raise Forbidden(PERMISSION_DENIED)
        gossip = self._node.gossip
        message = gossip_pb2.ForceLeaveRequest(node=request.tail, prune=request.has("prune"))
        try:
            answer = await (await gossip.started_stub()).ForceLeave(
                message, metadata=gossip.metadata, timeout=JOIN_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise HttpError(error.details() or error.code().name) from None
        if answer.error:
            raise HttpError(answer.error)
        return Response(200)

    async def reload(self, request: Request) -> Response:
        self._require_write(request)
        if self._node.link is None:
            raise HttpError("Failed to reload configs: this daemon runs without a supervisor")
        try:
            await self._node.link.ask("reload", timeout_s=RELOAD_TIMEOUT_S)
        except LinkError as error:
            raise HttpError(f"Failed to reload configs: {error}") from None
        await self._node.local.refresh()
        return Response(200)

    def _require_write(self, request: Request) -> None:
        if not self._node.authorizer(request).agent_write(self._node.config.node_name):
            raise Forbidden(PERMISSION_DENIED)
