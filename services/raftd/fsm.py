"""The replicated state machine: committed entries into the LMDB store, one transaction per batch.

The index and term of the last entry are stored in the same transaction, so a restart knows what is applied. The caller
gets each command's encoded result and what changed, for the change stream and the leader's timers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lmdb

from lictor.state import keys
from lictor.state.apply import apply_batch
from lictor.state.commands import encode_result
from lictor.state.lmdb_store import LmdbStore
from lictor.state.store import WriteTxn
from lictor.state.writer import ReleasedLock
from raftd.core.entry import Entry, EntryKind
from raftd.core.snapshot import SnapshotMeta
from raftd.restoring import MARK, apply_step, read_offset
from raftd.storage.generations import Generations, decode_applied, read_applied
from raftd.storage.snapshots import STATE_FILE, Draft, SnapshotStore

NOTHING = b""
"""Result of entries that are no commands."""


@dataclass(slots=True)
class Batch:
    """What applying some entries gave. `results` has one item per entry, `NOTHING` for those that are no commands."""

    results: list[bytes]
    topics: set[str] = field(default_factory=set)
    released_locks: list[ReleasedLock] = field(default_factory=list)
    created_sessions: list[str] = field(default_factory=list)
    destroyed_sessions: list[str] = field(default_factory=list)
    replaced: bool = False
    """An archive took the place of everything."""


class StateMachine:
    """Owns the store; only the event loop's thread uses it, except for `copy`."""

    def __init__(self, generations: Generations, snapshots: SnapshotStore) -> None:
        self._generations = generations
        self._snapshots = snapshots
        self.store: LmdbStore
        self.applied_index = 0
        self.applied_term = 0
        self._offset = 0

    @property
    def generation(self) -> int:
        """Number of the state directory in use."""
        return self._generations.number

    def open(self, log_last_index: int, snapshot: SnapshotMeta | None) -> None:
        """Take up the stored state, see `Generations.open`."""
        self.store = self._generations.open(log_last_index, snapshot)
        self._read_applied()

    def restore(self, snapshot: SnapshotMeta) -> None:
        """Replace everything by a snapshot."""
        previous = self.store
        self.store = self._generations.replace(snapshot)
        previous.close()
        self._generations.retire()
        self._read_applied()
        assert self.applied_index == snapshot.index, f"snapshot {snapshot.id} holds index {self.applied_index}"

    def _read_applied(self) -> None:
        self.applied_index, self.applied_term = read_applied(self.store)
        with self.store.read() as txn:
            self._offset = read_offset(txn)

    def apply(self, entries: Sequence[Entry]) -> Batch:
        """Apply entries in order, all in one transaction. Raises StoreError (nothing applied then)."""
        assert entries[0].index == self.applied_index + 1, f"entry {entries[0].index} after {self.applied_index}"
        last = entries[-1]
        with self.store.write() as txn:
            batch = self._apply_in(txn, entries)
            txn.put(keys.APPLIED, last.index.to_bytes(8, "big") + last.term.to_bytes(8, "big"))
        self.applied_index, self.applied_term = last.index, last.term
        if batch.replaced:
            self._read_applied()
        return batch

    def _apply_in(self, txn: WriteTxn, entries: Sequence[Entry]) -> Batch:
        """Runs of ordinary commands together, steps of a restore one by one."""
        batch = Batch([NOTHING] * len(entries))
        offset = self._offset
        run: list[tuple[int, bytes]] = []
        positions: list[int] = []
        for position, entry in enumerate(entries):
            if entry.kind != EntryKind.COMMAND:
                continue
            if not entry.data.startswith(MARK):
                run.append((entry.index + offset, entry.data))
                positions.append(position)
                continue
            self._apply_run(txn, run, positions, batch)
            run, positions = [], []
            result, replaced = apply_step(txn, entry.index, entry.data)
            batch.results[position] = encode_result(result)
            if replaced:
                batch.replaced = True
                offset = read_offset(txn)
        self._apply_run(txn, run, positions, batch)
        return batch

    @staticmethod
    def _apply_run(txn: WriteTxn, run: list[tuple[int, bytes]], positions: list[int], batch: Batch) -> None:
        if not run:
            return
        applied = apply_batch(txn, run)
        for position, result in zip(positions, applied.results, strict=True):
            batch.results[position] = encode_result(result)
        batch.topics |= applied.topics
        batch.released_locks += applied.released_locks
        batch.created_sessions += applied.created_sessions
        batch.destroyed_sessions += applied.destroyed_sessions

    def checks_in_state(self, status: str) -> int:
        """How many checks are in it."""
        with self.store.read() as txn:
            return sum(1 for _ in txn.scan(keys.checks_in_state(status)))

    def copy(self) -> Draft:
        """A consistent copy as the draft of a snapshot; may run on another thread. Raises as `Files`, StoreError."""
        directory = self._snapshots.draft_directory()
        path = directory / STATE_FILE
        self.store.copy(path)
        index, term = _applied_in_copy(path)
        return self._snapshots.seal(directory, index, term)

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def _applied_in_copy(path: Path) -> tuple[int, int]:
    """What a copied environment holds; opened as a file of its own."""
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as environment, environment.begin() as txn:
        return decode_applied(txn.get(keys.APPLIED))
