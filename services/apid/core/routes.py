"""The table of routes: every endpoint once, with its handler and its documentation.

Both front ends are made from this table. Patterns are those of Go's ServeMux, which decides what Consul answers to
odd paths: a pattern that ends in a slash takes everything under it (`Request.tail` is what follows), any other only
itself; the longest pattern wins; a path that lacks only the final slash is redirected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from apid.core.decoding import Kind
from apid.core.message import Handler

# No pattern has more parts than this, so a key with many slashes costs no more to find.
MAX_PATTERN_PARTS = 7


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a route.

    `path` is the documented path when it names parts of the tail (`/v1/kv/{key}`). `query` names parameters that
    `parameters.QUERY_PARAMETERS` describes. `responses` are status → what it means; 200 and the common errors are
    implied. `result` is the JSON Schema of a 200 answer's body, None when it is empty, in `result_type` or
    one of `other_types`. Errors are text, apart from `json_statuses`, which show the result, and `bare_statuses`, which
    may come without a body. `namespaced`
    operations refuse the `ns` parameter, which is Consul Enterprise's; `forwarded` ones are answered by a server (of
    the datacenter that `?dc=` asks for, unless they leave that to their body: `dc_in_body`), all others by this agent;
    `meta_on_error` shows empty meta data when forwarding fails.
    `also` documents further paths under the pattern that the handler answers with the same method.
    """

    handler: Handler
    summary: str
    path: str = ""
    query: tuple[str, ...] = ()
    body: Kind | None = None
    raw_body: bool = False
    result: Mapping[str, object] | None = None
    result_type: str = "application/json"
    responses: Mapping[int, str] = field(default_factory=dict)
    bare_statuses: tuple[int, ...] = ()
    json_statuses: tuple[int, ...] = ()
    other_types: tuple[str, ...] = ()
    namespaced: bool = True
    forwarded: bool = True
    dc_in_body: bool = False
    meta_on_error: bool = False
    also: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A pattern and its methods, in the order in which `Allow` lists them; `allowed_at` says which some paths have."""

    pattern: str
    operations: Mapping[str, Operation]
    max_body_bytes: int | None = None
    options: bool = True
    allowed_at: Callable[[str], tuple[str, ...]] | None = None

    @property
    def allowed(self) -> tuple[str, ...]:
        methods = tuple(method for method in self.operations if method != "OPTIONS")
        return ("OPTIONS", *methods) if self.options else methods


@dataclass(frozen=True, slots=True)
class Redirect:
    """The path to ask for instead."""

    path: str


class RouteTable:
    """Finds the route of a decoded path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[str, Route] = {}
        self._under: dict[str, Route] = {}
        for route in routes:
            known = self._under if route.pattern.endswith("/") else self._exact
            assert route.pattern not in known, f"two routes for {route.pattern}"
            known[route.pattern] = route

    def __iter__(self) -> Iterator[Route]:
        yield from self._exact.values()
        yield from self._under.values()

    def find(self, path: str) -> Route | Redirect | None:
        """The route, where the path is redirected, or None when there is none."""
        redirect = self.redirected(path)
        if redirect is not None:
            return redirect
        route = self._exact.get(path)
        if route is not None:
            return route
        if path + "/" in self._under:
            return Redirect(path + "/")
        return self._longest(path)

    def redirected(self, path: str) -> Redirect | None:
        """Where a path that is not clean is sent, None when it is clean."""
        if "//" in path or "/." in path:
            cleaned = clean_path(path)
            if cleaned != path:
                return Redirect(cleaned)
        return None

    def _longest(self, path: str) -> Route | None:
        ends = []
        position = 0
        for _ in range(MAX_PATTERN_PARTS):
            position = path.find("/", position) + 1
            if position == 0:
                break
            ends.append(position)
        for end in reversed(ends):
            route = self._under.get(path[:end])
            if route is not None:
                return route
        return None


def clean_path(path: str) -> str:
    """The path without empty, `.` and `..` parts; a final slash is kept (Go: net/http cleanPath)."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    cleaned = "/" + "/".join(parts)
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned
