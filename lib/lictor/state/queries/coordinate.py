"""Network coordinates of nodes."""

from __future__ import annotations

from lictor.state import keys, topics
from lictor.state.queries.read import NO_OPTIONS, Read, ReadOptions, max_index
from lictor.state.rows import Coordinate, decode_coordinate
from lictor.state.store import ReadTxn


def nodes(txn: ReadTxn, segment: str | None = None, options: ReadOptions = NO_OPTIONS) -> Read[list[Coordinate]]:
    """All coordinates, or those of one segment."""
    return _read(txn, b"O", segment, options)


def node(
    txn: ReadTxn, name: str, segment: str | None = None, options: ReadOptions = NO_OPTIONS
) -> Read[list[Coordinate]]:
    """The coordinates of one node."""
    return _read(txn, keys.coordinates_of_node(name), segment, options)


def _read(txn: ReadTxn, prefix: bytes, segment: str | None, options: ReadOptions) -> Read[list[Coordinate]]:
    rows = (decode_coordinate(raw) for _, raw in txn.scan(prefix))
    found = [
        row for row in rows if (segment is None or row.segment == segment) and options.authorizer.node_read(row.node)
    ]
    return Read(found, max_index(txn, "coordinates"), (topics.COORDINATES,))
