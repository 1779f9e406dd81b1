"""A server's simulated disk: what is synced survives everything, what is only written survives a killed process."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random

from raftd.core.api import Entry, HardState, LogSummary, Ready, SnapshotMeta
from sim.raft_machine import KeyValueMachine


@dataclass(frozen=True, slots=True)
class Write:
    """One ordered write, as in a `Ready`."""

    sequence: int
    log_reset: SnapshotMeta | None
    hard_state: HardState | None
    entries: tuple[Entry, ...]

    @staticmethod
    def of(ready: Ready) -> "Write":
        """The part of `ready` that is for the disk."""
        return Write(ready.sequence, ready.log_reset, ready.hard_state, tuple(ready.entries))


@dataclass(slots=True)
class Image:
    """What a file system would hold: hard state, and a log that goes on after (before_index, before_term)."""

    hard_state: HardState = field(default_factory=HardState)
    before_index: int = 0
    before_term: int = 0
    entries: list[Entry] = field(default_factory=list)

    def write(self, write: Write) -> None:
        """Carry out one write."""
        if write.log_reset is not None:
            self.before_index, self.before_term = write.log_reset.index, write.log_reset.term
            self.entries = []
        if write.hard_state is not None:
            self.hard_state = write.hard_state
        if write.entries:
            keep = write.entries[0].index - self.before_index - 1
            assert 0 <= keep <= len(self.entries), f"gap before {write.entries[0].index}"
            del self.entries[keep:]
            self.entries.extend(write.entries)

    def compact(self, index: int) -> None:
        """Drop entries up to `index`."""
        drop = index - self.before_index
        if drop > 0:
            self.before_term = self.entries[drop - 1].term
            self.before_index = index
            del self.entries[:drop]

    def copy(self) -> "Image":
        """An independent copy."""
        return replace(self, entries=list(self.entries))


@dataclass(frozen=True, slots=True)
class StoredSnapshot:
    """A complete snapshot: its meta and its bytes."""

    meta: SnapshotMeta
    data: bytes


class Disk:
    """Writes go to `written` at once (the page cache) and to `synced` when a sync ends."""

    def __init__(self) -> None:
        self.written = Image()
        self.synced = Image()
        self.snapshots: list[StoredSnapshot] = []
        self.incoming: dict[str, bytearray] = {}
        self.machine = KeyValueMachine()
        """The state machine's file: survives a killed process, not a power failure."""
        self._unsynced: list[Write] = []

    def write(self, write: Write) -> None:
        """Write without syncing."""
        self.written.write(write)
        self._unsynced.append(write)

    def sync(self, sequence: int) -> None:
        """A sync has ended which began after the write numbered `sequence`."""
        while self._unsynced and self._unsynced[0].sequence <= sequence:
            self.synced.write(self._unsynced.pop(0))

    def compact(self, index: int) -> None:
        """Drop the log up to `index` (whose snapshot is durable)."""
        self.written.compact(index)
        if index > self.synced.before_index + len(self.synced.entries):
            return  # a sync under way will bring it further
        self.synced.compact(index)

    def entries(self, low: int, high: int, max_bytes: int) -> Sequence[Entry]:
        """`LogReader`: straight from the file."""
        start = low - self.written.before_index - 1
        assert start >= 0, f"{low} is compacted, log starts after {self.written.before_index}"
        found: list[Entry] = []
        size_bytes = 0
        for entry in self.written.entries[start : high - self.written.before_index]:
            found.append(entry)
            size_bytes += len(entry.data) + 32
            if size_bytes > max_bytes:
                break
        return found

    def has_synced(self, index: int, term: int | None = None) -> bool:
        """Whether the entry at `index` (of this term, if given) is safe from a power failure, or in a snapshot."""
        if index <= max(self.synced.before_index, self.snapshot.meta.index if self.snapshot else 0):
            return True
        position = index - self.synced.before_index - 1
        if position >= len(self.synced.entries):
            return False
        return term is None or self.synced.entries[position].term == term

    def power_failure(self, random: Random) -> None:
        """Everything not synced is lost, except for a random beginning of it; the last write may be torn."""
        survivors = random.randint(0, len(self._unsynced)) if random.random() < 0.5 else 0
        for write in self._unsynced[:survivors]:
            self.synced.write(write)
        if survivors < len(self._unsynced) and random.random() < 0.5:
            torn = self._unsynced[survivors]
            if torn.log_reset is None and torn.entries:
                kept = torn.entries[: random.randint(0, len(torn.entries))]
                self.synced.write(replace(torn, entries=kept))
        self.written = self.synced.copy()
        self._unsynced.clear()
        self.incoming.clear()
        self.machine = KeyValueMachine()

    def killed(self) -> None:
        """The process dies; the operating system still has what was written, and it is synced before the next start."""
        self.synced = self.written.copy()
        self._unsynced.clear()
        self.incoming.clear()

    @property
    def snapshot(self) -> StoredSnapshot | None:
        """The newest complete snapshot."""
        return self.snapshots[-1] if self.snapshots else None

    def add_snapshot(self, snapshot: StoredSnapshot, in_use: frozenset[str]) -> None:
        """Keep it, and of the older ones the last and those in use."""
        kept = [old for old in self.snapshots if old.meta.id != snapshot.meta.id]
        recent = kept[-1:]
        kept = [old for old in kept if old.meta.id in in_use or old in recent]
        self.snapshots = sorted([*kept, snapshot], key=lambda stored: stored.meta.index)

    def summary(self) -> LogSummary:
        """Read the log once, as at start."""
        summary = LogSummary(self.written.before_index, self.written.before_term)
        for entry in self.written.entries:
            summary.append(entry)
        return summary
