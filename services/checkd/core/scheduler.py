"""When which check runs.

Rules: a new check first runs at a random point of its interval, later runs follow one interval after the previous one
ended, so checks registered together drift apart and stay apart. At most `max_running` run at once; whoever is due
beyond that waits in order of arrival. A check never overlaps itself. Timers are data: one that was replaced or removed
is recognised by its token and dropped when it comes up.
"""

from __future__ import annotations

import heapq
from collections import deque
from random import Random

MAX_RUNNING_CHECKS = 256
COMPACT_FACTOR = 4
COMPACT_MINIMUM = 1024


class Scheduler:
    """Due times of interval checks; times are monotonic nanoseconds."""

    def __init__(self, random: Random, max_running: int = MAX_RUNNING_CHECKS) -> None:
        assert max_running > 0, "at least one check must be allowed to run"
        self.max_running = max_running
        self._random = random
        self._heap: list[tuple[int, int, str]] = []
        self._intervals_ns: dict[str, int] = {}
        self._tokens: dict[str, int] = {}
        self._waiting: deque[tuple[str, int]] = deque()
        self._running: dict[str, int] = {}
        self._next_token = 1

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def running(self) -> int:
        """How many runs are out."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """How many are due but held back by the limit."""
        return len(self._waiting)

    def running_token(self, check_id: str) -> int | None:
        """The token of the run of this check that is out, if one is."""
        return self._running.get(check_id)

    def add(self, check_id: str, interval_ns: int, now_ns: int) -> None:
        """Start running a check, the first time within its interval; an earlier schedule of it is forgotten."""
        assert interval_ns > 0, "an interval check has an interval"
        self.remove(check_id)
        self._intervals_ns[check_id] = interval_ns
        self._arm(check_id, now_ns + self._random.randrange(interval_ns))

    def remove(self, check_id: str) -> None:
        """Stop running a check; a run that is out gives its place back."""
        self._tokens.pop(check_id, None)
        self._intervals_ns.pop(check_id, None)
        self._running.pop(check_id, None)

    def due(self, now_ns: int) -> list[tuple[str, int]]:
        """The checks to run now, each with the token that its result must bring back."""
        while self._heap and self._heap[0][0] <= now_ns:
            _, token, check_id = heapq.heappop(self._heap)
            if self._tokens.get(check_id) == token:
                self._waiting.append((check_id, token))
        runs = []
        while self._waiting and len(self._running) < self.max_running:
            check_id, token = self._waiting.popleft()
            if self._tokens.get(check_id) == token:
                self._running[check_id] = token
                runs.append((check_id, token))
        return runs

    def finished(self, check_id: str, token: int, now_ns: int) -> bool:
        """Note that a run ended and arm the next one; False when the run was of an older schedule."""
        if self._running.get(check_id) != token:
            return False
        del self._running[check_id]
        self._arm(check_id, now_ns + self._intervals_ns[check_id])
        return True

    def next_due_ns(self) -> int | None:
        """When to ask `due` again, apart from after a finished run; None when nothing is scheduled."""
        while self._heap and self._tokens.get(self._heap[0][2]) != self._heap[0][1]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _arm(self, check_id: str, due_ns: int) -> None:
        token = self._next_token
        self._next_token += 1
        self._tokens[check_id] = token
        heapq.heappush(self._heap, (due_ns, token, check_id))
        if len(self._heap) > COMPACT_MINIMUM and len(self._heap) > COMPACT_FACTOR * len(self._tokens):
            self._heap = [item for item in self._heap if self._tokens.get(item[2]) == item[1]]
            heapq.heapify(self._heap)
