"""/v1/agent/check/history/: why a check of this node is in the state that it is in (not in Consul 1.7)."""

from __future__ import annotations

from apid.core.encoding import escape_html
from apid.core.errors import PERMISSION_DENIED, BadRequest, Forbidden
from apid.core.message import Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.node.context import Node
from apid.node.reading import json_response

ENTRY = {
    "type": "object",
    "properties": {
        "Time": {"type": "string", "format": "date-time", "description": "When the status changed"},
        "From": {"type": "string", "description": "The status before; empty at first"},
        "To": {"type": "string"},
        "Reason": {"type": "string", "description": "What changed it, with the output's beginning"},
    },
}


class AgentHistoryEndpoints:
    """Status changes of one check."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/agent/check/history/",
                {
                    "GET": Operation(
                        self.history,
                        "Recent status changes of one of this node's checks with their reasons, newest first",
                        "/v1/agent/check/history/{check_id}",
                        result=schemas.array(ENTRY),
                        responses={400: "No check ID", 404: "No such check"},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            )
        ]

    async def history(self, request: Request) -> Response:
        check_id = request.tail
        if not check_id:
            raise BadRequest("Missing check ID")
        node = self._node
        await node.local.settle()
        check = node.local.checks.get(check_id)
        service = check["ServiceName"] if check is not None else ""
        authorizer = node.authorizer(request)
        readable = authorizer.service_read(service) if service else authorizer.node_read(node.config.node_name)
        if not readable:
            raise Forbidden(PERMISSION_DENIED)
        return json_response(escape_html(await node.local.history(check_id)))
