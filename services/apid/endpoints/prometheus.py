"""/v1/prometheus/targets: the catalog for Prometheus' `http_sd_configs` (not in Consul 1.7)."""

from __future__ import annotations

from apid.core.message import Answer, Request
from apid.core.prometheus_targets import targets
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.health import passing_only
from apid.endpoints.selection import selection
from apid.node import versions
from apid.node.context import Node
from apid.node.reading import DISCOVERY, json_response
from lictor.state.queries import health

PARAMETERS = ("dc", "tag", "passing", "filter", "node-meta", "index", "wait", "stale", "consistent", "max_stale")
GROUP = {
    "type": "object",
    "properties": {
        "targets": schemas.array(schemas.STRING),
        "labels": {"type": "object", "additionalProperties": schemas.STRING},
    },
    "required": ["targets", "labels"],
}


class PrometheusEndpoints:
    """Instances as targets, of all services or of one."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        def operation(summary: str, path: str = "") -> dict[str, Operation]:
            return {
                "GET": Operation(
                    self.targets,
                    summary,
                    path,
                    PARAMETERS,
                    result=schemas.array(GROUP),
                    responses={400: "A malformed parameter"},
                    meta_on_error=True,
                )
            }

        return [
            Route("/v1/prometheus/targets", operation("The instances of all services, for http_sd_configs")),
            Route(
                "/v1/prometheus/targets/",
                operation("The instances of a service, for http_sd_configs", "/v1/prometheus/targets/{service}"),
            ),
        ]

    def targets(self, request: Request) -> Answer:
        options = self._reads.parse(request)
        name = request.tail
        tags = request.params.get("tag", ()) if request.query else ()
        passing = passing_only(request)
        return self._reads.answer(
            request,
            lambda txn: health.targets(txn, name, tags, passing, selection(self._node, request, txn, "HEALTH_SERVICE")),
            lambda items: json_response(targets(items)),
            DISCOVERY,
            options,
            versions.INSTANCES,
        )
