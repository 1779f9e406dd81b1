"""The log as the core sees it: what is stored, what is cached, what is on its way to the disk.

Indices, from low to high: compacted | cached from `_cache_first` | `durable_index` | `handed_index` | last.
Entries above `handed_index` go out with the next `Ready`; those above `durable_index` must not be acknowledged.
"""

from collections import deque
from collections.abc import Sequence

from raftd.core.entry import ENTRY_OVERHEAD_BYTES, Entry
from raftd.core.log_summary import LogReader, LogSummary


class Log:
    """Entries by index, with a bounded cache of the newest."""

    def __init__(self, summary: LogSummary, reader: LogReader, cache_max_bytes: int) -> None:
        self.summary = summary
        self.durable_index = summary.last_index
        self.handed_index = summary.last_index
        self._reader = reader
        self._cache_max_bytes = cache_max_bytes
        self._cache: list[Entry] = []
        self._cache_first = summary.last_index + 1
        self._cache_bytes = 0
        self._writes: deque[tuple[int, int]] = deque()
        """(sequence, last index) of writes on their way; a cut lowers the last index of those it overtakes."""

    @property
    def last_index(self) -> int:
        """Index of the newest entry."""
        return self.summary.last_index

    @property
    def last_term(self) -> int:
        """Term of the newest entry."""
        return self.summary.last_term

    @property
    def first_index(self) -> int:
        """Index of the oldest entry kept."""
        return self.summary.before_index + 1

    def term(self, index: int) -> int | None:
        """Term at `index`; None when compacted away or beyond the end."""
        return self.summary.term(index)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries right after the last index."""
        self._cache.extend(entries)
        size_bytes = 0
        for entry in entries:
            self.summary.append(entry)
            size_bytes += len(entry.data)
        self._cache_bytes += size_bytes + ENTRY_OVERHEAD_BYTES * len(entries)

    def cut(self, index: int) -> None:
        """Forget entries at `index` and after; writes on their way no longer make those durable."""
        self.summary.cut(index)
        if index < self._cache_first:
            self._clear_cache()
        else:
            keep = index - self._cache_first
            self._cache_bytes -= _size_bytes(self._cache[keep:])
            del self._cache[keep:]
        self.durable_index = min(self.durable_index, index - 1)
        self.handed_index = min(self.handed_index, index - 1)
        self._writes = deque((sequence, min(last, index - 1)) for sequence, last in self._writes)

    def reset(self, index: int, term: int) -> None:
        """Forget everything; the log goes on after a snapshot's (index, term), which is durable."""
        self.summary = LogSummary(index, term)
        self._clear_cache()
        self.durable_index = self.handed_index = index
        self._writes.clear()

    def compact(self, index: int) -> None:
        """Forget entries up to `index`."""
        self.summary.compact(index)
        if index >= self._cache_first:
            drop = index + 1 - self._cache_first
            self._cache_bytes -= _size_bytes(self._cache[:drop])
            del self._cache[:drop]
            self._cache_first = index + 1

    def take_unwritten(self, sequence: int) -> list[Entry]:
        """Entries for the disk, in the write numbered `sequence`."""
        if self.handed_index == self.last_index:
            return []
        entries = self._cache[self.handed_index + 1 - self._cache_first :]
        self.handed_index = self.last_index
        self._writes.append((sequence, self.last_index))
        return entries

    @property
    def has_unwritten(self) -> bool:
        """Whether entries wait to be handed to the disk."""
        return self.handed_index < self.last_index

    def persisted(self, sequence: int) -> None:
        """Writes up to `sequence` are durable."""
        while self._writes and self._writes[0][0] <= sequence:
            self.durable_index = max(self.durable_index, self._writes.popleft()[1])
        if self._cache_bytes > self._cache_max_bytes:
            self._evict()

    def entries(self, low: int, high: int, max_bytes: int, max_entries: int) -> tuple[Entry, ...]:
        """Entries low..high, fewer when a limit is reached, at least one. All must be kept in the log."""
        assert self.first_index <= low <= high <= self.last_index, f"{low}..{high} of {self.first_index}.."
        high = min(high, low + max_entries - 1)
        if low < self._cache_first:
            high = min(high, self._cache_first - 1)
            read = tuple(self._reader.entries(low, high, max_bytes))
            assert read and read[0].index == low, f"log reader gave {read[:1]} for index {low}"
            return read
        start = low - self._cache_first
        found = self._cache[start : high + 1 - self._cache_first]
        if self._cache_bytes > max_bytes:
            size_bytes = 0
            for position, entry in enumerate(found):
                size_bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES
                if size_bytes > max_bytes and position:
                    return tuple(found[:position])
        return tuple(found)

    def _evict(self) -> None:
        """Drop the oldest durable entries from memory, down to three quarters of the limit."""
        drop = 0
        for entry in self._cache:
            if self._cache_bytes <= self._cache_max_bytes * 3 // 4 or entry.index > self.durable_index:
                break
            self._cache_bytes -= len(entry.data) + ENTRY_OVERHEAD_BYTES
            drop += 1
        del self._cache[:drop]
        self._cache_first += drop

    def _clear_cache(self) -> None:
        self._cache.clear()
        self._cache_first = self.last_index + 1
        self._cache_bytes = 0


def _size_bytes(entries: Sequence[Entry]) -> int:
    return sum(len(entry.data) for entry in entries) + ENTRY_OVERHEAD_BYTES * len(entries)
