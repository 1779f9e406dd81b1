"""Timers as data: a heap of (due, name, key) where only the newest of each name and key counts."""

from __future__ import annotations

import heapq

COMPACT_FACTOR = 4
COMPACT_MINIMUM = 1024


class Timers:
    """Due times in monotonic nanoseconds; setting a timer again replaces it, nothing is ever searched."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str, str]] = []
        self._tokens: dict[tuple[str, str], int] = {}
        self._next_token = 1

    def set(self, name: str, key: str, due_ns: int) -> None:
        """Arm the timer of this name and key, replacing an earlier one."""
        token = self._next_token
        self._next_token += 1
        self._tokens[name, key] = token
        heapq.heappush(self._heap, (due_ns, token, name, key))
        if len(self._heap) > COMPACT_MINIMUM and len(self._heap) > COMPACT_FACTOR * len(self._tokens):
            self._heap = [item for item in self._heap if self._tokens.get((item[2], item[3])) == item[1]]
            heapq.heapify(self._heap)

    def clear(self, name: str, key: str) -> None:
        """Disarm it, if armed."""
        self._tokens.pop((name, key), None)

    def is_set(self, name: str, key: str) -> bool:
        """Whether it is armed."""
        return (name, key) in self._tokens

    def expired(self, now_ns: int) -> list[tuple[str, str]]:
        """Names and keys of the timers that are due, disarmed by this."""
        fired = []
        while self._heap and self._heap[0][0] <= now_ns:
            _, token, name, key = heapq.heappop(self._heap)
            if self._tokens.get((name, key)) == token:
                del self._tokens[name, key]
                fired.append((name, key))
        return fired

    def next_due_ns(self) -> int | None:
        """When the next one is due; None when none is armed."""
        while self._heap and self._tokens.get((self._heap[0][2], self._heap[0][3])) != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
