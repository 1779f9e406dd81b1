"""/v1/agent/{join,leave,force-leave,reload}: this agent's place in the cluster (Consul 1.7: agent_endpoint.go)."""

from __future__ import annotations

import grpc

from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from lictor.agent.link import LinkError
from lictor.pb.lictor.v1 import gossip_pb2

GOSSIP_TIMEOUT_S = 60.0
# Leaving spreads the intent, waits for it to arrive and drains (performance.leave_drain_time).
LEAVE_TIMEOUT_S = 60.0


class AgentClusterEndpoints:
    """Changes of membership, through gossipd and the supervisor."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        def put(operation: Operation) -> dict[str, Operation]:
            return {"PUT": operation}

        return [
            Route(
                "/v1/agent/join/",
                put(
                    Operation(
                        self.join,
                        "Join the cluster of an address",
                        path="/v1/agent/join/{address}",
                        query=("wan",),
                        namespaced=False,
                        forwarded=False,
                    )
                ),
            ),
            Route(
                "/v1/agent/leave",
                put(Operation(self.leave, "Leave gracefully and stop", namespaced=False, forwarded=False)),
            ),
            Route(
                "/v1/agent/force-leave/",
                put(
                    Operation(
                        self.force_leave,
                        "Make a failed node leave",
                        path="/v1/agent/force-leave/{node}",
                        query=("prune",),
                        namespaced=False,
                        forwarded=False,
                    )
                ),
            ),
            Route(
                "/v1/agent/reload",
                put(Operation(self.reload, "Read the configuration again", namespaced=False, forwarded=False)),
            ),
        ]

    async def join(self, request: Request) -> Response:
        self._require_agent_write(request)
        wan = bool(request.get("wan"))
        if wan and not self._node.config.server_mode:
            raise HttpError("WAN join is only possible on servers")
        pool = gossip_pb2.POOL_WAN if wan else gossip_pb2.POOL_LAN
        gossip = self._node.gossip
        try:
            answer = await gossip.stub().Join(
                gossip_pb2.JoinRequest(pool=pool, addresses=[request.tail]),
                metadata=gossip.metadata,
                timeout=GOSSIP_TIMEOUT_S,
            )
        except grpc.aio.AioRpcError as error:
            raise HttpError(f"gossipd: {error.details()}") from None
        if answer.contacted == 0 and answer.errors:
            raise HttpError(several_errors(list(answer.errors)))
        return Response()

    async def force_leave(self, request: Request) -> Response:
        if not self._node.authorizer(request).operator_write():
            raise Forbidden(PERMISSION_DENIED)
        gossip = self._node.gossip
        try:
            answer = await gossip.stub().ForceLeave(
                gossip_pb2.ForceLeaveRequest(node=request.tail, prune=request.has("prune")),
                metadata=gossip.metadata,
                timeout=GOSSIP_TIMEOUT_S,
            )
        except grpc.aio.AioRpcError as error:
            raise HttpError(f"gossipd: {error.details()}") from None
        if answer.error:
            raise HttpError(answer.error)
        return Response()

    async def leave(self, request: Request) -> Response:
        self._require_agent_write(request)
        await self._ask_supervisor("leave", LEAVE_TIMEOUT_S)
        return Response()

    async def reload(self, request: Request) -> Response:
        self._require_agent_write(request)
        await self._ask_supervisor("reload", LEAVE_TIMEOUT_S)
        return Response()

    async def _ask_supervisor(self, what: str, timeout_s: float) -> None:
        link = self._node.link
        if link is None:
            raise HttpError(f"{what}: this apid runs without a supervisor; use the service manager that started it")
        try:
            await link.ask(what, timeout_s)
        except LinkError as error:
            raise HttpError(str(error)) from None

    def _require_agent_write(self, request: Request) -> None:
        if not self._node.authorizer(request).agent_write(self._node.config.node_name):
            raise Forbidden(PERMISSION_DENIED)


def several_errors(errors: list[str]) -> str:
    """Error texts as Go's multierror lists them."""
    head = "1 error occurred:" if len(errors) == 1 else f"{len(errors)} errors occurred:"
    return head + "".join(f"\n\t* {error}" for error in errors) + "\n\n"
