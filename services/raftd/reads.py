"""Read barriers on their way: numbered for the core, answered once the local state has reached their index."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from raftd.core.effects import ReadFailure, ReadState

WAITING_MAX = 65536
"""Barriers on their way at once."""


class ReadSink(Protocol):
    """Who takes answers."""

    def answer_read(self, read_id: int, index: int, error: str) -> None:
        """The barrier's index, or why there is none."""


@dataclass(frozen=True, slots=True)
class Read:
    """One barrier, and who wants to know; given up at `deadline_ns`."""

    sink: ReadSink
    id: int
    deadline_ns: int


class Reads:
    """Numbers barriers, and keeps those that wait for the state machine."""

    def __init__(self) -> None:
        self._next_context = 1
        self._asked: dict[int, Read] = {}
        self._applying: list[tuple[int, int, Read]] = []

    def __len__(self) -> int:
        return len(self._asked) + len(self._applying)

    def number(self, reads: Iterable[Read]) -> list[int]:
        """Contexts for the core, one per barrier."""
        contexts: list[int] = []
        for read in reads:
            self._asked[self._next_context] = read
            contexts.append(self._next_context)
            self._next_context += 1
        return contexts

    def refused(self, contexts: Iterable[int]) -> list[Read]:
        """The core did not take these: they may be numbered again."""
        return [self._asked.pop(context) for context in contexts]

    def confirmed(self, states: Iterable[ReadState], applied_index: int) -> None:
        """The core gave indexes."""
        for state in states:
            read = self._asked.pop(state.context)
            if state.index <= applied_index:
                read.sink.answer_read(read.id, state.index, "")
            else:
                heapq.heappush(self._applying, (state.index, state.context, read))

    def failed(self, failures: Iterable[ReadFailure]) -> list[Read]:
        """The core could not confirm these: they may be numbered again."""
        return [self._asked.pop(failure.context) for failure in failures]

    def applied(self, applied_index: int) -> None:
        """The state machine has moved on."""
        while self._applying and self._applying[0][0] <= applied_index:
            index, _, read = heapq.heappop(self._applying)
            read.sink.answer_read(read.id, index, "")
