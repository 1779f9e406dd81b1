"""Msgpack in the old "raw" dialect: strings and bytes are one family, maps have sorted keys.

Fields are read by name with their type and range checked: a map from the network is untrusted.
"""

from typing import Any

import msgpack

from gossipd.wire.errors import ProtocolError

Fields = dict[Any, Any]

MAX_UINT16 = 2**16 - 1
MAX_UINT32 = 2**32 - 1
# Far below the wire's 2^64: no clock gets there, and one more than it still fits.
MAX_LAMPORT_TIME = 2**63
MAX_NODE_NAME_BYTES = 512

_packer = msgpack.Packer(use_bin_type=False)


def pack(value: Any) -> bytes:
    """Msgpack without str8 or bin types. Dict keys must be given in byte order."""
    packed: bytes = _packer.pack(value)
    return packed


def unpack(data: bytes | memoryview) -> Any:
    """The first value in `data`; what follows it is ignored, as memberlist does."""
    return unpack_prefix(data)[0]


def unpack_prefix(data: bytes | memoryview) -> tuple[Any, bytes]:
    """The first value in `data` and the bytes after it."""
    try:
        return msgpack.unpackb(data, raw=True, strict_map_key=False), b""
    except msgpack.ExtraData as error:
        return error.unpacked, error.extra
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise ProtocolError(f"not msgpack: {error!r}") from None


def unpack_map(data: bytes | memoryview) -> Fields:
    return as_map(unpack(data))


def as_map(value: Any) -> Fields:
    if type(value) is not dict:
        raise ProtocolError(f"expected a map, got {type(value).__name__}")
    return value


def uint(fields: Fields, key: bytes, limit: int = MAX_UINT32) -> int:
    value = fields.get(key, 0)
    if type(value) is not int or not 0 <= value <= limit:
        raise ProtocolError(f"{key.decode()} is not an integer of 0 to {limit}")
    return value


def boolean(fields: Fields, key: bytes) -> bool:
    value = fields.get(key, False)
    if type(value) is not bool:
        raise ProtocolError(f"{key.decode()} is not a boolean")
    return value


def raw(fields: Fields, key: bytes) -> bytes:
    value = fields.get(key)
    if value is None:
        return b""
    if type(value) is not bytes:
        raise ProtocolError(f"{key.decode()} is not a byte string")
    return value


def text(fields: Fields, key: bytes) -> str:
    try:
        return raw(fields, key).decode()
    except UnicodeDecodeError:
        raise ProtocolError(f"{key.decode()} is not UTF-8") from None


def name(fields: Fields, key: bytes) -> str:
    """A node's name: not empty, of sane length."""
    value = text(fields, key)
    if not value or len(value) > MAX_NODE_NAME_BYTES:
        raise ProtocolError(f"{key.decode()} is empty or too long for a node name")
    return value


def array(fields: Fields, key: bytes) -> list[Any]:
    value = fields.get(key)
    if value is None:
        return []
    if type(value) is not list:
        raise ProtocolError(f"{key.decode()} is not an array")
    return value


def number(fields: Fields, key: bytes) -> float:
    value = fields.get(key, 0.0)
    if type(value) is int:
        return float(value)
    if type(value) is not float:
        raise ProtocolError(f"{key.decode()} is not a number")
    return value
