"""/openapi.json and /docs behind the fast lane: FastAPI is imported when somebody looks, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from apid.core.dispatcher import Dispatcher
from apid.core.encoding import to_json
from apid.core.message import HTML, JSON, Request, Response
from apid.core.routes import Operation, Route

OPENAPI_PATH = "/openapi.json"
DOCS_PATH = "/docs"


class Documentation:
    """Two pages made once, from the routes of the dispatcher that `find_dispatcher` gives."""

    def __init__(self, find_dispatcher: Callable[[], Dispatcher]) -> None:
        self._find_dispatcher = find_dispatcher
        self._pages: tuple[bytes, bytes] | None = None

    def routes(self) -> list[Route]:
        def page(pattern: str, handler: Callable[[Request], object], summary: str, result_type: str) -> Route:
            operation = Operation(
                handler,  # type: ignore[arg-type]
                summary,
                result={"type": "object"} if result_type == "application/json" else {"type": "string"},
                result_type=result_type,
                namespaced=False,
                forwarded=False,
            )
            return Route(pattern, {"GET": operation})

        return [
            page(OPENAPI_PATH, self.openapi, "This description of the API", "application/json"),
            page(DOCS_PATH, self.docs, "This description of the API, to read", "text/html"),
        ]

    async def openapi(self, request: Request) -> Response:
        return Response(200, (await self._made())[0], JSON)

    async def docs(self, request: Request) -> Response:
        return Response(200, (await self._made())[1], HTML)

    async def _made(self) -> tuple[bytes, bytes]:
        if self._pages is None:
            # Importing FastAPI takes half a second: requests go on meanwhile.
            self._pages = await asyncio.to_thread(_make, self._find_dispatcher())
        return self._pages


def _make(dispatcher: Dispatcher) -> tuple[bytes, bytes]:
    from fastapi.openapi.docs import get_swagger_ui_html

    from apid.web.openapi import build_application

    application = build_application(dispatcher)
    page = get_swagger_ui_html(openapi_url=OPENAPI_PATH, title=application.title)
    return to_json(application.openapi()), bytes(page.body)
