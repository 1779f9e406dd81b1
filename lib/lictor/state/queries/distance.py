"""Sorting by network distance (Consul 1.7: coordinates and RTT sort; Vivaldi)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from lictor.state import keys
from lictor.state.rows import Coordinate, decode_coordinate
from lictor.state.store import ReadTxn

Item = TypeVar("Item")


def seconds_between(a: Coordinate, b: Coordinate) -> float:
    """Estimated round trip: distance of the vectors plus heights, and the adjustments unless they make it negative."""
    raw = math.dist(a.vec, b.vec) + a.height + b.height
    adjusted = raw + a.adjustment + b.adjustment
    return adjusted if adjusted > 0 else raw


def coordinates_of(txn: ReadTxn, node: str) -> dict[str, Coordinate]:
    """By segment."""
    rows = (decode_coordinate(raw) for _, raw in txn.scan(keys.coordinates_of_node(node)))
    return {row.segment: row for row in rows}


def _seconds(a: dict[str, Coordinate], b: dict[str, Coordinate]) -> float:
    segment = ""
    if len(a) == 1:
        segment = next(iter(a))
    if len(b) == 1:
        segment = next(iter(b))
    first, second = a.get(segment), b.get(segment)
    if first is None or second is None or len(first.vec) != len(second.vec):
        return math.inf
    return seconds_between(first, second)


def sort_by_distance(txn: ReadTxn, source: str, items: Sequence[Item], node_of: Callable[[Item], str]) -> list[Item]:
    """Nearest first, order kept among equals, unknown distances last; unchanged when the source has no coordinate."""
    origin = coordinates_of(txn, source)
    if not origin:
        return list(items)
    known: dict[str, float] = {}

    def seconds(item: Item) -> float:
        name = node_of(item)
        found = known.get(name)
        if found is None:
            found = known[name] = _seconds(origin, coordinates_of(txn, name))
        return found

    return sorted(items, key=seconds)
