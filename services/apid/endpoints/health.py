"""/v1/health/: checks, and services with their checks (Consul 1.7: health_endpoint.go)."""

from __future__ import annotations

from collections.abc import Callable

from apid.core.errors import BadRequest
from apid.core.message import Answer, Request
from apid.core.parameters import parse_bool
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.catalog import (
    BLOCKING_PARAMETERS,
    LIST_PARAMETERS,
    SERVICE_PARAMETERS,
    narrowed,
)
from apid.endpoints.selection import nothing_readable, selection
from apid.node import versions
from apid.node.context import Node
from apid.node.reading import CACHED_DISCOVERY, DISCOVERY, QueryResult, json_response
from lictor.state import render
from lictor.state.queries import health
from lictor.state.queries.read import ReadOptions
from lictor.state.store import ReadTxn

CheckQuery = Callable[[ReadTxn, str, ReadOptions], QueryResult]


class HealthEndpoints:
    """What is up."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        checks = schemas.array(schemas.CHECK)
        instances = schemas.array(schemas.INSTANCE)
        table = (
            ("node", self.node, "The checks of a node", "node", BLOCKING_PARAMETERS, checks),
            ("checks", self.checks, "The checks of a service", "service", LIST_PARAMETERS, checks),
            ("state", self.state, "The checks in a state", "state", LIST_PARAMETERS, checks),
            (
                "service",
                self.service,
                "The instances of a service with their checks",
                "service",
                (*SERVICE_PARAMETERS, "passing"),
                instances,
            ),
            (
                "connect",
                self.connect,
                "The instances that take Connect traffic for a service, with their checks",
                "service",
                (*SERVICE_PARAMETERS, "passing"),
                instances,
            ),
        )
        return [
            Route(
                f"/v1/health/{area}/",
                {
                    "GET": Operation(
                        handler,
                        summary,
                        f"/v1/health/{area}/{{{part}}}",
                        query,
                        result=result,
                        responses={400: "A missing name or a malformed parameter"},
                        meta_on_error=True,
                    )
                },
            )
            for area, handler, summary, part, query, result in table
        ]

    def node(self, request: Request) -> Answer:
        return self._checks(request, "Missing node name", health.node_checks)

    def checks(self, request: Request) -> Answer:
        return self._checks(request, "Missing service name", health.service_checks)

    def state(self, request: Request) -> Answer:
        return self._checks(request, "Missing check state", health.state)

    def _checks(self, request: Request, missing: str, query: CheckQuery) -> Answer:
        options = self._reads.parse(request)
        name = request.tail
        if not name:
            raise BadRequest(missing)
        return self._reads.answer(
            request,
            lambda txn: query(txn, name, selection(self._node, request, txn, "CHECKS")),
            lambda rows: json_response(render.checks(rows)),
            DISCOVERY,
            options,
            versions.CATALOG if request.query and request.has("node-meta") else versions.CHECKS,
        )

    def service(self, request: Request) -> Answer:
        return self._instances(request, connect=False)

    def connect(self, request: Request) -> Answer:
        return self._instances(request, connect=True)

    def _instances(self, request: Request, connect: bool) -> Answer:
        options = self._reads.parse(request)
        name = request.tail
        if not name:
            raise BadRequest("Missing service name")
        tags = request.params.get("tag", ()) if request.query else ()
        authorizer = self._node.authorizer(request)
        if connect and not authorizer.service_read(name):
            return nothing_readable(self._node, request, options)
        passing = passing_only(request)
        own_index_decides = not (connect or tags or narrowed(request))
        return self._reads.answer(
            request,
            lambda txn: health.service(
                txn, name, tags, passing, connect, selection(self._node, request, txn, "HEALTH_SERVICE", authorizer)
            ),
            lambda items: json_response(render.instances(items)),
            CACHED_DISCOVERY,
            options,
            versions.of_service(name) if own_index_decides else versions.CATALOG,
        )


def passing_only(request: Request) -> bool:
    """Whether only instances all of whose checks pass are wanted. Errors: BadRequest."""
    if not (request.query and request.has("passing")):
        return False
    text = request.get("passing")
    if not text:
        return True
    try:
        return parse_bool(text)
    except ValueError:
        raise BadRequest("Invalid value for ?passing") from None
