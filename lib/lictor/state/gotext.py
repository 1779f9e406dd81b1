"""Texts as Go prints them, because clients match on them: quoted strings and durations."""

from __future__ import annotations

import re

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}


def quote(text: str) -> str:
    """As `%q`: double-quoted with escapes; printable characters as they are."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_quoted(character) for character in text) + '"'


def _quoted(character: str) -> str:
    escape = _ESCAPES.get(character)
    if escape is not None:
        return escape
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d*)(?:\.(\d*))?([a-zµμ]+)")
_DURATION_MAX_NS = (1 << 63) - 1


class DurationError(ValueError):
    """Not a duration, or one too long for 64 bits; the text is Go's."""


def parse_duration_ns(text: str) -> int:
    """A duration text ("1m30s", "-5s", "0") in nanoseconds. Errors: DurationError."""
    if text == "0":
        return 0
    sign = -1 if text.startswith("-") else 1
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise DurationError(f"time: invalid duration {text}")
    total = 0
    position = 0
    while position < len(rest):
        match = _PART.match(rest, position)
        if match is None or not (match[1] or match[2]):
            if re.fullmatch(r"\d+(\.\d*)?|\.\d+", rest[position:]):
                raise DurationError(f"time: missing unit in duration {text}")
            raise DurationError(f"time: invalid duration {text}")
        unit = _UNITS_NS.get(match[3])
        if unit is None:
            raise DurationError(f"time: unknown unit {match[3]} in duration {text}")
        fraction = match[2] or ""
        total += int(match[1] or "0") * unit
        if fraction:
            total += int(fraction) * unit // 10 ** len(fraction)
        position = match.end()
    if total > _DURATION_MAX_NS:
        raise DurationError(f"time: invalid duration {text}")
    return sign * total


def format_duration(nanoseconds: int) -> str:
    """As Go prints a duration: "1h0m0s", "1.5s", "200ms", "0s"."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    value = abs(nanoseconds)
    if value < 1_000:
        return f"{sign}{value}ns"
    if value < 1_000_000:
        return f"{sign}{_decimal(value, 1_000)}µs"
    if value < 1_000_000_000:
        return f"{sign}{_decimal(value, 1_000_000)}ms"
    minutes, rest = divmod(value, 60 * 10**9)
    text = f"{_decimal(rest, 10**9)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    if not fraction:
        return str(whole)
    digits = str(fraction).rjust(len(str(unit)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
