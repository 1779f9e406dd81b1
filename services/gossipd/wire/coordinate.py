"""The network coordinate that rides on every ack: version byte, then a map."""

from gossipd.core.coordinate import DIMENSION_COUNT, Coordinate
from gossipd.wire.errors import ProtocolError
from gossipd.wire.fields import array, number, pack, unpack_map

COORDINATE_VERSION = 1


def encode_coordinate(coordinate: Coordinate) -> bytes:
    return bytes((COORDINATE_VERSION,)) + pack(
        {
            "Adjustment": coordinate.adjustment_s,
            "Error": coordinate.error,
            "Height": coordinate.height_s,
            "Vec": list(coordinate.vector_s),
        }
    )


def decode_coordinate(payload: bytes) -> Coordinate | None:
    """None for a version that this program does not know. Raises ProtocolError for garbage."""
    if not payload or payload[0] != COORDINATE_VERSION:
        return None
    fields = unpack_map(payload[1:])
    vector = array(fields, b"Vec")
    if len(vector) != DIMENSION_COUNT or any(type(value) not in (float, int) for value in vector):
        raise ProtocolError(f"Vec is not an array of {DIMENSION_COUNT} numbers")
    return Coordinate(
        tuple(float(value) for value in vector),
        number(fields, b"Error"),
        number(fields, b"Adjustment"),
        number(fields, b"Height"),
    )
