"""Answers as bytes: status line, date, headers, body in one piece."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from apid.core.message import Response


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = f"status code {status}"
    # Go's names where they differ from Python's.
    phrase = {413: "Request Entity Too Large", 414: "Request URI Too Long"}.get(status, phrase)
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}
STATUS_LINES_10 = {status: line.replace(b"HTTP/1.1", b"HTTP/1.0") for status, line in STATUS_LINES.items()}
BODILESS = frozenset((204, 304))


class DateLine:
    """The Date header, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def get(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = b"Date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._line


def rest_of_answer(response: Response, with_body: bool, connection: bytes = b"", chunked: bool = True) -> bytes:
    """Everything after status line and date: headers, blank line and body. A stream that is not `chunked` ends with
    its connection.
    """
    parts = [b"%b: %b\r\n" % pair for pair in response.headers]
    if response.stream is not None:
        if chunked:
            parts.append(b"Transfer-Encoding: chunked\r\n")
    elif response.status not in BODILESS:
        parts.append(b"Content-Length: %d\r\n" % len(response.body))
    if connection:
        parts.append(b"Connection: %b\r\n" % connection)
    parts.append(b"\r\n")
    if with_body and response.stream is None:
        parts.append(response.body)
    return b"".join(parts)


def chunk(piece: bytes) -> bytes:
    """One chunk of a streamed body; the empty piece ends it."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
