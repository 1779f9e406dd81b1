"""The fast lane: uvicorn's HTTP protocol, with requests handed straight to the dispatcher.

uvicorn's parser, flow control and life cycle stay; what is left out is the ASGI scope, the event queue and the task
per request. A request whose answer needs no waiting is answered from within the parser's callback with one write; a
repeated one, byte for byte, not even parsed (`cache.py`). Requests sent ahead on one connection are answered in order.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from apid.core.dispatcher import Dispatcher
from apid.core.message import HeaderList, Request, Response, text_response
from apid.core.parameters import unescape_path
from apid.web.cache import AnswerCache, CachedAnswer
from apid.web.limits import MAX_BODY_BYTES, MAX_DROPPED_BYTES, MAX_HEAD_BYTES, MAX_PIPELINED, ConnectionLimit
from apid.web.wire import STATUS_LINES, DateLine, chunk, rest_of_answer

log = logging.getLogger("agent.http")

GET_METHOD = b"GET "
END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_MANY_CONNECTIONS = "Too many connections from this client (limits.http_max_conns_per_client)"


class Lane:
    """What the connections of one apid share."""

    def __init__(self, dispatcher: Dispatcher, max_connections_per_client: int) -> None:
        self.dispatcher = dispatcher
        self.connections = ConnectionLimit(max_connections_per_client)
        self.date = DateLine()
        self.cache = AnswerCache()


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with Consul's limit on connections per client."""

    def __init__(
        self,
        lane: Lane,
        config: Config,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        self.lane = lane
        self._counted_as = ""
        self._counted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._counted_as = self.client[0] if self.client else ""
        self._counted = self.lane.connections.enter(self._counted_as)
        if not self._counted:
            refusal = text_response(429, TOO_MANY_CONNECTIONS)
            self.transport.write(STATUS_LINES[429] + self.lane.date.get() + rest_of_answer(refusal, True, b"close"))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted:
            self._counted = False
            self.lane.connections.leave(self._counted_as)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._counted:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """What Go's server says to something that is not HTTP."""
        refusal = text_response(400, "400 Bad Request")
        self.transport.write(STATUS_LINES[400] + rest_of_answer(refusal, True, b"close"))
        self.transport.close()


class FastLaneProtocol(LimitedProtocol):
    """One connection whose requests go to the dispatcher directly."""

    def __init__(
        self,
        lane: Lane,
        config: Config,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(lane, config, server_state, loop)
        self._dispatch = lane.dispatcher.dispatch
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._paused = False
        self._between_requests = True
        self._raw: bytes | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._max_body_bytes = MAX_BODY_BYTES
        self._head_bytes = 0
        self._stopping = False

    # ------------------------------------------------------------------------------------------ from the socket

    def data_received(self, data: bytes) -> None:
        if self._between_requests and self._task is None and data.startswith(GET_METHOD):
            cached = self.lane.cache.get(data)
            if cached is not None:
                if cached.fresh():
                    self.transport.write(b"".join((cached.head, self.lane.date.get(), cached.rest)))
                    return
                self.lane.cache.drop(data)
            # Only a whole single request may become a key.
            self._raw = data if data.endswith(END_OF_HEAD) and data.count(END_OF_HEAD) == 1 else None
        else:
            self._raw = None
        if not self._counted or self.parser is None:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # As Go's server: the request was answered as it is, nothing is upgraded, the parser starts anew.
            self.parser = httptools.HttpRequestParser(self)
            if rest := data[upgrade.args[0] :]:
                self.data_received(rest)
        except httptools.HttpParserError:
            self._refuse(text_response(400, "400 Bad Request"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._waiting.clear()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """Ends the connection: at once when it is idle, else after the answer that is due."""
        self._stopping = True
        if self._task is None:
            self.transport.close()

    # ------------------------------------------------------------------------------------------ from the parser

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: HeaderList = []
        self._between_requests = False
        self._body_bytes = 0
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > MAX_HEAD_BYTES:
            self._refuse(text_response(431, "431 Request Header Fields Too Large"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(text_response(431, "431 Request Header Fields Too Large"))

    def on_headers_complete(self) -> None:
        if self.parser.get_method() == b"GET":
            return
        self._max_body_bytes = MAX_BODY_BYTES
        for name, value in self.headers:
            if name == b"expect" and value.lower() == b"100-continue":
                self.transport.write(CONTINUE)
        path = unescape_path(self.url.partition(b"?")[0])
        route = self.lane.dispatcher.find(path) if path is not None else None
        if route is not None and route.max_body_bytes is not None:
            self._max_body_bytes = route.max_body_bytes

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= self._max_body_bytes:
            self._body.append(body)
        elif self._body_bytes > MAX_DROPPED_BYTES:
            self._refuse(text_response(413, "413 Request Entity Too Large"))
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        self._between_requests = True
        parser = self.parser
        keep_alive: bool = parser.should_keep_alive()
        url = self.url
        if not url.startswith(b"/"):
            parsed = httptools.parse_url(url)
            url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        raw_path, _, query = url.partition(b"?")
        path = unescape_path(raw_path)
        if path is None:
            self._refuse(text_response(400, "400 Bad Request"))
            return
        body = b"".join(self._body) if self._body else b""
        if self._body:
            self._body = []
        request = Request(parser.get_method().decode("latin-1"), path, query, self.headers, body, self._counted_as, url)
        request.body_bytes = self._body_bytes
        if self._task is not None:
            self._waiting.append((request, keep_alive))
            if len(self._waiting) >= MAX_PIPELINED and not self._paused:
                self._paused = True
                self.transport.pause_reading()
            return
        self._start(request, keep_alive)

    # ------------------------------------------------------------------------------------------------- answers

    def _start(self, request: Request, keep_alive: bool) -> None:
        answer = self._dispatch(request)
        if isinstance(answer, Response) and answer.stream is None:
            self._write(request, answer, keep_alive)
        else:
            self._task = self.loop.create_task(self._finish(request, answer, keep_alive))

    async def _finish(self, request: Request, answer: Any, keep_alive: bool) -> None:
        response: Response = answer if isinstance(answer, Response) else await answer
        if response.stream is not None:
            await self._write_stream(request, response, keep_alive)
        elif not self.transport.is_closing():
            self._write(request, response, keep_alive)
        self._task = None
        while self._waiting and self._task is None and not self.transport.is_closing():
            self._start(*self._waiting.popleft())
        if self._paused and len(self._waiting) < MAX_PIPELINED // 2:
            self._paused = False
            self.transport.resume_reading()

    def _write(self, request: Request, response: Response, keep_alive: bool) -> None:
        keep_alive = keep_alive and not self._stopping
        rest = rest_of_answer(response, request.method != "HEAD", b"" if keep_alive else b"close")
        head = STATUS_LINES[response.status]
        self.transport.write(b"".join((head, self.lane.date.get(), rest)))
        if not keep_alive:
            self.transport.close()
        elif response.fresh is not None and self._raw is not None:
            self.lane.cache.put(self._raw, CachedAnswer(response.fresh, head, rest))

    async def _write_stream(self, request: Request, response: Response, keep_alive: bool) -> None:
        assert response.stream is not None
        connection = b"" if keep_alive and not self._stopping else b"close"
        head = STATUS_LINES[response.status] + self.lane.date.get() + rest_of_answer(response, False, connection)
        self.transport.write(head)
        try:
            async for piece in response.stream:
                if self.transport.is_closing():
                    return
                if piece:
                    self.transport.write(chunk(piece))
                    await self.flow.drain()
        except Exception:
            # The status is out already: only a connection that breaks off tells that something is missing.
            log.exception("Request failed while its answer was sent: url=%s", request.path)
            self.transport.abort()
            return
        self.transport.write(chunk(b""))
        if connection:
            self.transport.close()

    def _refuse(self, response: Response) -> None:
        """Says what is wrong with the bytes received and ends the connection."""
        if not self.transport.is_closing():
            head = STATUS_LINES[response.status] + self.lane.date.get()
            self.transport.write(head + rest_of_answer(response, True, b"close"))
            self.transport.close()
