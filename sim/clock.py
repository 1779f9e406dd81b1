"""Simulated time: one queue of events, and a clock per machine that runs a little wrong."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass

Action = Callable[[], None]


class Timeline:
    """True time in nanoseconds, and what happens when. Events of equal time happen in the order they were planned."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._planned = 0
        self._queue: list[tuple[int, int, Action]] = []

    def after(self, delay_ns: int, action: Action) -> None:
        """Plan `action`."""
        self._planned += 1
        heapq.heappush(self._queue, (self.now_ns + max(delay_ns, 0), self._planned, action))

    def run_until(self, end_ns: int) -> int:
        """Let everything happen that is due up to `end_ns`; returns how many events that were."""
        count = 0
        while self._queue and self._queue[0][0] <= end_ns:
            self.now_ns, _, action = heapq.heappop(self._queue)
            action()
            count += 1
        self.now_ns = end_ns
        return count


@dataclass(slots=True)
class DriftingClock:
    """A machine's monotonic clock: off by `offset_ns`, and faster or slower by `drift_ppm` millionths."""

    offset_ns: int
    drift_ppm: int

    def local_ns(self, true_ns: int) -> int:
        """What the clock shows at a true time."""
        return self.offset_ns + true_ns + true_ns * self.drift_ppm // 1_000_000

    def true_delay_ns(self, local_delay_ns: int) -> int:
        """How long, in truth, until the clock has moved on by `local_delay_ns`; never too short."""
        return max(0, local_delay_ns) * 1_000_000 // (1_000_000 + self.drift_ppm) + 1
