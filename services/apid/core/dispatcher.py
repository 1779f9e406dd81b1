"""From a request to its answer: what Consul's HTTP server does around every endpoint (Consul 1.7: http.go, wrap).

An answer comes at once where the handler needs to wait for nobody, and as an awaitable otherwise.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from apid.core.access import Unresolved
from apid.core.encoding import accepts_gzip, gzip, indent
from apid.core.errors import Forbidden, HttpError, MethodNotAllowed, PrefixedBadRequest, RootDenied
from apid.core.message import FAILED_META, HTML, JSON, OCTETS, Answer, HeaderList, Request, Response, text_response
from apid.core.parameters import has_broken_escape, parse_query
from apid.core.policy import BlockedPaths, WriteSources
from apid.core.routes import Operation, Redirect, Route, RouteTable
from lictor.state.gotext import format_duration

log = logging.getLogger("agent.http")

HIDDEN = "<hidden>"
# Consul 1.7: http.go, aclEndpointRE.
_SECRET_PATH = re.compile(r"(/v1/acl/[^/]+/)[^?]+")
_SEPARATOR = re.compile("[&;]")
NOT_UTF_8 = "Bad request: the path or a parameter is not UTF-8"
READING_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
VARY = (b"Vary", b"Accept-Encoding")


class Meter(Protocol):
    """Counts the answers of one method of one route."""

    def answered(self, request: Request, response: Response, started_s: float) -> None: ...

    def kept(self, request: Request, response: Response) -> Any: ...


class Meters(Protocol):
    """Knows the meters; `clock` is what `started_s` is of."""

    clock: Callable[[], float]

    def find(self, pattern: str, method: str) -> Meter: ...


Elsewhere = Callable[[Request, Operation], Awaitable[Response] | None]
Calls = Callable[[Request, bool], int]


class Dispatcher:
    """Answers requests from a table of routes.

    `elsewhere` gives the answer of another apid when a request is not for this one; `meters` are told of every answer
    of a route. `calls` counts the calls that an error came through (`HttpError.after_calls`).
    """

    def __init__(
        self,
        routes: Iterable[Route],
        response_headers: Mapping[str, str] | None = None,
        block_endpoints: Iterable[str] = (),
        allow_write_from: Iterable[str] = (),
        pretty: bool = False,
        filter_unprintable: bool = True,
        translate_addresses: bool = False,
        elsewhere: Elsewhere | None = None,
        meters: Meters | None = None,
        calls: Calls | None = None,
    ) -> None:
        self.table = RouteTable(routes)
        self.meters = meters
        self._calls = calls
        self._configured: HeaderList = [
            (_canonical(name).encode("latin-1"), value.encode("latin-1"))
            for name, value in (response_headers or {}).items()
        ]
        if translate_addresses:
            self._configured.append((b"X-Consul-Translate-Addresses", b"true"))
        self._blocked = BlockedPaths(block_endpoints)
        self._write_sources = WriteSources(allow_write_from)
        self._pretty = pretty
        self._filter_unprintable = filter_unprintable
        self._elsewhere = elsewhere

    def find(self, path: str) -> Route | None:
        """The route of a path, for limits that apply before the body is read."""
        found = self.table.find(path)
        return found if isinstance(found, Route) else None

    def dispatch(self, request: Request, route: Route | None = None) -> Answer:
        """The answer to a request; never raises for anything the request may hold.

        `route` is given where the path was matched already.
        """
        path = request.path
        if self._filter_unprintable and not path.isprintable() and not _shown(path).isprintable():
            return Response(400, plain=True)
        found = self.table.find(path) if route is None else self.table.redirected(path) or route
        if found is None:
            return Response(404, plain=True)
        if isinstance(found, Redirect):
            return _redirect(request, found.path)
        meters = self.meters
        started_s = meters.clock() if meters is not None else 0.0
        try:
            answer = self._route(request, found)
        except Unresolved as unresolved:
            answer = self._resolved(request, found, unresolved)
        except Exception as error:
            answer = self._refused(request, error, found)
        if not isinstance(answer, Response):
            return self._later(request, answer, found, started_s)
        if meters is not None:
            meters.find(found.pattern, request.method).answered(request, answer, started_s)
            _log_answer(request, meters.clock() - started_s)
        return self._finish(request, answer)

    async def _later(self, request: Request, answer: Awaitable[Response], route: Route, started_s: float) -> Response:
        try:
            response = await answer
        except Unresolved as unresolved:
            response = await self._resolved(request, route, unresolved)
        except Exception as error:
            response = self._refused(request, error, route)
        if self.meters is not None:
            self.meters.find(route.pattern, request.method).answered(request, response, started_s)
            _log_answer(request, self.meters.clock() - started_s)
        return self._finish(request, response)

    async def _resolved(self, request: Request, route: Route, unresolved: Unresolved) -> Response:
        """The answer once it is known what the request may do; that may change while the answer is awaited."""
        while True:
            try:
                if unresolved.wait is not None:
                    await unresolved.wait()
                answer = self._route(request, route)
                return answer if isinstance(answer, Response) else await answer
            except Unresolved as again:
                unresolved = again
            except Exception as error:
                return self._refused(request, error, route)

    def meter_of_kept(self, request: Request, response: Response) -> Any:
        """What counts the further uses of an answer that is kept; None when nothing is counted."""
        route = self.find(request.path)
        if self.meters is None or route is None:
            return None
        return self.meters.find(route.pattern, request.method).kept(request, response)

    def _route(self, request: Request, route: Route) -> Answer:
        # The root takes what no endpoint does: there is nothing to block, the path does not exist.
        blocked = self._blocked and route.pattern != "/" and self._blocked.blocks(request.path)
        if blocked and not request.internal:
            raise HttpError("Endpoint is blocked by agent configuration", 403)
        method = request.method
        operation = route.operations.get(method)
        if route.pattern == "/":
            operation = operation or route.operations["GET"]
        elif request.query and has_broken_escape(request.query):
            log.error("Failed to decode query: from=%s", request.remote_address)
            return Response(500)
        if operation is None:
            if method == "OPTIONS" and route.options:
                return Response(200, headers=[(b"Allow", ",".join(route.allowed).encode())])
            allowed = route.allowed if route.allowed_at is None else route.allowed_at(request.path)
            raise MethodNotAllowed(method, allowed)
        if self._write_sources and method not in READING_METHODS and not request.internal:
            self._check_source(request)
        if operation.namespaced:
            refuse_namespace(request)
        request.tail = request.path[len(route.pattern) :]
        # A body over the limit was not kept: only the handler's refusal is left to come, and it comes from here.
        oversized = route.max_body_bytes is not None and request.body_bytes > route.max_body_bytes
        if self._elsewhere is not None and not oversized:
            answer = self._elsewhere(request, operation)
            if answer is not None:
                return answer
        return operation.handler(request)

    def _check_source(self, request: Request) -> None:
        if not self._write_sources.allow(request.remote_address):
            raise HttpError("Access is restricted", 403)

    def _refused(self, request: Request, error: Exception, route: Route) -> Response:
        """A handler's refusal; who may not read is told (empty) meta data where a read's failure is."""
        response = self.refusal(request, error)
        operation = route.operations.get(request.method)
        if isinstance(error, (Forbidden, RootDenied)) and operation is not None and operation.meta_on_error:
            response.headers += FAILED_META
        return response

    def refusal(self, request: Request, error: Exception) -> Response:
        """What an endpoint's exception answers: the one place where errors become statuses."""
        if isinstance(error, MethodNotAllowed):
            return text_response(405, str(error), [(b"Allow", ",".join(error.allowed).encode())])
        if isinstance(error, HttpError):
            status, text = error.after_calls(0 if self._calls is None else self._calls(request, error.by_leader))
            log_failure(request, text, status)
            return text_response(status, text)
        if isinstance(error, UnicodeEncodeError):
            # Keys may hold any bytes; names of services, checks, nodes and the like are texts.
            return text_response(400, NOT_UTF_8)
        log.error("Request failed: method=%s url=%s from=%s", *_described(request), exc_info=error)
        return text_response(500, f"{type(error).__name__}: {error}")

    def _finish(self, request: Request, response: Response) -> Response:
        """The headers that every answer of the API carries; indentation and compression where asked for."""
        if response.plain or request.internal:
            return response
        body = response.body
        if (self._pretty or (request.query and request.has("pretty"))) and body and _is_json(response):
            body = response.body = indent(body)
        headers = response.headers
        headers.append(VARY)
        if body and (encoding := request.header(b"accept-encoding")) and accepts_gzip(encoding):
            response.body = gzip(body)
            headers.append((b"Content-Encoding", b"gzip"))
        if self._configured:
            _configure(headers, self._configured)
        return response


def _configure(headers: HeaderList, configured: HeaderList) -> None:
    """Adds the configured headers: an endpoint's own ones stay, a guessed content type and Vary do not."""
    for name, value in configured:
        lowered = name.lower()
        present = next((own for given, own in headers if given.lower() == lowered), None)
        if present is None:
            headers.append((name, value))
        elif lowered == b"vary" or (lowered == b"content-type" and present.startswith((b"text/", OCTETS))):
            headers[:] = [pair for pair in headers if pair[0].lower() != lowered] + [(name, value)]


def _canonical(name: str) -> str:
    """A header's name as Go writes it."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _is_json(response: Response) -> bool:
    return (b"Content-Type", JSON) in response.headers


def _shown(path: str) -> str:
    """The path with bytes that are not UTF-8 as replacement characters, which count as printable."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def refuse_namespace(request: Request) -> None:
    """Errors: PrefixedBadRequest for a request that names a namespace, which is Consul Enterprise's."""
    for name, value in request.headers:
        if name == b"x-consul-namespace" and value:
            raise PrefixedBadRequest('Invalid header: "X-Consul-Namespace" - Namespaces is a Consul Enterprise feature')
    if b"ns=" in request.query and request.get("ns"):
        raise PrefixedBadRequest('Invalid query parameter: "ns" - Namespaces is a Consul Enterprise feature')


def _redirect(request: Request, path: str) -> Response:
    """A permanent redirect as Go's ServeMux answers it."""
    location = quote_path(path)
    if request.query:
        location += "?" + request.query.decode("latin-1")
    headers: HeaderList = [(b"Location", location.encode("latin-1"))]
    if request.method not in ("GET", "HEAD"):
        return Response(301, headers=headers, plain=True)
    headers.insert(0, (b"Content-Type", HTML))
    escaped = location.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")
    body = f'<a href="{escaped}">Moved Permanently</a>.\n\n' if request.method == "GET" else ""
    return Response(301, body.encode(), headers=headers, plain=True)


def quote_path(path: str) -> str:
    """A decoded path with everything escaped that may not stand in a URL."""
    from urllib.parse import quote

    return quote(path.encode("utf-8", "surrogateescape"), safe="/$&+,:;=@!'()*~")


def _log_answer(request: Request, latency_s: float) -> None:
    if log.isEnabledFor(logging.DEBUG) and not request.internal:
        latency = format_duration(round(latency_s * 1e9))
        log.debug("Request finished: method=%s url=%s from=%s latency=%s", *_described(request), latency)


def log_failure(request: Request, error: Exception | str, status: int) -> None:
    """A line for a request that failed through no doing of the framework's, if it counts as a server error."""
    if status >= 500:
        # The node's own daemons say themselves what failed, and ask again and again.
        level = logging.DEBUG if request.internal and not request.remote_address else logging.ERROR
        log.log(level, "Request error: method=%s url=%s from=%s error=%s", *_described(request), error)


def _described(request: Request) -> tuple[str, str, str]:
    """Method, URL without its token, and origin, for a log line."""
    return request.method, shown_url(request.target), request.remote_address


def shown_url(target: bytes) -> str:
    """A request target without the secrets it may hold: `?token=` however it is written, IDs under /v1/acl/."""
    url = target.decode("latin-1")
    head, question, query = url.partition("?")
    if path := _SECRET_PATH.match(head):
        head = path.group(1) + HIDDEN
    if query and "token" in parse_query(target.partition(b"?")[2]):
        pairs = _SEPARATOR.split(query)
        query = "&".join(
            f"token={HIDDEN}" if "token" in parse_query(pair.encode("latin-1")) else pair for pair in pairs
        )
    return head + question + query
