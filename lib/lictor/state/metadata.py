"""Limits of node and service metadata (Consul 1.7: catalog rules)."""

from __future__ import annotations

import re
from collections.abc import Mapping

PAIRS_MAX = 64
KEY_LENGTH_MAX = 128
VALUE_LENGTH_MAX = 512
RESERVED_PREFIX = "consul-"
_KEY = re.compile(r"[a-zA-Z0-9_-]+")


def check_metadata(meta: Mapping[str, str] | None, allow_reserved: bool = False) -> str:
    """What is wrong with it; empty when nothing is."""
    if not meta:
        return ""
    if len(meta) > PAIRS_MAX:
        return f"Node metadata cannot contain more than {PAIRS_MAX} key/value pairs"
    for key, value in meta.items():
        problem = _check_pair(key, value, allow_reserved)
        if problem:
            return f"Couldn't load metadata pair ('{key}', '{value}'): {problem}"
    return ""


def _check_pair(key: str, value: str, allow_reserved: bool) -> str:
    if not key:
        return "Key cannot be blank"
    if _KEY.fullmatch(key) is None:
        return "Key contains invalid characters"
    if len(key.encode()) > KEY_LENGTH_MAX:
        return f"Key is too long (limit: {KEY_LENGTH_MAX} characters)"
    if key.startswith(RESERVED_PREFIX) and not allow_reserved:
        return f"Key prefix '{RESERVED_PREFIX}' is reserved for internal use"
    if len(value.encode()) > VALUE_LENGTH_MAX:
        return f"Value is too long (limit: {VALUE_LENGTH_MAX} characters)"
    return ""
