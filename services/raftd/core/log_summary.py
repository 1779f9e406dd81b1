"""What the core must know about a stored log at start, gathered while the log writer reads it once."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

from raftd.core.entry import Entry, EntryKind


class LogReader(Protocol):
    """Durable entries, for those no longer cached in memory."""

    def entries(self, low: int, high: int, max_bytes: int) -> Sequence[Entry]:
        """Entries low..high inclusive, in order, without gaps, stopping once `max_bytes` is passed; at least one."""
        ...


class LogSummary:
    """First and last index, the terms, and the configuration entries of a log.

    Terms never decrease along a log, so all of them fit in a short list of runs.
    """

    __slots__ = ("_run_starts", "_run_terms", "before_index", "before_term", "configurations", "last_index")

    def __init__(self, before_index: int = 0, before_term: int = 0) -> None:
        """An empty log, which goes on after (`before_index`, `before_term`): what was compacted away."""
        self.before_index = before_index
        self.before_term = before_term
        self.last_index = before_index
        self.configurations: list[Entry] = []
        self._run_starts: list[int] = []
        self._run_terms: list[int] = []

    @property
    def first_index(self) -> int:
        """Index of the first entry kept (one above `last_index` when there is none)."""
        return self.before_index + 1

    @property
    def last_term(self) -> int:
        """Term of the last entry, or of what came before an empty log."""
        return self._run_terms[-1] if self._run_terms else self.before_term

    def append(self, entry: Entry) -> None:
        """Take the next entry; one at or below the last index cuts the log there first, as in the log's file."""
        if entry.index <= self.last_index:
            self.cut(entry.index)
        assert entry.index == self.last_index + 1, f"gap: {entry.index} after {self.last_index}"
        assert entry.term >= self.last_term, f"term {entry.term} after {self.last_term} at {entry.index}"
        if not self._run_terms or entry.term != self._run_terms[-1]:
            self._run_starts.append(entry.index)
            self._run_terms.append(entry.term)
        self.last_index = entry.index
        if entry.kind == EntryKind.CONFIGURATION:
            self.configurations.append(entry)

    def cut(self, index: int) -> None:
        """Forget entries at `index` and after."""
        assert index > self.before_index, f"cut at {index} reaches the compacted part, up to {self.before_index}"
        while self._run_starts and self._run_starts[-1] >= index:
            self._run_starts.pop()
            self._run_terms.pop()
        while self.configurations and self.configurations[-1].index >= index:
            self.configurations.pop()
        self.last_index = min(self.last_index, index - 1)

    def compact(self, index: int) -> None:
        """Forget entries up to `index`, which stays known with its term."""
        term = self.term(index)
        assert term is not None, f"compaction up to {index} outside {self.before_index}..{self.last_index}"
        keep = bisect_right(self._run_starts, index + 1) - 1
        if keep > 0:
            del self._run_starts[:keep]
            del self._run_terms[:keep]
        if self._run_starts and self._run_starts[0] <= index:
            self._run_starts[0] = index + 1
        if index == self.last_index:
            self._run_starts.clear()
            self._run_terms.clear()
        self.configurations = [entry for entry in self.configurations if entry.index > index]
        self.before_index, self.before_term = index, term

    def term(self, index: int) -> int | None:
        """The entry's term; None when it is compacted away or beyond the end. 0 for index 0 of a whole log."""
        if index == self.before_index:
            return self.before_term
        if index < self.before_index or index > self.last_index:
            return None
        return self._run_terms[bisect_right(self._run_starts, index) - 1]

    def last_index_with_term_at_most(self, index: int, term: int) -> int:
        """The largest index at or below `index` whose term is at most `term` (fast backtracking, dissertation 3.5);
        `before_index` - 1 when that lies in the compacted part."""
        index = min(index, self.last_index)
        run = bisect_right(self._run_starts, index) - 1
        while run >= 0 and self._run_terms[run] > term:
            index = self._run_starts[run] - 1
            run -= 1
        if index <= self.before_index:
            return index if index < self.before_index or self.before_term <= term else self.before_index - 1
        return index
