"""Go's string literals, as filter expressions quote values and index keys."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    rb"\\(?:(?P<simple>[abfnrtv\\\"])|x(?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|U(?P<long>[0-9a-fA-F]{8})"
    rb"|(?P<octal>[0-7]{3})|(?P<other>.?))",
    re.DOTALL,
)
_SIMPLE = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_CODE_POINT_MAX = 0x10FFFF


def unquote(literal: str) -> str:
    """The text of a literal: raw between backticks, with escapes between double quotes. Errors: ValueError."""
    inner = literal[1:-1]
    if literal[0] == "`":
        return inner.replace("\r", "")
    if "\n" in inner:
        raise ValueError("invalid syntax")
    raw = inner.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(_unescaped, raw).decode("utf-8", "surrogateescape")


def _unescaped(match: re.Match[bytes]) -> bytes:
    if simple := match["simple"]:
        return _SIMPLE.get(simple, simple)
    if byte := match["byte"]:
        return bytes((int(byte, 16),))
    if octal := match["octal"]:
        if int(octal, 8) > 0xFF:
            raise ValueError("invalid syntax")
        return bytes((int(octal, 8),))
    code = match["short"] or match["long"]
    if code is None or int(code, 16) > _CODE_POINT_MAX or 0xD800 <= int(code, 16) <= 0xDFFF:
        raise ValueError("invalid syntax")
    return chr(int(code, 16)).encode()
