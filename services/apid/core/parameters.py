"""Query strings, percent escapes, numbers and durations, read as Go's standard library reads them.

Clients match on the texts of these errors, so they are Go's.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from lictor.state.gotext import quote as go_quote

_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
MAX_INT64 = (1 << 63) - 1
MAX_UINT64 = (1 << 64) - 1


def parse_query(query: bytes) -> dict[str, list[str]]:
    """Parameters by name, values in order. Pairs with a broken escape are left out (Go: url.Query)."""
    params: dict[str, list[str]] = {}
    for pair in query.replace(b";", b"&").split(b"&"):
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        if b"%" in pair:
            if _ESCAPE.search(pair):
                continue
            name, value = (unquote_to_bytes(part.replace(b"+", b" ")) for part in (name, value))
        elif b"+" in pair:
            name, value = name.replace(b"+", b" "), value.replace(b"+", b" ")
        params.setdefault(name.decode("utf-8", "surrogateescape"), []).append(value.decode("utf-8", "surrogateescape"))
    return params


def has_broken_escape(query: bytes) -> bool:
    """Whether a query holds a percent sign that begins no escape."""
    return b"%" in query and _ESCAPE.search(query) is not None


def unescape_path(raw: bytes) -> str | None:
    """A path with its percent escapes resolved once; None when one is broken."""
    if b"%" in raw:
        if _ESCAPE.search(raw):
            return None
        raw = unquote_to_bytes(raw)
    return raw.decode("utf-8", "surrogateescape")


def parse_uint(text: str) -> int:
    """A decimal number of 64 bits without sign. Errors: ValueError with Go's text (strconv.ParseUint)."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(text)}: invalid syntax")
    value = int(text)
    if value > MAX_UINT64:
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(text)}: value out of range")
    return value


def parse_int(text: str, function: str = "Atoi") -> int:
    """A decimal number of 64 bits. Errors: ValueError with Go's text (strconv.Atoi or ParseInt)."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"strconv.{function}: parsing {go_quote(text)}: invalid syntax")
    value = int(text)
    if not -MAX_INT64 - 1 <= value <= MAX_INT64:
        raise ValueError(f"strconv.{function}: parsing {go_quote(text)}: value out of range")
    return value


_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


def parse_bool(text: str) -> bool:
    """Errors: ValueError with Go's text (strconv.ParseBool)."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f"strconv.ParseBool: parsing {go_quote(text)}: invalid syntax")


def raw_bytes(text: str) -> bytes:
    """A decoded path or parameter as the bytes it came from (KV keys are bytes)."""
    return text.encode("utf-8", "surrogateescape")


def raw_text(raw: bytes) -> str:
    """The inverse of `raw_bytes`."""
    return raw.decode("utf-8", "surrogateescape")
