"""/v1/acl/replication: how far this datacenter's copy of the primary's records is."""

from __future__ import annotations

from apid.core.message import Request, Response
from apid.core.routes import Route
from apid.endpoints.acl.area import AclArea, may_be_bad, shown
from lictor.state.acl.render import ZERO_TIME

STATUS = {"type": "object"}
NOT_RUNNING = {
    "Enabled": False,
    "Running": False,
    "SourceDatacenter": "",
    "ReplicationType": "",
    "ReplicatedIndex": 0,
    "ReplicatedRoleIndex": 0,
    "ReplicatedTokenIndex": 0,
    "LastSuccess": ZERO_TIME,
    "LastError": ZERO_TIME,
}
"""What a datacenter shows that replicates nothing."""


class ReplicationEndpoints(AclArea):
    """Shows the status; nobody needs a token for it."""

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
        if (elsewhere := self._reader_elsewhere(request)) is not None:
            return await elsewhere
        return shown(NOT_RUNNING)
