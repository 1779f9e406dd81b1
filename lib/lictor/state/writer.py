"""The transaction as applying commands sees it: writes, index bumps and changed topics of one batch.

Rules: an index never decreases; `bump` and `topic` go with a change in the same transaction; what a refused command
wrote is undone from the journal, so that a command is all or nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lictor.state import keys
from lictor.state.store import ReadTxn, WriteTxn


class Refused(Exception):
    """A command that breaks a rule of the state: its text and kind become the command's `Failed` result."""

    def __init__(self, text: str, kind: str = "invalid") -> None:
        super().__init__(text)
        self.text = text
        self.kind = kind


class ReleasedLock(msgspec.Struct, array_like=True, frozen=True):
    """A key that a destroyed session held: the leader starts its lock-delay."""

    key: bytes
    delay_ns: int


def read_index(txn: ReadTxn, name: str) -> int:
    """A table's or service's index; 0 when nothing ever changed it."""
    raw = txn.get(keys.index(name))
    return 0 if raw is None else int.from_bytes(raw, "big")


_ABSENT = -1
"""In the index journal: the batch had not touched this index before."""


class Writer:
    """Collects what one batch changes. Reads see the batch's own writes."""

    def __init__(self, txn: WriteTxn) -> None:
        self._txn = txn
        self.get = txn.get
        self.index = 0
        """Of the command being applied."""
        self.topics: set[str] = set()
        self.released_locks: list[ReleasedLock] = []
        self.destroyed_sessions: list[str] = []
        self.created_sessions: list[str] = []
        self._indexes: dict[str, int | None] = {}
        self._journal: list[tuple[bytes, bytes | None]] | None = None
        self._index_journal: list[tuple[str, int | None]] = []
        self._kept_topics: set[str] = set()
        self._kept_counts = (0, 0, 0)

    def scan(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        """All pairs under the prefix, collected, so that the caller may write while it walks them."""
        return list(self._txn.scan(prefix))

    def any_under(self, prefix: bytes) -> bool:
        return next(iter(self._txn.scan(prefix)), None) is not None

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As scan, one by one: nothing may be written before it is used up or dropped."""
        return self._txn.scan(prefix)

    def put(self, key: bytes, value: bytes) -> None:
        if self._journal is not None:
            self._journal.append((key, self.get(key)))
        self._txn.put(key, value)

    def delete(self, key: bytes) -> None:
        if self._journal is not None:
            old = self.get(key)
            if old is None:
                return
            self._journal.append((key, old))
        self._txn.delete(key)

    def bump(self, name: str) -> None:
        """The named index becomes this command's."""
        self.set_index(name, self.index)

    def forget_index(self, name: str) -> None:
        """The last instance of a service is gone: its index goes with it."""
        self.set_index(name, None)

    def set_index(self, name: str, value: int | None) -> None:
        """An index as it was: for restoring an archive."""
        if self._journal is not None:
            self._index_journal.append((name, self._indexes.get(name, _ABSENT)))
        self._indexes[name] = value

    def index_of(self, name: str) -> int:
        if name in self._indexes:
            return self._indexes[name] or 0
        return read_index(self._txn, name)

    def bumped(self) -> list[str]:
        """Indexes that this batch has touched."""
        return list(self._indexes)

    def changed(self, *topics: str) -> None:
        self.topics.update(topics)

    def begin(self) -> None:
        """From here on changes can be undone, until `keep` or `undo`."""
        assert self._journal is None, "a command inside a command"
        self._journal = []
        self._index_journal = []
        self._kept_topics, self.topics = self.topics, set()
        self._kept_counts = (len(self.released_locks), len(self.destroyed_sessions), len(self.created_sessions))

    def keep(self) -> None:
        """What was done since `begin` stands."""
        self._journal = None
        self._kept_topics |= self.topics
        self.topics = self._kept_topics

    def undo(self) -> None:
        """Takes back everything done since `begin`."""
        journal, self._journal = self._journal, None
        assert journal is not None, "nothing was begun"
        for key, old in reversed(journal):
            if old is None:
                self._txn.delete(key)
            else:
                self._txn.put(key, old)
        for name, value in reversed(self._index_journal):
            if value == _ABSENT:
                del self._indexes[name]
            else:
                self._indexes[name] = value
        self.topics = self._kept_topics
        locks, destroyed, created = self._kept_counts
        del self.released_locks[locks:]
        del self.destroyed_sessions[destroyed:]
        del self.created_sessions[created:]

    def flush(self) -> None:
        """Writes the indexes; once, at the end of the batch."""
        for name, value in self._indexes.items():
            if value is None:
                self._txn.delete(keys.index(name))
            else:
                self._txn.put(keys.index(name), value.to_bytes(8, "big"))
        self._indexes.clear()
