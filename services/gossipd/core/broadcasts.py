"""The queue of rumours to be passed on: each is sent so many times, the least sent first, then the largest."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import NamedTuple

from gossipd.core.formulas import retransmit_limit


class Broadcast(NamedTuple):
    """A rumour. Sorts as it is to be sent: fewest transmissions, then the larger, then the newest.

    `subject`: a newer broadcast about the same subject replaces this one; empty for none. `waiter` is told when it
    has been sent out or replaced; 0 for nobody.
    """

    transmits: int
    negative_length: int
    negative_number: int
    data: bytes
    subject: str
    waiter: int


class BroadcastQueue:
    """One queue; memberlist has one for its own messages, Serf three (intents, queries, events)."""

    def __init__(self, retransmit_mult: int) -> None:
        self._retransmit_mult = retransmit_mult
        self._items: list[Broadcast] = []
        self._of_subject: dict[str, Broadcast] = {}
        self._next_number = 0
        self.finished_waiters: list[int] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Broadcast]:
        return iter(self._items)

    def queue(self, data: bytes, subject: str = "", waiter: int = 0) -> None:
        self._next_number += 1
        broadcast = Broadcast(0, -len(data), -self._next_number, data, subject, waiter)
        if subject:
            replaced = self._of_subject.get(subject)
            if replaced is not None:
                self._delete(replaced)
                self._finish(replaced)
            self._of_subject[subject] = broadcast
        insort(self._items, broadcast)

    def take(self, overhead_bytes: int, limit_bytes: int, node_count: int) -> list[bytes]:
        """What goes into a packet with room for `limit_bytes`, each message costing `overhead_bytes` more."""
        items = self._items
        if not items:
            return []
        limit = retransmit_limit(self._retransmit_mult, node_count)
        taken: list[bytes] = []
        again: list[Broadcast] = []
        transmits, last_transmits = items[0].transmits, items[-1].transmits
        while transmits <= last_transmits:
            free = limit_bytes - overhead_bytes
            # The first of this tier that fits: lengths fall along the tier.
            position = bisect_left(items, (transmits, -free))
            if free <= 0:
                break
            if position >= len(items):
                break
            item = items[position]
            if item.transmits > transmits:
                transmits = item.transmits
                continue
            del items[position]
            taken.append(item.data)
            limit_bytes -= len(item.data) + overhead_bytes
            if transmits + 1 >= limit:
                self._forget(item)
                self._finish(item)
            else:
                again.append(item._replace(transmits=transmits + 1))
        for item in again:
            if item.subject:
                self._of_subject[item.subject] = item
            insort(items, item)
        return taken

    def prune(self, depth: int) -> int:
        """Drops what was sent most until `depth` are left; returns how many were dropped."""
        dropped = 0
        while len(self._items) > depth:
            item = self._items.pop()
            self._forget(item)
            self._finish(item)
            dropped += 1
        return dropped

    def _delete(self, item: Broadcast) -> None:
        position = bisect_left(self._items, item)
        assert self._items[position] is item, "a subject's broadcast is in the queue"
        del self._items[position]

    def _forget(self, item: Broadcast) -> None:
        if item.subject:
            del self._of_subject[item.subject]

    def _finish(self, item: Broadcast) -> None:
        if item.waiter:
            self.finished_waiters.append(item.waiter)
