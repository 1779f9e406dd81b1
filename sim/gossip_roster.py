"""Rosters for pools of thousands in one process: one shared base, and per node only what differs from it."""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd
from random import Random
from typing import Generic, TypeVar

from gossipd.core.roster import ProbeRing, RosterLike

Entry = TypeVar("Entry")


class SharedBase(Generic[Entry]):
    """What all nodes agree on at the start; never changed afterwards."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries
        self.names = list(entries)


class LayeredRoster(Generic[Entry]):
    """Behaves like `gossipd.core.roster.Roster`; costs memory only for changes."""

    def __init__(self, base: SharedBase[Entry]) -> None:
        self._base = base
        self._changed: dict[str, Entry] = {}
        self._extra: list[str] = []
        self._removed: set[str] = set()

    def __len__(self) -> int:
        return len(self._base.names) + len(self._extra) - len(self._removed)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        if self._removed:
            yield from (name for name in self._base.names if name not in self._removed)
        else:
            yield from self._base.names
        yield from self._extra

    def get(self, name: str) -> Entry | None:
        entry = self._changed.get(name)
        if entry is not None:
            return entry
        return None if name in self._removed else self._base.entries.get(name)

    def put(self, name: str, entry: Entry) -> None:
        if name in self._removed:
            self._removed.discard(name)
        elif name not in self._changed and name not in self._base.entries:
            self._extra.append(name)
        self._changed[name] = entry

    def remove(self, name: str) -> None:
        self._changed.pop(name, None)
        if name in self._base.entries:
            self._removed.add(name)
        else:
            self._extra.remove(name)

    def values(self) -> Iterator[Entry]:
        if not self._changed and not self._removed:
            return iter(self._base.entries.values())
        return (entry for name in self if (entry := self.get(name)) is not None)

    def draw(self, random: Random) -> Entry:
        base_count = len(self._base.names)
        while True:
            index = int(random.random() * (base_count + len(self._extra)))
            name = self._base.names[index] if index < base_count else self._extra[index - base_count]
            entry = self.get(name)
            if entry is not None:
                return entry


class StrideRing(ProbeRing):
    """A probe order without a list of its own: every index once per round, by a random offset and stride."""

    def __init__(self, names: list[str], random: Random) -> None:
        super().__init__()
        self._shared = names
        self._begin(random)

    def _begin(self, random: Random) -> None:
        count = len(self._shared)
        self._position = random.randrange(count)
        self._stride = random.randrange(1, count)
        while gcd(self._stride, count) != 1:
            self._stride = random.randrange(1, count)
        self._left = count

    def add(self, name: str, random: Random) -> None:
        """New nodes are probed first of all what is left of the round."""
        self._names.append(name)

    def next(self) -> str | None:
        if (name := super().next()) is not None:
            return name
        if not self._left:
            return None
        self._left -= 1
        self._position = (self._position + self._stride) % len(self._shared)
        return self._shared[self._position]

    def restart(self, roster: RosterLike[Entry], random: Random) -> None:
        self._index = 0
        self._begin(random)
