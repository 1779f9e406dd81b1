"""From our connections into an ASGI application and back, for requests that FastAPI answers.

The request travels in the scope as it came (`REQUEST_KEY`), so that the application's endpoints hand it to our handlers
unchanged; the usual ASGI fields are there for its routing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from apid.core.message import Request, Response, text_response

log = logging.getLogger("agent.http")

REQUEST_KEY = "lictor.request"
# Pieces of a streamed answer that may wait for the connection.
MAX_WAITING_MESSAGES = 4


class AsgiBridge:
    """Lets an ASGI application answer requests."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def answer(self, request: Request) -> Response:
        """The application's answer; 500 when it gives none."""
        messages: asyncio.Queue[Message | None] = asyncio.Queue(MAX_WAITING_MESSAGES)
        task = asyncio.create_task(self._run(request, messages))
        streaming = False
        try:
            start = await messages.get()
            first = await messages.get() if start is not None else None
            if start is None or first is None:
                return text_response(500, "500 Internal Server Error")
            response = Response(start["status"], first.get("body", b""), headers=list(start["headers"]))
            if first.get("more_body", False):
                streaming = True
                response.stream = _rest(first, messages, task)
            return response
        finally:
            if not streaming:
                await _ended(task)

    async def _run(self, request: Request, messages: asyncio.Queue[Message | None]) -> None:
        try:
            await self._application(_scope(request), _nothing_more(request), messages.put)
        except Exception:
            log.exception("Request failed in the web framework: method=%s", request.method)
        await messages.put(None)


def _scope(request: Request) -> Scope:
    raw_path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": request.headers,
        "client": (request.remote_address, 0) if request.remote_address else None,
        "server": None,
        REQUEST_KEY: request,
    }


def _nothing_more(request: Request) -> Any:
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return {"type": "http.disconnect"}
        given = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    return receive


async def _rest(
    first: Message, messages: asyncio.Queue[Message | None], task: asyncio.Task[None]
) -> AsyncIterator[bytes]:
    message: Message | None = first
    try:
        while message is not None:
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return
            message = await messages.get()
        raise ConnectionError("the application's answer broke off")
    finally:
        await _ended(task)


async def _ended(task: asyncio.Task[None]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
