"""Which rows of a watched topic changed at which index: what a watcher that knows an earlier index has to be told.

Rules:
1. A journal is complete from `since` on: every change after it is either a row's own index or a remembered removal.
2. A change found between two reads counts as made at the later one. So a watcher may be told of a change it has seen,
   never miss one.
3. Forgetting a removal moves `since` behind it; who knows only an earlier index gets the whole state again.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_REMOVED = 4096
"""Removals remembered per topic."""

Identity = TypeVar("Identity", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Delta(Generic[Identity]):
    """What to tell: with `reset` the `upserts` are the whole state, otherwise only what changed."""

    reset: bool
    upserts: list[Identity]
    deletes: list[Identity]

    def __bool__(self) -> bool:
        return self.reset or bool(self.upserts) or bool(self.deletes)


class Journal(Generic[Identity]):
    """The rows' versions as of `index`, and since when each is as it is."""

    __slots__ = ("_removed", "_rows", "index", "max_removed", "since")

    def __init__(self, max_removed: int = MAX_REMOVED) -> None:
        self.max_removed = max_removed
        self.since = 0
        self.index = 0
        self._rows: dict[Identity, tuple[Hashable, int]] = {}
        self._removed: dict[Identity, int] = {}

    def __len__(self) -> int:
        return len(self._rows) + len(self._removed)

    def restart(self, index: int, versions: Mapping[Identity, Hashable]) -> None:
        """Begins anew with this state: nothing before it is known."""
        self.since = self.index = index
        self._rows = {identity: (version, index) for identity, version in versions.items()}
        self._removed = {}

    def advance(self, index: int, versions: Mapping[Identity, Hashable]) -> Delta[Identity]:
        """Takes over the state as of a later index; what changed since the last one."""
        assert index >= self.index, "a journal does not go backwards"
        rows, removed = self._rows, self._removed
        upserts = []
        for identity, version in versions.items():
            known = rows.get(identity)
            if known is None or known[0] != version:
                upserts.append(identity)
                rows[identity] = (version, index)
                removed.pop(identity, None)
        deletes = []
        if len(rows) > len(versions):
            deletes = [identity for identity in rows if identity not in versions]
            for identity in deletes:
                del rows[identity]
                removed[identity] = index
            while len(removed) > self.max_removed:
                oldest = next(iter(removed))
                self.since = max(self.since, removed.pop(oldest))
        self.index = index
        return Delta(False, upserts, deletes)

    def delta(self, known_index: int) -> Delta[Identity]:
        """What somebody who knows the state as of `known_index` (0: nothing) has to be told."""
        if not self.since <= known_index <= self.index or not known_index:
            return Delta(True, list(self._rows), [])
        if known_index == self.index:
            return Delta(False, [], [])
        return Delta(
            False,
            [identity for identity, (_, changed_at) in self._rows.items() if changed_at > known_index],
            [identity for identity, removed_at in self._removed.items() if removed_at > known_index],
        )
