"""Network coordinates that agents send: the latest per node, flushed in batches (5 s, 128 × 5; Consul 1.7)."""

from lictor.state.rows import Coordinate

WAITING_MAX = 16384
"""Nodes whose coordinate waits; further ones are dropped until the next flush."""


class CoordinateBuffer:
    """What waits for the next flush."""

    def __init__(self, batch_size: int, max_batches: int) -> None:
        self._batch_size = batch_size
        self._max_batches = max_batches
        self._latest: dict[tuple[str, str], Coordinate] = {}

    def add(self, coordinate: Coordinate) -> bool:
        """Keep it as its node's latest; False when the buffer is full."""
        key = (coordinate.node, coordinate.segment)
        if key not in self._latest and len(self._latest) >= WAITING_MAX:
            return False
        self._latest[key] = coordinate
        return True

    def take(self) -> tuple[list[list[Coordinate]], int]:
        """The batches to write, and how many were discarded for being too many."""
        waiting, self._latest = list(self._latest.values()), {}
        room = self._batch_size * self._max_batches
        kept, size = waiting[:room], self._batch_size
        return [kept[start : start + size] for start in range(0, len(kept), size)], len(waiting) - len(kept)
