"""The content hash of an agent's service, bit for bit Consul's: FNV-1 over the answer as its Go types lay it out.

Consul 1.7 hashes the answer of `GET /v1/agent/service/:id` by its structure (the method of mitchellh/hashstructure):
numbers and texts by their bytes, lists in order, maps and structs by exclusive or over their pairs, a struct with its
type's name.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1
REMEMBERED_TEXTS = 512


@dataclass(frozen=True, slots=True)
class _Struct:
    """A Go struct: its type's name, and for each field its zero value, or how to make it from the JSON."""

    name: str
    fields: Mapping[str, Any]


_MESH_GATEWAY = _Struct("MeshGatewayConfig", {"Mode": ""})
_ADDRESS = _Struct("ServiceAddress", {"Address": "", "Port": 0})
_WEIGHTS = _Struct("AgentWeights", {"Passing": 0, "Warning": 0})
_CONNECT = _Struct("AgentServiceConnect", {"Native": False, "SidecarService": None})
_PATH = _Struct(
    "ExposePath", {"ListenerPort": 0, "Path": "", "LocalPathPort": 0, "Protocol": "", "ParsedFromCheck": False}
)
_EXPOSE = _Struct("ExposeConfig", {"Checks": False, "Paths": [_PATH]})
_UPSTREAM = _Struct(
    "Upstream",
    {
        "DestinationType": "",
        "DestinationNamespace": "",
        "DestinationName": "",
        "Datacenter": "",
        "LocalBindAddress": "",
        "LocalBindPort": 0,
        "Config": float,
        "MeshGateway": _MESH_GATEWAY,
    },
)
_PROXY = _Struct(
    "AgentServiceConnectProxyConfig",
    {
        "DestinationServiceName": "",
        "DestinationServiceID": "",
        "LocalServiceAddress": "",
        "LocalServicePort": 0,
        "Config": float,
        "Upstreams": [_UPSTREAM],
        "MeshGateway": _MESH_GATEWAY,
        "Expose": _EXPOSE,
    },
)
_SERVICE = _Struct(
    "AgentService",
    {
        "Kind": "",
        "ID": "",
        "Service": "",
        "Tags": [],
        "Meta": {},
        "Port": 0,
        "Address": "",
        "TaggedAddresses": {"": _ADDRESS},
        "Weights": _WEIGHTS,
        "EnableTagOverride": False,
        "CreateIndex": 0,
        "ModifyIndex": 0,
        "ContentHash": "",
        "Proxy": (_PROXY,),
        "Connect": (_CONNECT,),
    },
)
"""A tuple is a pointer, nil when the JSON has no such key; a list or map of a struct says what its elements are;
`float` is free JSON, whose numbers Go keeps as floats."""


def content_hash(shown: Mapping[str, Any]) -> str:
    """Of a service as the agent shows it; a hash that it carries already does not count."""
    return f"{_of_struct(_SERVICE, {**shown, 'ContentHash': ''}):x}"


def _of_struct(kind: _Struct, shown: Mapping[str, Any]) -> int:
    total = _of_text(kind.name)
    for name, pattern in kind.fields.items():
        total ^= _ordered(_of_text(name), _of_field(pattern, shown.get(name)))
    return total


def _of_field(pattern: Any, value: Any) -> int:
    if isinstance(pattern, _Struct):
        return _of_struct(pattern, value or {})
    if isinstance(pattern, tuple):
        return _of_value(None) if value is None else _of_struct(pattern[0], value)
    if pattern is float:
        return _of_value(_with_floats(value or {}))
    if isinstance(pattern, list):
        return _of_list([_of_field(pattern[0], item) if pattern else _of_value(item) for item in value or ()])
    if isinstance(pattern, dict):
        inner = pattern.get("")
        items = (value or {}).items()
        return _of_map({key: _of_value(item) if inner is None else _of_struct(inner, item) for key, item in items})
    return _of_value(pattern if value is None else value)


def _of_value(value: Any) -> int:
    if value is None:
        return _fnv(bytes(8))
    if isinstance(value, bool):
        return _fnv(struct.pack("<b", value))
    if isinstance(value, int):
        return _fnv(struct.pack("<q", value))
    if isinstance(value, float):
        return _fnv(struct.pack("<d", value))
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, list):
        return _of_list([_of_value(item) for item in value])
    return _of_map({key: _of_value(item) for key, item in value.items()})


def _of_list(hashes: list[int]) -> int:
    total = 0
    for each in hashes:
        total = _ordered(total, each)
    return total


def _of_map(hashes: Mapping[str, int]) -> int:
    total = 0
    for key, each in hashes.items():
        total ^= _ordered(_of_text(key), each)
    return total


def _with_floats(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    return value


@lru_cache(maxsize=REMEMBERED_TEXTS)
def _of_text(text: str) -> int:
    return _fnv(text.encode("utf-8", "surrogateescape"))


def _ordered(first: int, second: int) -> int:
    return _fnv(struct.pack("<QQ", first, second))


def _fnv(data: bytes) -> int:
    total = _OFFSET
    for byte in data:
        total = (total * _PRIME & _MASK) ^ byte
    return total
