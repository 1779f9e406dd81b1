"""One client connection: uvicorn's HTTP protocol, with requests handed straight to what answers them.

uvicorn's parser, flow control and connection list stay; what is left out is the ASGI scope, the event queue and the
task per request. A request whose answer needs no waiting is answered from within the parser's callback with one write;
a repeated one, byte for byte, is not even parsed (`cache.py`). Requests sent ahead are answered in order.

What answers is the dispatcher (the fast lane), or FastAPI through `asgi.py` when the lane is off: limits, timeouts and
the bytes around an answer are the same either way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from apid.core.dispatcher import Dispatcher
from apid.core.message import Answer, HeaderList, Request, Response, text_response
from apid.core.parameters import unescape_path
from apid.web import limits
from apid.web.cache import MEASURED_MASK, AnswerCache, CachedAnswer
from apid.web.limits import ConnectionLimit
from apid.web.request_line import made_readable
from apid.web.wire import STATUS_LINES, STATUS_LINES_10, DateLine, chunk, rest_of_answer

log = logging.getLogger("agent.http")

GET_METHOD = b"GET "
HTTP_11 = b" HTTP/1.1\r\n"
END_OF_HEAD = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
TOO_MANY_CONNECTIONS = "Too many connections from this client (limits.http_max_conns_per_client)"
BAD_REQUEST = "400 Bad Request"
TOO_LARGE_HEAD = "431 Request Header Fields Too Large"
TOO_LARGE_BODY = "413 Request Entity Too Large"
TOO_SLOW = "408 Request Timeout"
BAD_EXPECTATION = "417 Expectation Failed"

Answering = Callable[[Request], Answer]


class Lane:
    """What the connections of one apid share. `answer` is the dispatcher's, or FastAPI's when the lane is off."""

    def __init__(
        self, dispatcher: Dispatcher, max_connections_per_client: int, answer: Answering | None = None
    ) -> None:
        self.dispatcher = dispatcher
        self.answer: Answering = answer if answer is not None else dispatcher.dispatch
        self.connections = ConnectionLimit(max_connections_per_client)
        self.date = DateLine()
        self.cache = AnswerCache()
        self.lingering = 0


class Connection(HttpToolsProtocol):
    """One connection. It is idle, receiving a request, or answering one (`_task`) with others `_waiting`."""

    def __init__(
        self,
        lane: Lane,
        config: Config,
        server_state: ServerState,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(config, server_state, {}, loop)
        self.lane = lane
        self._answer = lane.answer
        self._counted_as = ""
        self._counted = False
        # Nothing of what still comes is read: a refusal was sent (`_refused`), or is to be sent to whatever comes.
        self._dropping = False
        self._refused = False
        self._due_refusal: Response | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[tuple[Request, bool, bool]] = deque()
        self._between_requests = True
        self._first_of_feed = True
        # Set while the request is one whose line was made readable.
        self._true_method = b""
        self._in_head = False
        self._deadline_s = 0.0
        self._write_deadline_s = 0.0
        self._raw: bytes | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._max_body_bytes = limits.MAX_BODY_BYTES
        self._head_bytes = 0
        self._hosts = 0
        self._stopping = False

    # ------------------------------------------------------------------------------------------ from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._counted_as = self.client[0] if self.client else ""
        self._counted = self.lane.connections.enter(self._counted_as)
        if not self._counted:
            # The refusal is sent when the request comes: an answer before the question confuses clients.
            self._drop_the_rest()
            self._linger_timer = self.loop.call_later(limits.LINGER_S, self._refuse_connection)
            if self.lane.lingering > limits.MAX_LINGERING:
                self._refuse_connection()

    def _refuse_connection(self) -> None:
        self._refuse(text_response(429, TOO_MANY_CONNECTIONS))

    def data_received(self, data: bytes) -> None:
        if self._between_requests and self._task is None and data.startswith(GET_METHOD):
            cached = self.lane.cache.get(data)
            # What is kept is not logged: with debug output every request is answered anew.
            if cached is not None and not (self._dropping or self.flow.write_paused or log.isEnabledFor(logging.DEBUG)):
                started_s = 0.0 if cached.uses & MEASURED_MASK else perf_counter()
                if cached.fresh():
                    self.transport.write(b"".join((cached.head, self.lane.date.get(), cached.rest)))
                    cached.uses += 1
                    if started_s:
                        cached.each_ms = (perf_counter() - started_s) * 1000.0
                    return
                self.lane.cache.drop(data)
            # Only a whole single request may become a key.
            whole = data.endswith(END_OF_HEAD) and data.count(END_OF_HEAD) == 1 and HTTP_11 in data
            self._raw = data if whole else None
        else:
            self._raw = None
        if self._dropping or self.parser is None:
            if not self._refused and self._due_refusal is None and not self.transport.is_closing():
                self._refuse_connection()
            return
        self._feed(data)
        if self._between_requests:
            self._deadline_s = 0.0
        elif not self._in_head:
            self._deadline_s = self.loop.time() + limits.BODY_IDLE_TIMEOUT_S
        elif not self._deadline_s:
            self._deadline_s = self.loop.time() + limits.HEAD_TIMEOUT_S

    def _feed(self, data: bytes) -> None:
        whole, at_line = data, self._between_requests
        self._first_of_feed = True
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                # As Go's server: the request was answered as it is, nothing is upgraded, the parser starts anew.
                self.parser = httptools.HttpRequestParser(self)
                data = data[upgrade.args[0] :]
            except httptools.HttpParserCallbackError as error:
                log.error("Request failed before it was routed: from=%s", self._counted_as, exc_info=error)
                self._refuse(text_response(500, "500 Internal Server Error"))
                return
            except (httptools.HttpParserInvalidMethodError, httptools.HttpParserInvalidURLError):
                readable = made_readable(whole) if at_line and self._first_of_feed else None
                if readable is None or self._true_method:
                    self._refuse(text_response(400, BAD_REQUEST))
                    return
                data, self._true_method = readable
                self.parser = httptools.HttpRequestParser(self)
            except httptools.HttpParserError:
                self._refuse(text_response(400, BAD_REQUEST))
                return

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more; what it asked is still answered, if that does not take long."""
        self._uncount()
        if (self._task is None and not self._waiting) or self.scheme == "https":
            return None
        self._stopping = True
        self._linger(limits.HALF_CLOSED_S)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._task is not None:
            self._task.cancel()
        self._waiting.clear()
        self._uncount()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
            self._linger_timer = None
        if self._dropping:
            self.lane.lingering -= 1
        super().connection_lost(exc)

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self.lane.connections.leave(self._counted_as)

    def pause_writing(self) -> None:
        """The client does not read its answers: nothing more is made for it, nor read from it."""
        super().pause_writing()
        self._write_deadline_s = self.loop.time() + limits.WRITE_STALL_TIMEOUT_S
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._write_deadline_s = 0.0
        self._continue()

    def expire(self, now_s: float) -> None:
        """Ends the connection when its client is too slow; called every few seconds."""
        if self._write_deadline_s and now_s >= self._write_deadline_s:
            self.transport.abort()
        elif self._deadline_s and now_s >= self._deadline_s and not self._dropping:
            self._refuse(text_response(408, TOO_SLOW))

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
        self._in_head = True
        self._body_bytes = 0
        self._head_bytes = 0
        self._hosts = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > limits.MAX_HEAD_BYTES:
            self._refuse(text_response(431, TOO_LARGE_HEAD))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        self.headers.append((name, value))
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > limits.MAX_HEAD_BYTES:
            self._refuse(text_response(431, TOO_LARGE_HEAD))

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.get_method() == b"GET" or self._dropping:
            return
        self._max_body_bytes = limits.MAX_BODY_BYTES
        for name, value in self.headers:
            if name == b"expect" and value:
                if value.lower() != b"100-continue":
                    self._refuse(text_response(417, BAD_EXPECTATION))
                    return
                if self._task is None and self.parser.get_http_version() != "1.0":
                    self.transport.write(CONTINUE)
        path = unescape_path(self.url.partition(b"?")[0])
        route = self.lane.dispatcher.find(path) if path is not None else None
        if route is not None and route.max_body_bytes is not None:
            self._max_body_bytes = route.max_body_bytes

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._dropping:
            return
        if self._body_bytes <= self._max_body_bytes:
            self._body.append(body)
        elif self._body_bytes > limits.MAX_DROPPED_BYTES:
            self._refuse(text_response(413, TOO_LARGE_BODY))
        else:
            self._body.clear()

    def on_message_complete(self) -> None:
        self._between_requests = True
        self._first_of_feed = False
        true_method, self._true_method = self._true_method, b""
        if self._dropping:
            return
        parser = self.parser
        keep_alive: bool = parser.should_keep_alive()
        old = parser.get_http_version() == "1.0"
        method = (true_method or parser.get_method()).decode("latin-1")
        if self._hosts != 1 and not (old and self._hosts == 0):
            what = "too many Host headers" if self._hosts else "missing required Host header"
            self._refuse(text_response(400, f"{BAD_REQUEST}: {what}"))
            return
        target = _origin_form(self.url)
        raw_path, _, query = target.partition(b"?")
        path = unescape_path(raw_path) if target else None
        if path is None:
            self._refuse(text_response(400, BAD_REQUEST))
            return
        body = b"".join(self._body) if self._body else b""
        if self._body:
            self._body = []
        request = Request(method, path, query, self.headers, body, self._counted_as, target)
        request.body_bytes = self._body_bytes
        if self._max_body_bytes == limits.MAX_BODY_BYTES < self._body_bytes:
            self._refuse(text_response(413, TOO_LARGE_BODY))
        elif self._task is not None or self._waiting or self.flow.write_paused:
            self._waiting.append((request, keep_alive, old))
            if len(self._waiting) >= limits.MAX_PIPELINED:
                self.flow.pause_reading()
        else:
            self._start(request, keep_alive, old)

    # ------------------------------------------------------------------------------------------------- answers

    def _start(self, request: Request, keep_alive: bool, old: bool) -> None:
        answer = self._answer(request)
        if isinstance(answer, Response) and answer.stream is None:
            self._write(request, answer, keep_alive, old)
        else:
            self._task = self.loop.create_task(self._finish(request, answer, keep_alive, old))

    async def _finish(self, request: Request, answer: Any, keep_alive: bool, old: bool) -> None:
        response: Response = answer if isinstance(answer, Response) else await answer
        if response.stream is not None:
            await self._write_stream(request, response, keep_alive, old)
        elif not self.transport.is_closing():
            self._write(request, response, keep_alive, old)
        self._task = None
        self._continue()

    def _continue(self) -> None:
        """Goes on with what was sent ahead, as far as the client takes answers."""
        while self._waiting and self._task is None and not self.flow.write_paused and not self.transport.is_closing():
            self._start(*self._waiting.popleft())
        if self._due_refusal is not None and self._task is None and not self._waiting:
            self._refuse(self._due_refusal)
        if len(self._waiting) < limits.MAX_PIPELINED // 2 and not self.flow.write_paused:
            self.flow.resume_reading()

    def _write(self, request: Request, response: Response, keep_alive: bool, old: bool) -> None:
        last = not self._waiting
        keep_alive = keep_alive and not (self._stopping and last)
        # To HTTP/1.0, closing goes without saying.
        connection = (b"keep-alive" if keep_alive else b"") if old else b"" if keep_alive else b"close"
        rest = rest_of_answer(response, request.method != "HEAD", connection)
        head = (STATUS_LINES_10 if old else STATUS_LINES)[response.status]
        self.transport.write(b"".join((head, self.lane.date.get(), rest)))
        if not keep_alive:
            self._close()
        elif response.fresh is not None and self._raw is not None:
            meter = self.lane.dispatcher.meter_of_kept(request, response)
            self.lane.cache.put(self._raw, CachedAnswer(response.fresh, head, rest, meter))

    async def _write_stream(self, request: Request, response: Response, keep_alive: bool, old: bool) -> None:
        assert response.stream is not None
        # HTTP/1.0 has no chunks: there the end of the connection is the end of the body.
        keep_alive = keep_alive and not self._stopping and not old
        head = (STATUS_LINES_10 if old else STATUS_LINES)[response.status] + self.lane.date.get()
        self.transport.write(head + rest_of_answer(response, False, b"" if keep_alive else b"close", chunked=not old))
        try:
            async for piece in response.stream:
                if self.transport.is_closing():
                    return
                if piece:
                    self.transport.write(piece if old else chunk(piece))
                    await self.flow.drain()
        except Exception:
            # The status is out already: only a connection that breaks off tells that something is missing.
            log.exception("Request failed while its answer was sent: url=%s", request.path)
            self.transport.abort()
            return
        if not old:
            self.transport.write(chunk(b""))
        if not keep_alive:
            self._close()

    def _refuse(self, response: Response) -> None:
        """Says what is wrong with the bytes received and ends the connection.

        What the client still sends is read and dropped for a moment: closing on it would make the system reset the
        connection, and the client would lose the answer.
        """
        if self.transport.is_closing() or self._refused:
            return
        self._drop_the_rest()
        self._between_requests = True
        self._deadline_s = 0.0
        self._body.clear()
        if self._task is not None or self._waiting:
            # Answers to what came before go first.
            self._due_refusal = response
            return
        self._refused = True
        head = STATUS_LINES[response.status] + self.lane.date.get()
        self.transport.write(head + rest_of_answer(response, True, b"close"))
        if self.lane.lingering > limits.MAX_LINGERING or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self._linger(limits.LINGER_S)

    def _drop_the_rest(self) -> None:
        if not self._dropping:
            self._dropping = True
            self.lane.lingering += 1

    def _linger(self, time_s: float) -> None:
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        self._linger_timer = self.loop.call_later(time_s, self.transport.close)

    def _close(self) -> None:
        self._waiting.clear()
        self.transport.close()


def _origin_form(url: bytes) -> bytes:
    """Path and query of a request target; empty when there is none (RFC 9112 3.2)."""
    if url.startswith(b"/"):
        return url
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        return b""
    if not parsed.schema:
        return b""
    return (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
