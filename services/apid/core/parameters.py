"""Query strings, percent escapes, numbers and durations, read as Go's standard library reads them.

Clients match on the texts of these errors, so they are Go's.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DURATION_PART = re.compile(r"(\d*\.?\d*)([^\d.]*)")
_UNIT_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
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


def unescape_path(raw: bytes) -> str | None:
    """A path with its percent escapes resolved once; None when one is broken."""
    if b"%" in raw:
        if _ESCAPE.search(raw):
            return None
        raw = unquote_to_bytes(raw)
    return raw.decode("utf-8", "surrogateescape")


def go_quote(text: str) -> str:
    """A text as Go's %q shows it (for the texts that occur in errors)."""
    out = ['"']
    for char in text:
        if char in '"\\':
            out.append("\\" + char)
        elif char in "\a\b\f\n\r\t\v":
            out.append("\\" + "abfnrtv"["\a\b\f\n\r\t\v".index(char)])
        elif "\udc80" <= char <= "\udcff":
            out.append(f"\\x{ord(char) - 0xDC00:02x}")
        elif char.isprintable():
            out.append(char)
        else:
            code = ord(char)
            out.append(f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    out.append('"')
    return "".join(out)


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


def parse_duration_ns(text: str) -> int:
    """A Go duration such as `1h5m`, `-1.5s` or `0`, as nanoseconds. Errors: ValueError with Go 1.13's text."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"time: invalid duration {text}")
    total, position = 0, 0
    while position < len(rest):
        match = _DURATION_PART.match(rest, position)
        assert match is not None
        number, unit = match.groups()
        if not any(char.isdigit() for char in number):
            raise ValueError(f"time: invalid duration {text}")
        if not unit:
            raise ValueError(f"time: missing unit in duration {text}")
        if unit not in _UNIT_NS:
            raise ValueError(f"time: unknown unit {unit} in duration {text}")
        whole, _, fraction = number.partition(".")
        scale = _UNIT_NS[unit]
        total += int(whole or "0") * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)
        if total > MAX_INT64:
            raise ValueError(f"time: invalid duration {text}")
        position = match.end()
    return -total if text[:1] == "-" else total


def format_duration(duration_ns: int) -> str:
    """Nanoseconds as Go prints a Duration: `0s`, `1.5ms`, `2h0m10s`."""
    if duration_ns == 0:
        return "0s"
    sign, rest = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    if rest < 1_000_000_000:
        for unit, scale in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if rest >= scale:
                return sign + _decimal(rest, scale) + unit
    seconds_ns = rest % 60_000_000_000
    minutes = rest // 60_000_000_000
    text = _decimal(seconds_ns, 1_000_000_000) + "s"
    if minutes:
        text = f"{minutes % 60}m{text}"
    if minutes >= 60:
        text = f"{minutes // 60}h{text}"
    return sign + text


def _decimal(value: int, scale: int) -> str:
    whole, fraction = divmod(value, scale)
    if not fraction:
        return str(whole)
    digits = len(str(scale)) - 1
    return f"{whole}.{fraction:0{digits}d}".rstrip("0")
