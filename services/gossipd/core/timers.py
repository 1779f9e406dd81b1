"""Timers are data: a kind and a token. Nothing is ever cancelled; whoever gets a stale token ignores it."""

import heapq
from enum import IntEnum

NEVER_NS = 2**63 - 1


class TimerKind(IntEnum):
    """What is due."""

    PROBE = 1
    PROBE_TIMEOUT = 2
    PROBE_DEADLINE = 3
    RELAYED_PING = 4
    SUSPICION = 5
    GOSSIP = 6
    PUSH_PULL = 7
    REAP = 8
    RECONNECT = 9
    QUEUE_CHECK = 10
    QUERY = 11
    LEAVE_STEP = 12
    PRUNE = 13
    CLOCK_SNAPSHOT = 14
    BROADCAST_WAIT = 15


Timer = tuple[TimerKind, str, int]


class Timers:
    """A heap of due times; equal times fire in the order set."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, at_ns: int, kind: TimerKind, subject: str = "", token: int = 0) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at_ns, self._count, (kind, subject, token)))

    @property
    def wake_at_ns(self) -> int:
        return self._heap[0][0] if self._heap else NEVER_NS

    def pop_due(self, now_ns: int) -> Timer | None:
        if self._heap and self._heap[0][0] <= now_ns:
            return heapq.heappop(self._heap)[2]
        return None
