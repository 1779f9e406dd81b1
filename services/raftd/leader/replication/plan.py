"""From two lists to the steps that make one of them the other.

Objects are known by a key and compared by a fingerprint, never by an index: the whole list is at hand, and after a
restore in the primary datacenter indexes say nothing. What is refused as part of a larger step is tried in halves, and
again after the rest, until nothing moves any more: one object that cannot be taken over holds up no other.
"""

from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

STEP_BYTES_MAX = 256 << 10
"""Estimated size of what one step sets (Consul 1.7: aclBatchUpsertSize)."""
STEP_DELETES_MAX = 4096
"""(Consul 1.7: aclBatchDeleteSize)."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Difference:
    """Keys to remove and keys to set, each in rising order."""

    deletes: tuple[Any, ...]
    upserts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What one command carries out: keys to remove, rows to set."""

    deletes: tuple[Any, ...] = ()
    rows: tuple[Any, ...] = ()

    def halves(self) -> tuple["Step", ...]:
        """Two smaller steps; none when it cannot be divided."""
        count = len(self.deletes) + len(self.rows)
        if count < 2:
            return ()
        middle = count // 2
        cut = min(middle, len(self.deletes))
        return (
            Step(self.deletes[:cut], self.rows[: middle - cut]),
            Step(self.deletes[cut:], self.rows[middle - cut :]),
        )


def difference(local: Mapping[Key, object], remote: Mapping[Key, object]) -> Difference:
    """What to do to `local` so that it becomes `remote`; both are fingerprints by key."""
    deletes = [key for key in local if key not in remote]
    upserts = [key for key, fingerprint in remote.items() if key not in local or local[key] != fingerprint]
    return Difference(tuple(sorted(deletes)), tuple(sorted(upserts)))


def steps(
    deletes: Sequence[Any], rows: Sequence[Any], size_of: Callable[[Any], int], together: bool = False
) -> list[Step]:
    """Removals first, in steps of a limited size. `together`: removals and rows may share a step."""
    found = [
        Step(deletes=tuple(deletes[begin : begin + STEP_DELETES_MAX]))
        for begin in range(0, len(deletes), STEP_DELETES_MAX)
    ]
    begin = 0
    while begin < len(rows):
        end, size = begin, 0
        while end < len(rows) and size < STEP_BYTES_MAX:
            size += size_of(rows[end])
            end += 1
        found.append(Step(rows=tuple(rows[begin:end])))
        begin = end
    if together and len(found) == 2 and found[0].deletes and found[1].rows:
        return [Step(found[0].deletes, found[1].rows)]
    return found


class Plan:
    """Steps still to take. Ask `next`, carry it out, say `accepted` or `refused`."""

    def __init__(self, wanted: Sequence[Step]) -> None:
        self._waiting = deque(wanted)
        self._stuck: list[tuple[Step, str]] = []
        self._moved = False

    def next(self) -> Step | None:
        """The next step; None when all is done or nothing moves any more."""
        if not self._waiting and self._stuck and self._moved:
            self._waiting.extend(step for step, _ in self._stuck)
            self._stuck.clear()
            self._moved = False
        return self._waiting.popleft() if self._waiting else None

    def accepted(self) -> None:
        """The step was carried out."""
        self._moved = True

    def refused(self, step: Step, why: str) -> None:
        """The step changed nothing."""
        halves = step.halves()
        if halves:
            self._waiting.extendleft(reversed(halves))
        else:
            self._stuck.append((step, why))

    @property
    def problems(self) -> list[str]:
        """Why what is left over was refused."""
        return [why for _, why in self._stuck]
