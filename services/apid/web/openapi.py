"""The FastAPI application over the same routes: /openapi.json, /docs, and every request when the fast lane is off.

FastAPI documents and routes; requests reach our handlers as they came, so that no validation of its own changes an
answer. It is imported only when it is needed.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.requests import Request as StarletteRequest
from starlette.types import Receive, Scope, Send

from apid.core.dispatcher import Dispatcher
from apid.core.message import Request, Response
from apid.core.parameters import unescape_path
from apid.core.query_parameters import QUERY_PARAMETERS
from apid.core.routes import Operation, Route
from lictor.version import CONSUL_VERSION

BODY_LIMIT_BYTES = 1 << 30
ERRORS = {
    403: "Permission denied, or the endpoint is blocked",
    405: "The method is not allowed; Allow lists those that are",
    429: "Too many connections from this client",
    500: "The request failed; the text says why",
}
ERROR_CONTENT = {"text/plain": {"schema": {"type": "string"}}}


class RawApplication:
    """Hands requests to the dispatcher and sends what it answers, byte for byte."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        request = await _request_of(scope, receive)
        if request is None:
            response = Response(400, b"400 Bad Request", b"text/plain; charset=utf-8")
        else:
            answer = self._dispatcher.dispatch(request)
            response = answer if isinstance(answer, Response) else await answer
        headers = list(response.headers)
        if response.stream is None:
            if response.status not in (204, 304):
                headers.append((b"Content-Length", b"%d" % len(response.body)))
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            await send({"type": "http.response.body", "body": response.body})
            return
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        async for piece in response.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _request_of(scope: Scope, receive: Receive) -> Request | None:
    raw_path: bytes = scope["raw_path"]
    path = unescape_path(raw_path)
    if path is None:
        return None
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size <= BODY_LIMIT_BYTES:
            parts.append(piece)
        if not message.get("more_body", False):
            break
    query: bytes = scope["query_string"]
    client = scope.get("client")
    target = raw_path + (b"?" + query if query else b"")
    request = Request(
        scope["method"], path, query, list(scope["headers"]), b"".join(parts), client[0] if client else "", target
    )
    request.body_bytes = size
    return request


def build_document(dispatcher: Dispatcher) -> FastAPI:
    """The documented application; its own paths are /openapi.json and /docs."""
    application = FastAPI(
        title="Lictor",
        version=CONSUL_VERSION,
        description="The HTTP API of Consul 1.7.2.",
        openapi_url="/openapi.json",
        docs_url="/docs",
        redoc_url=None,
    )
    for route in dispatcher.table:
        for method, operation in route.operations.items():
            if method not in ("HEAD", "OPTIONS"):
                _document(application, route, method, operation)
    return application


def _document(application: FastAPI, route: Route, method: str, operation: Operation) -> None:
    path = operation.path or route.pattern

    async def endpoint(request: StarletteRequest) -> None:
        raise AssertionError("requests are answered by the dispatcher")

    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": ERROR_CONTENT}
        for status, text in sorted({**ERRORS, **operation.responses}.items())
    }
    responses[200] = {"description": operation.summary}
    if operation.result is not None:
        responses[200]["content"] = {operation.result_type: {"schema": dict(operation.result)}}
    extra: dict[str, Any] = {"parameters": _parameters(path, operation)}
    if operation.body is not None:
        extra["requestBody"] = {"content": {"application/json": {"schema": operation.body.schema()}}}
    elif operation.raw_body:
        extra["requestBody"] = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    application.add_api_route(
        path,
        endpoint,
        methods=[method],
        summary=operation.summary,
        operation_id=f"{method.lower()}{path.replace('/', '_').replace('{', '').replace('}', '')}",
        tags=[_area(path)],
        responses=responses,
        response_model=None,
        openapi_extra=extra,
    )


def _area(path: str) -> str:
    parts = path.strip("/").split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "v1" else "root"


def _parameters(path: str, operation: Operation) -> list[dict[str, Any]]:
    in_path = [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in path.split("/")
        if part.startswith("{")
    ]
    in_query = [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": QUERY_PARAMETERS[name].description,
            "schema": dict(QUERY_PARAMETERS[name].schema),
        }
        for name in operation.query
    ]
    return in_path + in_query


class DocumentedApplication:
    """FastAPI for its own pages, the dispatcher for all else."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._raw = RawApplication(dispatcher)
        self._document = build_document(dispatcher)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] in ("/openapi.json", "/docs", "/docs/oauth2-redirect"):
            await self._document(scope, receive, send)
        else:
            await self._raw(scope, receive, send)


def build_application(dispatcher: Dispatcher) -> DocumentedApplication:
    return DocumentedApplication(dispatcher)
