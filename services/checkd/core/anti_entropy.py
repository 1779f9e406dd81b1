"""When to compare with the catalog and when to send changes (Consul 1.7: anti-entropy).

A full comparison comes at start, then every interval plus up to as much again, both stretched on large clusters; after
a failure once the retry time is over; after news of a leader within a short random wait. A local change is sent at
once, or with what else changed within `GATHER_NS` of the last time, so that many changes travel together; after a
failed comparison the next one takes it along.

One thing differs from Consul: the wait after news of a leader, which is there so that thousands of nodes do not come
at the same moment, shrinks with the cluster, so that a small one is in sync at once.
"""

from __future__ import annotations

import math
from enum import Enum
from random import Random

from checkd.core.duration import MILLISECOND_NS, SECOND_NS

SCALE_THRESHOLD_NODES = 128
RETRY_FAIL_NS = 15 * SECOND_NS
LEADER_STAGGER_NS = 3 * SECOND_NS
UNREACHABLE_RETRY_NS = 250 * MILLISECOND_NS
PARTIAL_RETRY_NS = 5 * SECOND_NS
GATHER_NS = 20 * MILLISECOND_NS


class Work(Enum):
    """What is due."""

    FULL = "full"
    PARTIAL = "partial"


def scale_factor(nodes: int) -> int:
    """By how much intervals stretch: 1 up to 128 nodes, then one more per doubling begun."""
    if nodes <= SCALE_THRESHOLD_NODES:
        return 1
    return math.ceil(math.log2(nodes) - math.log2(SCALE_THRESHOLD_NODES)) + 1


class SyncSchedule:
    """Times are monotonic nanoseconds."""

    def __init__(self, random: Random, interval_ns: int, now_ns: int) -> None:
        self._random = random
        self._interval_ns = interval_ns
        self._full_at_ns = now_ns
        self._partial_at_ns: int | None = None
        self._gather_until_ns = now_ns
        self._changed_meanwhile = False
        self.nodes = 1
        self.failed = False

    def wake_at_ns(self) -> int:
        """When something is due at the latest."""
        if self._partial_at_ns is None:
            return self._full_at_ns
        return min(self._full_at_ns, self._partial_at_ns)

    def due(self, now_ns: int) -> Work | None:
        """What to do now; a comparison includes sending the changes."""
        if now_ns >= self._full_at_ns:
            self._partial_at_ns = None
            self._changed_meanwhile = False
            return Work.FULL
        if self._partial_at_ns is not None and now_ns >= self._partial_at_ns:
            self._partial_at_ns = None
            self._gather_until_ns = now_ns + GATHER_NS
            return Work.PARTIAL
        return None

    def changed(self, now_ns: int) -> None:
        """Something local is out of sync. After a failed comparison it waits for the next one to succeed."""
        if self.failed:
            self._changed_meanwhile = True
        else:
            self._partial_at_ns = max(now_ns, self._gather_until_ns)

    def leader_found(self, now_ns: int) -> None:
        """There is a leader again, or a new one: compare soon."""
        share = min(1.0, self.nodes / SCALE_THRESHOLD_NODES)
        wait_ns = self._stagger(int(LEADER_STAGGER_NS * share))
        self._full_at_ns = min(self._full_at_ns, now_ns + wait_ns)

    def compare_now(self, now_ns: int) -> None:
        """What we are allowed may be something else now."""
        self._full_at_ns = now_ns

    def full_done(self, now_ns: int) -> None:
        """A comparison succeeded; what changed while it went on may not be in it."""
        self.failed = False
        if self._changed_meanwhile:
            self._changed_meanwhile = False
            self._partial_at_ns = now_ns
        self._full_at_ns = now_ns + self._interval_ns + self._stagger(self._interval_ns)

    def full_failed(self, now_ns: int, reachable: bool) -> None:
        """A comparison failed; `reachable` tells a refusal from a local API or server that is not there yet."""
        self.failed = True
        wait_ns = RETRY_FAIL_NS + self._stagger(RETRY_FAIL_NS) if reachable else UNREACHABLE_RETRY_NS
        self._full_at_ns = now_ns + wait_ns

    def partial_failed(self, now_ns: int, reachable: bool) -> None:
        """Sending changes failed: they are still there, so try again without waiting for the next comparison."""
        wait_ns = self._stagger(PARTIAL_RETRY_NS) if reachable else UNREACHABLE_RETRY_NS
        self._partial_at_ns = now_ns + wait_ns

    def _stagger(self, span_ns: int) -> int:
        return self._random.randrange(span_ns * scale_factor(self.nodes)) if span_ns > 0 else 0
