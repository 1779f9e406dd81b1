"""Finished answers by the request's bytes: a repeated request is answered without parsing it again.

An answer that says how to tell whether it still holds (`Response.fresh`: usually one LMDB get of its topic's index)
is kept as bytes. It is never served without asking that, so nothing has to be invalidated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

MAX_ENTRIES = 4096
MAX_ENTRY_BYTES = 1024 * 1024
MAX_TOTAL_BYTES = 16 << 20
# Looking at the clock would cost a kept answer some percent: one use in so many is measured, all are counted.
MEASURED_MASK = 63


class Meter(Protocol):
    """Is told how many answers were given and how long each took."""

    def answered(self, count: int, each_ms: float) -> None: ...


@dataclass(slots=True)
class CachedAnswer:
    """`fresh` is asked before every use; `head` and `rest` go around the Date header.

    `uses` grows with every use, `each_ms` is how long the last measured one took; the meter is told of both later.
    """

    fresh: Callable[[], bool]
    head: bytes
    rest: bytes
    meter: Meter | None = None
    uses: int = 0
    each_ms: float = 0.0
    told: int = 0

    def tell(self) -> None:
        """Count what was given since the last time."""
        if self.meter is not None and self.uses > self.told:
            self.meter.answered(self.uses - self.told, self.each_ms)
            self.told = self.uses


class AnswerCache:
    """Bounded by number and by bytes; the oldest entry makes room."""

    def __init__(self) -> None:
        self._entries: dict[bytes, CachedAnswer] = {}
        self._bytes = 0
        self.get = self._entries.get

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, request: bytes, answer: CachedAnswer) -> None:
        size = len(request) + len(answer.rest)
        if size > MAX_ENTRY_BYTES:
            return
        self.drop(request)
        while self._entries and (len(self._entries) >= MAX_ENTRIES or self._bytes + size > MAX_TOTAL_BYTES):
            self.drop(next(iter(self._entries)))
        self._entries[request] = answer
        self._bytes += size

    def drop(self, request: bytes) -> None:
        answer = self._entries.pop(request, None)
        if answer is not None:
            answer.tell()
            self._bytes -= len(request) + len(answer.rest)

    def tell(self) -> None:
        """Count what was given since the last time: before figures are read."""
        for answer in self._entries.values():
            answer.tell()
