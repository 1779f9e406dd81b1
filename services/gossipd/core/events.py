"""Once only: a ring of recent Lamport times that tells a new event or query from one already seen."""

from typing import Generic, TypeVar

from gossipd.core.lamport import LamportClock

Item = TypeVar("Item")

BUFFER_SLOTS = 512
# One Lamport time holds what was fired at the same moment on several nodes; more than this is somebody's fault.
MAX_ITEMS_PER_SLOT = 1024


class RecentBuffer(Generic[Item]):
    """512 slots by Lamport time modulo 512."""

    def __init__(self, clock: LamportClock) -> None:
        self.clock = clock
        self.minimum_time = 0
        self._slots: list[tuple[int, list[Item]] | None] = [None] * BUFFER_SLOTS

    def maybe_add(self, lamport_time: int, item: Item) -> bool:
        """Whether it is new: neither too old to know, nor already there."""
        self.clock.witness(lamport_time)
        if lamport_time < self.minimum_time:
            return False
        if self.is_too_old(lamport_time):
            return False
        index = lamport_time % BUFFER_SLOTS
        slot = self._slots[index]
        if slot is None or slot[0] != lamport_time:
            self._slots[index] = (lamport_time, [item])
            return True
        items = slot[1]
        if item in items or len(items) >= MAX_ITEMS_PER_SLOT:
            return False
        items.append(item)
        return True

    def is_too_old(self, lamport_time: int) -> bool:
        return self.clock.time > BUFFER_SLOTS and lamport_time < self.clock.time - BUFFER_SLOTS

    def slots(self) -> list[tuple[int, list[Item]]]:
        return [slot for slot in self._slots if slot is not None]
