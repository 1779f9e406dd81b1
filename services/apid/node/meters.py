"""What is counted around every request: `http.*` by method and route, and what its endpoint stands for.

The dispatcher finds a meter before the answer and tells it afterwards; the fast lane keeps one with each kept answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from apid.core.message import Request, Response
from apid.core.routes import Route
from lictor.telemetry import Counter, Registry, Sample

# Consul's RPC names of the catalog's endpoints, as its HTTP layer counts them (Consul 1.7: catalog_endpoint.go).
CLIENT_CALLS = {
    "/v1/catalog/register": "catalog_register",
    "/v1/catalog/deregister": "catalog_deregister",
    "/v1/catalog/datacenters": "catalog_datacenters",
    "/v1/catalog/nodes": "catalog_nodes",
    "/v1/catalog/services": "catalog_services",
    "/v1/catalog/service/": "catalog_service_nodes",
    "/v1/catalog/connect/": "catalog_service_nodes",
    "/v1/catalog/node/": "catalog_node_services",
    "/v1/catalog/node-services/": "catalog_node_service_list",
}
CONNECT_CALL = "catalog_connect_service_nodes"
SERVICE_READS = {"/v1/catalog/service/": "catalog", "/v1/health/service/": "health"}
# Endpoints whose own duration has a name, by method and route: (what the rest of the path ends in or holds, name).
TIMED: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("GET", "/v1/query/"): (("/execute", "prepared-query.execute"), ("/explain", "prepared-query.explain")),
    ("GET", "/v1/config/"): (("/", "config_entry.get"), ("", "config_entry.list")),
    ("GET", "/v1/discovery-chain/"): (("", "discovery_chain.get"),),
    ("POST", "/v1/discovery-chain/"): (("", "discovery_chain.get"),),
    ("PUT", "/v1/session/renew/"): (("", "session.renew"),),
    ("PUT", "/v1/acl/token/"): (("/clone", "acl.token.clone"),),
    ("POST", "/v1/acl/login"): (("", "acl.login"),),
    ("POST", "/v1/acl/logout"): (("", "acl.logout"),),
}
NOTHING_FOUND = frozenset((b"[]", b"null"))
OK = 200
SERVER_ERROR = 500


def path_parts(pattern: str) -> str:
    """The route as metrics name it: `/v1/kv/` is `v1.kv._`, whose last part stands for what follows."""
    return ".".join(part or "_" for part in pattern.split("/")[1:])


class RouteMeter:
    """Of one method of one route."""

    __slots__ = ("_duration", "_queries", "_request_errors", "_requests", "_timed")

    def __init__(self, registry: Registry, pattern: str, method: str) -> None:
        self._duration = registry.sample("http.<route>", part=f"{method}.{path_parts(pattern)}")
        self._timed = tuple((mark, registry.sample(name)) for mark, name in TIMED.get((method, pattern), ()))
        self._queries = registry.counter("rpc.query")
        self._requests = registry.counter("rpc.request")
        self._request_errors = registry.counter("rpc.request_error")

    def answered(self, request: Request, response: Response, started_s: float) -> None:
        """After each answer; `started_s` is of `time.perf_counter`."""
        if request.internal:
            if request.hops:
                self._requests.increment()
                if response.status >= SERVER_ERROR:
                    self._request_errors.increment()
        else:
            self._duration.since(started_s)
        for mark, sample in self._timed:
            if mark in request.tail:
                sample.since(started_s)
                break
        for counter in self.counters(request, response):
            counter.increment()

    def counters(self, request: Request, response: Response) -> tuple[Counter, ...]:
        """What else this answer counts in."""
        return ()

    def kept(self, request: Request, response: Response) -> KeptMeter:
        """For an answer that will be given again."""
        return KeptMeter(self._duration, (self._queries, *self.counters(request, response)))


class CatalogMeter(RouteMeter):
    """Requests to the catalog, counted as Consul's agent counts its calls of a server."""

    __slots__ = ("_asked", "_failed", "_succeeded")

    def __init__(self, registry: Registry, pattern: str, method: str, node_name: str) -> None:
        super().__init__(registry, pattern, method)
        call, labels = CLIENT_CALLS[pattern], (("node", node_name),)
        asked = CONNECT_CALL if pattern == "/v1/catalog/connect/" else call
        self._asked = registry.counter(f"client.api.{asked}", labels=labels)
        self._succeeded = registry.counter(f"client.api.success.{call}", labels=labels)
        self._failed = registry.counter(f"client.rpc.error.{call}", labels=labels)

    def counters(self, request: Request, response: Response) -> tuple[Counter, ...]:
        if request.internal:
            return ()
        if response.status == OK:
            return self._asked, self._succeeded
        return (self._asked, self._failed) if response.status >= SERVER_ERROR else (self._asked,)


class ServiceReadMeter(RouteMeter):
    """Reads of one service, counted by its name (Consul 1.7: catalog and health endpoints of the servers)."""

    __slots__ = ("_area", "_client", "_here", "_registry")

    def __init__(self, registry: Registry, pattern: str, method: str, client: CatalogMeter | None, here: bool) -> None:
        super().__init__(registry, pattern, method)
        self._registry = registry
        self._area = SERVICE_READS[pattern]
        self._client = client
        self._here = here

    def counters(self, request: Request, response: Response) -> tuple[Counter, ...]:
        found = self._client.counters(request, response) if self._client is not None else ()
        if not self._here or response.status != OK:
            return found
        return found + tuple(self._of_service(request, response))

    def _of_service(self, request: Request, response: Response) -> Iterable[Counter]:
        service = ("service", request.tail)
        yield self._registry.counter(f"{self._area}.service.query", labels=(service,))
        tags = request.params.get("tag", []) if request.query else []
        if tags:
            yield self._registry.counter(f"{self._area}.service.query-tag", labels=(service, ("tag", tags[0])))
            labels = (service, *(("tag", tag) for tag in sorted(tags)))
            yield self._registry.counter(f"{self._area}.service.query-tags", labels=labels)
        if response.body in NOTHING_FOUND:
            yield self._registry.counter(f"{self._area}.service.not-found", labels=(service,))


class KeptMeter:
    """Counts answers that are given from bytes, all of them, and measures some: see `apid.web.cache`."""

    __slots__ = ("_counters", "_duration")

    def __init__(self, duration: Sample, counters: tuple[Counter, ...]) -> None:
        self._duration = duration
        self._counters = counters

    def answered(self, count: int, each_ms: float) -> None:
        """So many answers, each of which took about so long."""
        self._duration.add_many(each_ms, count)
        for counter in self._counters:
            counter.add_many(1.0, count)


class Meters:
    """One for each method of each route; made from the start, so that their series exist."""

    def __init__(self, registry: Registry, routes: Iterable[Route], node_name: str, server_mode: bool) -> None:
        self._registry = registry
        self._node_name = node_name
        self._server_mode = server_mode
        self._known: dict[str, dict[str, RouteMeter]] = {
            route.pattern: {method: self._make(route.pattern, method) for method in route.operations}
            for route in routes
        }

    clock = staticmethod(time.perf_counter)

    def find(self, pattern: str, method: str) -> RouteMeter:
        """Also of methods that the route does not have: their refusals are answers, too."""
        of_route = self._known.setdefault(pattern, {})
        meter = of_route.get(method)
        if meter is None:
            meter = of_route[method] = self._make(pattern, method)
        return meter

    def _make(self, pattern: str, method: str) -> RouteMeter:
        catalog = (
            CatalogMeter(self._registry, pattern, method, self._node_name)
            if pattern in CLIENT_CALLS and method in ("GET", "PUT")
            else None
        )
        if pattern in SERVICE_READS and method == "GET":
            return ServiceReadMeter(self._registry, pattern, method, catalog, self._server_mode)
        return catalog or RouteMeter(self._registry, pattern, method)
