"""Collections of a pool: a roster by name from which a random entry can be drawn, and the ring of nodes to probe."""

from collections.abc import Callable, ItemsView, Iterator
from random import Random
from typing import Generic, Protocol, TypeVar

Entry = TypeVar("Entry")

# How many draws per member before giving up on finding enough that fit (memberlist: kRandomNodes).
DRAWS_PER_MEMBER = 3


class RosterLike(Protocol[Entry]):
    """What the pool needs of a roster; the simulator has one that shares its bulk between nodes."""

    def __len__(self) -> int: ...

    def __contains__(self, name: str) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def get(self, name: str) -> Entry | None: ...

    def put(self, name: str, entry: Entry) -> None: ...

    def remove(self, name: str) -> None: ...

    def values(self) -> Iterator[Entry]: ...

    def draw(self, random: Random) -> Entry: ...


class Roster(Generic[Entry]):
    """Entries by name; drawing one is O(1)."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._names: list[str] = []
        self._positions: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def get(self, name: str) -> Entry | None:
        return self._entries.get(name)

    def put(self, name: str, entry: Entry) -> None:
        if name not in self._entries:
            self._positions[name] = len(self._names)
            self._names.append(name)
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        del self._entries[name]
        position = self._positions.pop(name)
        last = self._names.pop()
        if last != name:
            self._names[position] = last
            self._positions[last] = position

    def values(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def items(self) -> ItemsView[str, Entry]:
        return self._entries.items()

    def draw(self, random: Random) -> Entry:
        return self._entries[self._names[int(random.random() * len(self._names))]]


def draw_distinct(roster: RosterLike[Entry], count: int, fits: Callable[[Entry], bool], random: Random) -> list[Entry]:
    """Up to `count` different random entries that fit; fewer when they are hard to find."""
    drawn: list[Entry] = []
    for _ in range(DRAWS_PER_MEMBER * len(roster)):
        if len(drawn) >= count:
            break
        entry = roster.draw(random)
        if fits(entry) and entry not in drawn:
            drawn.append(entry)
    return drawn


class ProbeRing:
    """Round robin over a shuffled list: every node is probed once per round (SWIM 4.3)."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._index = 0

    def add(self, name: str, random: Random) -> None:
        """A new node gets a random place in the present round."""
        self._names.append(name)
        position = int(random.random() * len(self._names))
        self._names[position], self._names[-1] = self._names[-1], self._names[position]

    def next(self) -> str | None:
        """The next to probe; None at the end of a round."""
        if self._index >= len(self._names):
            return None
        name = self._names[self._index]
        self._index += 1
        return name

    def restart(self, roster: RosterLike[Entry], random: Random) -> None:
        self._names = list(roster)
        random.shuffle(self._names)
        self._index = 0
