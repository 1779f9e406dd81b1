"""What a proxy asks for in its own view of a chain, and the hash that tells such views apart.

The hash is of the kind that Go programs make of structs: FNV-1 of every name and value, combined field by field.
"""

from __future__ import annotations

from functools import reduce

import msgspec

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1
HASH_DIGITS = 8


class Overrides(msgspec.Struct, frozen=True):
    """What a proxy asks for in its own view of the chain."""

    mesh_gateway_mode: str = ""
    protocol: str = ""
    connect_timeout_ns: int = 0


def customization_hash(overrides: Overrides) -> str:
    """Tells customised chains of one service apart; empty for the plain one."""
    if overrides == Overrides():
        return ""
    gateway = _struct("MeshGatewayConfig", {"Mode": _text(overrides.mesh_gateway_mode)})
    whole = _struct(
        "",
        {
            "OverrideMeshGateway": gateway,
            "OverrideProtocol": _text(overrides.protocol),
            "OverrideConnectTimeout": _hash(overrides.connect_timeout_ns.to_bytes(8, "little", signed=True)),
        },
    )
    return f"{whole:x}"[:HASH_DIGITS]


def _hash(data: bytes) -> int:
    return reduce(lambda value, byte: (value * _PRIME & _MASK) ^ byte, data, _OFFSET)


def _text(text: str) -> int:
    return _hash(text.encode())


def _struct(name: str, fields: dict[str, int]) -> int:
    """Of a struct's name and its fields' hashes; their order does not matter."""
    value = _text(name)
    for field, field_hash in fields.items():
        value ^= _hash(_text(field).to_bytes(8, "little") + field_hash.to_bytes(8, "little"))
    return value
