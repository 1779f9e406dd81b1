"""Network coordinates: the latest one of each node and segment."""

from __future__ import annotations

from lictor.state import keys, topics
from lictor.state.commands import CoordinateBatch, Done, Result
from lictor.state.rows import encode
from lictor.state.writer import Writer


def apply_batch_of_coordinates(writer: Writer, command: CoordinateBatch) -> Result:
    """Nodes that are gone by now are skipped; the index moves with every batch all the same."""
    for coordinate in command.coordinates:
        if writer.get(keys.node(coordinate.node)) is not None:
            writer.put(keys.coordinate(coordinate.node, coordinate.segment), encode(coordinate))
    writer.bump("coordinates")
    writer.changed(topics.COORDINATES)
    return Done()
