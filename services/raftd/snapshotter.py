"""When to take snapshots, and taking them: a copy on a thread, then the log is cut behind it.

Every random [interval, 2 × interval] the distance from the last snapshot is looked at (Consul 1.7: 30 s, 16,384
entries; 10,240 stay in the log for followers that lag).
"""

import asyncio
import logging
import random
import time

from lictor import telemetry
from lictor.page import boottime_ns
from lictor.state.store import StoreError
from raftd.driver import Driver
from raftd.storage.errors import StorageError

log = logging.getLogger("agent.server.snapshot")

_COPIES = telemetry.sample("raft.snapshot.create")
_STATE_COPIES = telemetry.sample("raft.fsm.snapshot")
_PUBLICATIONS = telemetry.sample("raft.snapshot.persist")
_STATE_PUBLICATIONS = telemetry.sample("fsm.persist")
_SNAPSHOTS = telemetry.sample("raft.snapshot.takeSnapshot")
_COMPACTIONS = telemetry.sample("raft.compactLogs")


def due(applied_index: int, snapshot_index: int, threshold: int) -> bool:
    """Whether enough entries were applied since the last snapshot."""
    return applied_index - snapshot_index >= threshold


class Snapshotter:
    """Takes snapshots of one server's state machine."""

    def __init__(self, driver: Driver, interval_ns: int, threshold: int, trailing: int) -> None:
        self._driver = driver
        self._interval_s = interval_ns / 1e9
        self._threshold = threshold
        self._trailing = trailing
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        """Look now and then; never returns."""
        while True:
            await asyncio.sleep(random.uniform(self._interval_s, 2 * self._interval_s))
            newest = self._driver.newest_snapshot
            if due(self._driver.machine.applied_index, newest.index if newest else 0, self._threshold):
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
            driver.compact(max(meta.index - self._trailing, 0))
            _COMPACTIONS.since(published_s)
            _SNAPSHOTS.since(started_s)
            log.info(
                "snapshot complete: id=%s index=%d bytes=%d ms=%d",
                meta.id,
                meta.index,
                meta.size_bytes,
                (boottime_ns() - started_ns) // 1_000_000,
            )
