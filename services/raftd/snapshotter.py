"""When to take snapshots, and taking them: a copy on a thread, then the log is cut behind it.

Every random [interval, 2 × interval] the distance from the last snapshot is looked at (Consul 1.7: 30 s, 16,384
entries; 10,240 stay in the log for followers that lag). Unlike Consul, age counts too: a quiet cluster's few entries
get a snapshot after `SNAPSHOT_AGE_MAX_NS`, and no entry stays in the log much longer than `LOG_AGE_MAX_NS` behind one,
so that big values do not lie about twice for months.
"""

import asyncio
import logging
import random
import time
from collections import deque

from lictor import telemetry
from lictor.page import boottime_ns
from lictor.state.store import StoreError
from raftd.driver import Driver
from raftd.storage.errors import StorageError

SNAPSHOT_AGE_MAX_NS = 3600 * 1_000_000_000
LOG_AGE_MAX_NS = 3600 * 1_000_000_000
SEEN_MAX = 4096
"""Looks that are remembered: an hour of one a second."""

log = logging.getLogger("agent.server.snapshot")

_COPIES = telemetry.sample("raft.snapshot.create")
_STATE_COPIES = telemetry.sample("raft.fsm.snapshot")
_PUBLICATIONS = telemetry.sample("raft.snapshot.persist")
_STATE_PUBLICATIONS = telemetry.sample("fsm.persist")
_SNAPSHOTS = telemetry.sample("raft.snapshot.takeSnapshot")
_COMPACTIONS = telemetry.sample("raft.compactLogs")


def due(applied_index: int, snapshot_index: int, threshold: int, age_ns: int) -> bool:
    """Whether enough entries were applied since the last snapshot, or any a long time ago."""
    fresh = applied_index - snapshot_index
    return fresh >= threshold or (fresh > 0 and age_ns >= SNAPSHOT_AGE_MAX_NS)


class AppliedAt:
    """When which entry had been applied, as far as compaction by age needs it."""

    def __init__(self) -> None:
        # When it is full, the oldest goes and less is compacted.
        self._seen: deque[tuple[int, int]] = deque(maxlen=SEEN_MAX)

    def saw(self, now_ns: int, index: int) -> None:
        """Everything up to `index` is applied now."""
        self._seen.append((now_ns, index))

    def older_than(self, since_ns: int) -> int:
        """The last entry known to have been applied before; 0 when none is. What is older still is forgotten."""
        while len(self._seen) > 1 and self._seen[1][0] <= since_ns:
            self._seen.popleft()
        return self._seen[0][1] if self._seen and self._seen[0][0] <= since_ns else 0


class Snapshotter:
    """Takes snapshots of one server's state machine."""

    def __init__(self, driver: Driver, interval_ns: int, threshold: int, trailing: int) -> None:
        self._driver = driver
        self._interval_s = interval_ns / 1e9
        self._threshold = threshold
        self._trailing = trailing
        self._lock = asyncio.Lock()
        self._applied_at = AppliedAt()
        self._last_ns = boottime_ns()
        """When the last snapshot was taken, or this process began."""

    async def run(self) -> None:
        """Look now and then; never returns."""
        while True:
            await asyncio.sleep(random.uniform(self._interval_s, 2 * self._interval_s))
            newest, now_ns = self._driver.newest_snapshot, boottime_ns()
            applied_index = self._driver.machine.applied_index
            self._applied_at.saw(now_ns, applied_index)
            if due(applied_index, newest.index if newest else 0, self._threshold, now_ns - self._last_ns):
                try:
                    await self.take()
                except (StorageError, StoreError) as error:
                    log.error("failed to take snapshot: error=%s", error)

    async def take(self) -> None:
        """Take one now. Raises StorageError, StoreError."""
        async with self._lock:
            driver = self._driver
            started_ns, started_s = boottime_ns(), time.perf_counter()
            generation = driver.machine.generation
            draft = await asyncio.to_thread(driver.machine.copy)
            for copies in (_COPIES, _STATE_COPIES):
                copies.since(started_s)
            newest = driver.newest_snapshot
            if generation != driver.machine.generation or draft.index <= (newest.index if newest else 0):
                return
            copied_s = time.perf_counter()
            meta = await driver.publish_snapshot(draft)
            for publications in (_PUBLICATIONS, _STATE_PUBLICATIONS):
                publications.since(copied_s)
            published_s = time.perf_counter()
            self._last_ns = boottime_ns()
            old_index = self._applied_at.older_than(self._last_ns - LOG_AGE_MAX_NS)
            driver.compact(max(meta.index - self._trailing, min(old_index, meta.index), 0))
            _COMPACTIONS.since(published_s)
            _SNAPSHOTS.since(started_s)
            log.info(
                "snapshot complete: id=%s index=%d bytes=%d ms=%d",
                meta.id,
                meta.index,
                meta.size_bytes,
                (boottime_ns() - started_ns) // 1_000_000,
            )
