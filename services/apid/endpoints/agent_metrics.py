"""/v1/agent/metrics: what all processes of this agent count (Consul 1.7: agent_endpoint.go, AgentMetrics)."""

from __future__ import annotations

from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError
from apid.core.message import JSON, Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from lictor.telemetry.naming import naming_of
from lictor.telemetry.summary import prometheus_text, summary

PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
NOT_ENABLED = "Prometheus is not enabled since its retention time is not positive"


class AgentMetricsEndpoints:
    """The last finished interval as JSON, or everything since the start for Prometheus."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/agent/metrics",
                {
                    "GET": Operation(
                        self.metrics,
                        "Counters, gauges and samples of the last finished interval of 10 s; with format=prometheus "
                        "in its text format, since the start",
                        query=("format",),
                        result={"type": "object"},
                        responses={415: NOT_ENABLED},
                        namespaced=False,
                        forwarded=False,
                    )
                },
            )
        ]

    async def metrics(self, request: Request) -> Response:
        node = self._node
        if not node.authorizer(request).agent_read(node.config.node_name):
            raise Forbidden(PERMISSION_DENIED)
        telemetry = node.config.telemetry
        as_text = _wants_prometheus(request)
        if as_text and telemetry.prometheus_retention_time_ns <= 0:
            raise HttpError(NOT_ENABLED, 415)
        collected = await node.metrics.collect()
        naming = naming_of(telemetry)
        if as_text:
            return Response(200, prometheus_text(collected, naming).encode(), PROMETHEUS)
        return Response(200, to_json(summary(collected, naming)), JSON)


def _wants_prometheus(request: Request) -> bool:
    """By parameter, or by what Prometheus accepts when it scrapes."""
    if request.get("format") == "prometheus":
        return True
    accept = request.header(b"accept")
    return "application/openmetrics-text" in accept or (
        "text/plain" in accept and "version=0.0.4" in accept.replace(" ", "")
    )
