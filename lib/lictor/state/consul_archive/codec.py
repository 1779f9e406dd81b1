"""The values inside records: old-style msgpack (one raw type for texts and bytes), Go's binary times, map helpers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack

YEAR_ONE_TO_1970_S = 62_135_596_800
"""Seconds from the first year, where Go's times begin, to 1970."""
ZERO_TIME = b"\x01" + bytes(12) + b"\xff\xff"
_UTC_OFFSET = b"\xff\xff"

Fields = dict[str, Any]
"""A record's map: keys as texts, values as they came (texts are bytes)."""


def pack(value: Any) -> bytes:
    """Maps sorted by key, as Consul's encoder writes them."""
    packed: bytes = msgpack.packb(_ordered(value), use_bin_type=False)
    return packed


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_ordered(item) for item in value]
    return value


def fields(raw: Any) -> Fields:
    """A map with its keys as texts; nothing for null."""
    return {} if raw is None else {key.decode(): value for key, value in raw.items()}


def text(raw: Any) -> str:
    return "" if raw is None else bytes(raw).decode("utf-8", "replace")


def texts(raw: Any) -> list[str] | None:
    return None if raw is None else [text(item) for item in raw]


def text_map(raw: Any) -> dict[str, str] | None:
    """Sorted by key: the same map always gives the same bytes."""
    return None if raw is None else {text(key): text(raw[key]) for key in sorted(raw)}


def plain(raw: Any) -> Any:
    """Any nested value with every text decoded."""
    if isinstance(raw, bytes):
        return text(raw)
    if isinstance(raw, dict):
        return {plain(key): plain(raw[key]) for key in sorted(raw)}
    if isinstance(raw, list):
        return [plain(item) for item in raw]
    return raw


def time_ns(raw: bytes) -> int:
    """Go's binary time in nanoseconds since 1970; its zero time gives a negative number."""
    if len(raw) != 15 or raw[0] != 1:
        raise ValueError(f"a time of {len(raw)} bytes, version {raw[:1].hex()}")
    seconds = int.from_bytes(raw[1:9], "big", signed=True) - YEAR_ONE_TO_1970_S
    return seconds * 10**9 + int.from_bytes(raw[9:13], "big")


def optional_time_ns(raw: bytes | None) -> int | None:
    return None if raw is None or raw[1:13] == ZERO_TIME[1:13] else time_ns(raw)


def time_bytes(nanoseconds: int | None) -> bytes:
    """As Go marshals a UTC time; the zero time for none."""
    if nanoseconds is None:
        return ZERO_TIME
    seconds, rest = divmod(nanoseconds, 10**9)
    return (
        b"\x01" + (seconds + YEAR_ONE_TO_1970_S).to_bytes(8, "big", signed=True) + rest.to_bytes(4, "big") + _UTC_OFFSET
    )


def zeroed(shape: Mapping[str, Any], values: Mapping[str, Any]) -> Fields:
    """Every field of a Go struct: the value where there is one, else the zero of the shape."""
    return {name: values.get(name, zero) for name, zero in shape.items()}
