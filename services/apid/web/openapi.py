"""The FastAPI application: a path operation for every operation of the route table, and the document made of them.

It routes by FastAPI's own means; its endpoints hand the raw request to the dispatcher, so that no validation of the
framework changes an answer. What no operation fits (other paths, other methods, redirects) goes to a last route that
asks the dispatcher for Consul's words. Imported only when it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from apid.core.dispatcher import Dispatcher
from apid.core.message import Answer, Request, Response
from apid.core.routes import Operation, Route
from apid.web import document
from apid.web.asgi import REQUEST_KEY
from lictor.version import CONSUL_VERSION

_NAME = re.compile(r"\{([^}]+)\}")


class TailConvertor(Convertor[str]):
    """The rest of a path with whatever is in it, line ends too (Starlette's `path` stops there)."""

    regex = r"(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("tail", TailConvertor())


class RawResponse(StarletteResponse):
    """An answer of ours, sent with exactly its headers and bytes."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self._response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        if response.stream is None:
            await send({"type": "http.response.body", "body": response.body})
            return
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        async for piece in response.stream:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class EveryOther:
    """An ASGI endpoint, because such a one takes every method: what no operation fits is the dispatcher's to refuse."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await _raw(self._dispatcher.dispatch(scope[REQUEST_KEY]))
        await response(scope, receive, send)


Endpoint = Callable[[StarletteRequest], Awaitable[RawResponse]]


def build_application(dispatcher: Dispatcher) -> FastAPI:
    """The application over a dispatcher's routes, the more specific paths first."""
    application = FastAPI(
        title=document.TITLE,
        version=CONSUL_VERSION,
        description=document.DESCRIPTION,
        openapi_tags=document.tags(dispatcher.table),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    other = EveryOther(dispatcher)

    def take_the_rest_of(path: str) -> None:
        application.router.routes.append(StarletteRoute(path, other, include_in_schema=False))

    for route in sorted(dispatcher.table, key=_specific_first):
        for method, operation in route.operations.items():
            for documented in (*operation.also, operation):
                _add(application, dispatcher, route, method, documented)
        # The path decides before the method does: a less specific path must not get what this one refuses.
        take_the_rest_of(route.pattern + ("{rest:tail}" if route.pattern.endswith("/") else ""))
    take_the_rest_of("/{rest:tail}")
    application.openapi = lambda: _openapi(application)  # type: ignore[method-assign]
    return application


def _specific_first(route: Route) -> tuple[int, int]:
    pattern = route.pattern
    return (1 if pattern.endswith("/") else 0, -len(pattern))


def _add(application: FastAPI, dispatcher: Dispatcher, route: Route, method: str, operation: Operation) -> None:
    path = operation.path or route.pattern
    application.add_api_route(
        _NAME.sub(lambda match: "{" + _identifier(match.group(1)) + ":tail}", path),
        _endpoint(dispatcher, route),
        methods=[method],
        summary=operation.summary,
        operation_id=document.operation_id(method, path),
        tags=[document.area(path)],
        response_class=StarletteResponse,
        response_model=None,
        responses=document.responses(method, operation),
        openapi_extra=document.request(path, operation),
        include_in_schema=document.is_documented(method, operation, path),
    )


def _identifier(name: str) -> str:
    assert name.isidentifier(), f"path parameter {name} is no identifier"
    return name


def _endpoint(dispatcher: Dispatcher, route: Route) -> Endpoint:
    async def endpoint(request: StarletteRequest) -> RawResponse:
        given = _request_of(request)
        # A pattern's end also fits before a final line end, which is another path.
        fits = not given.path.endswith("\n") or route.pattern.endswith("/")
        return await _raw(dispatcher.dispatch(given, route if fits else None))

    return endpoint


def _request_of(request: StarletteRequest) -> Request:
    given: Request = request.scope[REQUEST_KEY]
    return given


async def _raw(answer: Answer) -> RawResponse:
    return RawResponse(answer if isinstance(answer, Response) else await answer)


def _openapi(application: FastAPI) -> dict[str, Any]:
    if application.openapi_schema is None:
        application.openapi_schema = document.complete(FastAPI.openapi(application))
    return application.openapi_schema
