"""A small HTTP/1.1 client for checks: one request per connection, the body kept up to a limit, no connection pool.

A check wants to know whether a fresh connection works, so nothing is kept open (as Consul 1.7 does).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import httptools

from checkd.core.output import OutputRing
from checkd.runners.dialing import DialError, dial_tcp, dial_unix

MAX_HEADER_BYTES = 256 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
FORBIDDEN_IN_HEADERS = ("\r", "\n", "\0")


class HttpError(Exception):
    """The exchange failed; the text is what Go's client would say."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect: host and port, or the path of a Unix socket; with TLS when a context is given."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    unix_path: str = ""


class HttpAnswer(NamedTuple):
    """Status, reason, headers (lower-case names) and the kept part of the body."""

    status: int
    reason: str
    headers: dict[str, str]
    body: OutputRing


class _Exchange(asyncio.Protocol):
    """Writes the request when connected and parses what comes back."""

    def __init__(self, request: bytes, expects_body: bool, limit_bytes: int) -> None:
        self._request = request
        self._expects_body = expects_body
        self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self._header_bytes = 0
        self._headers: dict[str, str] = {}
        self._body = OutputRing(limit_bytes)
        self._transport: asyncio.Transport | None = None
        self._headers_done = False
        self.answer: asyncio.Future[HttpAnswer] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self._headers_done:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._fail("net/http: server response headers exceeded limit")
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.answer.done():
                self._fail(f"net/http: HTTP/1.x transport connection broken: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer.done():
            return
        if self._headers_done:
            # A body without a length ends with the connection.
            self.on_message_complete()
        else:
            self._fail("EOF" if exc is None else _broken_off(exc))

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._reason = b""
            self._headers.clear()
            return
        self._headers_done = True
        if not self._expects_body:
            self.on_message_complete()

    def on_body(self, body: bytes) -> None:
        self._body.write(body)
        if self._body.total_bytes > MAX_BODY_BYTES:
            self.on_message_complete()

    def on_message_complete(self) -> None:
        if not self._headers_done or self.answer.done():
            return
        reason = self._reason.decode("latin-1")
        self.answer.set_result(HttpAnswer(self._parser.get_status_code(), reason, self._headers, self._body))
        self.close()

    def close(self) -> None:
        """Drop the connection without ceremony."""
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(HttpError(text))
        self.close()


def _broken_off(error: Exception) -> str:
    if not isinstance(error, ssl.SSLError):
        return f"read tcp: {error}"
    from lictor.tls.faults import described

    return described(error)


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes) -> bytes:
    """The request as sent; raises HttpError for a header that would break out of its line."""
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers:
        if any(character in name + value for character in FORBIDDEN_IN_HEADERS):
            raise HttpError(f'net/http: invalid header field value for key "{name}"')
        lines.append(f"{name}: {value}")
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


async def exchange(endpoint: Endpoint, request: bytes, expects_body: bool, limit_bytes: int) -> HttpAnswer:
    """Connect, send and read one answer; raises DialError or HttpError. The caller sets the deadline."""
    if endpoint.unix_path:
        connection = await dial_unix(endpoint.unix_path)
    else:
        connection = await dial_tcp(endpoint.host, endpoint.port)
    protocol = _Exchange(request, expects_body, limit_bytes)
    server_name = (endpoint.server_name or endpoint.host) if endpoint.tls is not None else None
    try:
        # From here on the socket belongs to the loop: closing it as well would pull it from under a poll.
        await asyncio.get_running_loop().create_connection(
            lambda: protocol, sock=connection, ssl=endpoint.tls, server_hostname=server_name
        )
        return await protocol.answer
    except ssl.SSLError as error:
        from lictor.tls.faults import described

        raise HttpError(described(error)) from None
    except OSError as error:
        raise DialError(f"tls handshake: {error}") from None
    finally:
        protocol.close()
        if protocol.answer.done() and not protocol.answer.cancelled():
            protocol.answer.exception()
