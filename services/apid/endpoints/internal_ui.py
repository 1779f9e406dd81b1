"""/v1/internal/ui/: what the web page shows (Consul 1.7: ui_endpoint.go)."""

from __future__ import annotations

from apid.core.errors import BadRequest
from apid.core.message import Answer, Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.selection import selection
from apid.node import versions
from apid.node.context import Node
from apid.node.reading import PLAIN, json_response
from lictor.state import render
from lictor.state.queries import internal
from lictor.state.queries.read import NodeDump

READ_PARAMETERS = ("dc", "index", "wait", "stale", "consistent")


class InternalUiEndpoints:
    """Nodes with everything on them, services summed up."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        objects = schemas.array({"type": "object"})
        bad = {400: "A malformed parameter"}
        return [
            Route(
                "/v1/internal/ui/nodes",
                {
                    "GET": Operation(
                        self.nodes,
                        "All nodes with their services and checks",
                        query=(*READ_PARAMETERS, "filter"),
                        result=objects,
                        responses=bad,
                        meta_on_error=True,
                    )
                },
            ),
            Route(
                "/v1/internal/ui/node/",
                {
                    "GET": Operation(
                        self.node,
                        "A node with its services and checks",
                        "/v1/internal/ui/node/{node}",
                        READ_PARAMETERS,
                        result={"type": "object"},
                        responses={400: "No node named", 404: "No such node"},
                        bare_statuses=(404,),
                        meta_on_error=True,
                    )
                },
            ),
            Route(
                "/v1/internal/ui/services",
                {
                    "GET": Operation(
                        self.services,
                        "All services with the numbers of their checks",
                        query=(*READ_PARAMETERS, "filter"),
                        result=objects,
                        responses=bad,
                        meta_on_error=True,
                    )
                },
            ),
        ]

    def nodes(self, request: Request) -> Answer:
        return self._reads.answer(
            request,
            lambda txn: internal.nodes(
                txn, selection(self._node, request, txn, "UI_NODES", self._node.authorizer(request))
            ),
            lambda items: json_response(render.node_dumps(items)),
            PLAIN,
            versions=versions.CATALOG,
        )

    async def node(self, request: Request) -> Response:
        """Unlike elsewhere, an unknown node answers without meta data."""
        options = self._reads.parse(request)
        if not request.tail:
            raise BadRequest("Missing node name")
        found, leader, contact = await self._reads.run(
            lambda txn: internal.node(txn, request.tail, selection(self._node, request, txn)), options
        )
        dump: NodeDump | None = found.value
        if dump is None:
            return Response(404)
        response = json_response(render.node_dump(dump))
        response.headers += [(b"X-Consul-Index", b"%d" % found.index), leader, contact]
        return response

    def services(self, request: Request) -> Answer:
        return self._reads.answer(
            request,
            lambda txn: internal.services(
                txn, selection(self._node, request, txn, "HEALTH_SERVICE", self._node.authorizer(request))
            ),
            lambda items: json_response(render.service_summaries(items)),
            PLAIN,
            versions=versions.CATALOG,
        )
