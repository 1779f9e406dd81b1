"""Server-sent events as bytes, written and read (WHATWG HTML: server-sent events).

One event per message: `event:`, `id:` and one `data:` line, as this API writes them; a line that begins with a colon is
a comment. The ID of a watch is the index of each of its topics, in the order asked for, joined by `-`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

CONTENT_TYPE = b"text/event-stream"
KEEP_ALIVE = b":\n\n"
RETRY_MS = 1000
OPENING = b"retry: %d\n\n" % RETRY_MS
END = b"\n\n"
MAX_EVENT_BYTES = 1 << 30
"""Larger than any state that is watched: what grows beyond it is no event."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: `update`, `reset` or `error`; `id` is empty where the event carries none."""

    name: str
    id: str
    data: bytes


def encode_event(name: bytes, event_id: bytes, data: bytes) -> bytes:
    """The bytes of one event; `data` is one line."""
    if event_id:
        return b"event: %b\nid: %b\ndata: %b\n\n" % (name, event_id, data)
    return b"event: %b\ndata: %b\n\n" % (name, data)


def join_indexes(indexes: Iterable[int]) -> bytes:
    return b"-".join(b"%d" % index for index in indexes)


def split_indexes(text: str, count: int) -> tuple[int, ...]:
    """The index of each topic in a Last-Event-ID; of none when it does not belong to so many topics."""
    parts = text.split("-")
    if len(parts) != count or not all(part.isascii() and part.isdigit() and len(part) <= 20 for part in parts):
        return (0,) * count
    return tuple(int(part) for part in parts)


def decode_event(frame: bytes) -> ServerEvent | None:
    """The event in the lines before an empty one; None when there is none in them."""
    name, event_id, data = "", "", b""
    for line in frame.split(b"\n"):
        field, _, value = line.partition(b": ")
        if field == b"event":
            name = value.decode()
        elif field == b"id":
            event_id = value.decode()
        elif field == b"data":
            data = value
    return ServerEvent(name, event_id, data) if name else None


async def frames(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole messages, each with its empty line, from pieces cut anywhere; what is left incomplete is dropped."""
    rest = bytearray()
    async for piece in pieces:
        start = max(0, len(rest) - 1)
        rest += piece
        begin = 0
        while (end := rest.find(END, start)) >= 0:
            yield bytes(rest[begin : end + 2])
            begin = start = end + 2
        del rest[:begin]
        if len(rest) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
