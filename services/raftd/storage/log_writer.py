"""The thread that writes the log: while one batch is being synced, the next gathers in its queue.

What it reports is called on the event loop. A full disk is reported once, the write repeated until it succeeds, and
then that is reported; nothing in between counts as durable. Any other failure is reported and ends the thread.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from raftd.storage.errors import DiskFullError, StorageError
from raftd.storage.wal import LogWrite, Wal

FULL_RETRY_S = 1.0
"""Pause between attempts while the disk is full."""
STOP_TIMEOUT_S = 10.0

log = logging.getLogger("agent.server.raft")

_Item = tuple[int, LogWrite] | int | None
"""(sequence, write), an index to compact up to, or the order to stop."""


class LogWriter:
    """Owns the writing side of a `Wal` from `start` to `stop`."""

    def __init__(
        self,
        wal: Wal,
        on_durable: Callable[[int], None],
        on_full: Callable[[str], None],
        on_failure: Callable[[StorageError], None],
    ) -> None:
        """`on_durable(sequence)`: everything up to it is on disk. `on_full(text)`: no space; "" when it is over."""
        self._wal = wal
        self._on_durable = on_durable
        self._on_full = on_full
        self._on_failure = on_failure
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin, reporting to the running loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(self, sequence: int, write: LogWrite) -> None:
        """Queue one write. The core's flow control bounds how much can wait here."""
        self._queue.put((sequence, write))

    def compact(self, index: int) -> None:
        """Remove segments whose entries all lie at or below `index`, behind the writes queued so far."""
        self._queue.put(index)

    def stop(self) -> None:
        """Write what is queued, mark an orderly end, and wait for the thread."""
        if self._thread is None:
            return
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(STOP_TIMEOUT_S)
        self._thread = None

    def _run(self) -> None:
        try:
            while self._turn(self._queue.get()):
                pass
            self._wal.finish()
        except DiskFullError:
            return
        except StorageError as error:
            self._report(self._on_failure, error)

    def _turn(self, first: _Item) -> bool:
        """Carry out what is queued; whether to go on."""
        writes: deque[LogWrite] = deque()
        sequence = 0
        compact_index = 0
        go_on = True
        item = first
        while True:
            if item is None:
                go_on = False
            elif isinstance(item, int):
                compact_index = max(compact_index, item)
            else:
                sequence = item[0]
                writes.append(item[1])
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
        if writes:
            self._write(writes)
            self._report(self._on_durable, sequence)
        if compact_index:
            self._wal.compact(compact_index)
        return go_on

    def _write(self, writes: deque[LogWrite]) -> None:
        full = False
        while True:
            try:
                self._wal.write(writes)
                break
            except DiskFullError as error:
                if not full:
                    full = True
                    self._report(self._on_full, str(error))
                if self._stopping.wait(FULL_RETRY_S):
                    raise
        if full:
            self._report(self._on_full, "")

    def _report(self, callback: Callable[..., None], argument: object) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, argument)
        except RuntimeError:
            log.debug("write-ahead log: the event loop is closed")
