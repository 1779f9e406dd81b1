"""When a daemon that ended is started again, and when a silent one is taken for hung. No clock, no processes.

Rules: the first restart after a good while is immediate; each further one within that while waits longer, up to
`MAX_DELAY_NS`, so that a daemon is back within 3 s of ending however often it ends. Before it ever became ready it gets
`MAX_FAILED_STARTS` tries, then the agent gives up. A daemon beats once a second; none for `BEAT_TIMEOUT_NS`, or no
first one within `START_TIMEOUT_NS`, and it is hung.
"""

from __future__ import annotations

from dataclasses import dataclass

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
FIRST_DELAY_NS = 100 * MILLISECOND_NS
MAX_DELAY_NS = 1600 * MILLISECOND_NS
GOOD_WHILE_NS = 10 * SECOND_NS
BEAT_TIMEOUT_NS = 10 * SECOND_NS
START_TIMEOUT_NS = 60 * SECOND_NS
MAX_FAILED_STARTS = 5


@dataclass(slots=True)
class Watch:
    """What the supervisor knows about one daemon's life."""

    beat_timeout_ns: int = BEAT_TIMEOUT_NS
    start_timeout_ns: int = START_TIMEOUT_NS
    ever_ready: bool = False
    failed_starts: int = 0
    delay_ns: int = 0
    started_ns: int = 0
    last_beat_ns: int | None = None

    def started(self, now_ns: int) -> None:
        """A process was forked."""
        self.started_ns = now_ns
        self.last_beat_ns = None

    def beat(self, now_ns: int) -> None:
        """The process said something."""
        self.last_beat_ns = now_ns

    def ready(self) -> None:
        """The process serves."""
        self.ever_ready = True
        self.failed_starts = 0

    def ended(self, now_ns: int) -> int | None:
        """The process ended: when to start the next, or None when it is hopeless."""
        if not self.ever_ready:
            self.failed_starts += 1
            if self.failed_starts >= MAX_FAILED_STARTS:
                return None
        delay_ns = 0 if now_ns - self.started_ns >= GOOD_WHILE_NS else self.delay_ns
        self.delay_ns = min(max(2 * delay_ns, FIRST_DELAY_NS), MAX_DELAY_NS)
        return now_ns + delay_ns

    def hung_at(self) -> int:
        """When the process counts as hung unless it says something before."""
        if self.last_beat_ns is None:
            return self.started_ns + self.start_timeout_ns
        return self.last_beat_ns + self.beat_timeout_ns
