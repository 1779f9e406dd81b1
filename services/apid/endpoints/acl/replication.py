"""/v1/acl/replication: how far this datacenter's copy of the primary's records is, as its leader knows it."""

from __future__ import annotations

from typing import Any

from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints.acl.area import AclArea, may_be_bad, shown
from apid.node.context import Node
from lictor.state.acl import render

STATUS = {"type": "object"}
TIMES = ("LastSuccess", "LastError")
STATUS_CALL = "acl.replication_status"


class ReplicationEndpoints(AclArea):
    """Shows the status; nobody needs a token for it."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._bare = Operation(self._unreachable, "")

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/acl/replication",
                {
                    "GET": self._operation(
                        self.status,
                        "How far replication is",
                        query=("dc",),
                        result=STATUS,
                        responses=may_be_bad("Contradicting parameters"),
                    )
                },
            )
        ]

    async def status(self, request: Request) -> Response:
        self._reads.parse(request)
        if (elsewhere := self._node.forwarder.elsewhere(request, self._bare)) is not None:
            return await elsewhere
        status: dict[str, Any] = await self._node.consensus.call(STATUS_CALL)
        for name in TIMES:
            status[name] = render.moment(status[name])
        return shown(status)
