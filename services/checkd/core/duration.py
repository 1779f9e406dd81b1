"""Durations as Go writes and reads them (`time.ParseDuration`, `Duration.String`); integers of nanoseconds."""

from __future__ import annotations

import re
from decimal import Decimal

MICROSECOND_NS = 1_000
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
MAX_DURATION_NS = 2**63 - 1

UNITS_NS = {
    "ns": 1,
    "us": MICROSECOND_NS,
    "µs": MICROSECOND_NS,
    "μs": MICROSECOND_NS,
    "ms": MILLISECOND_NS,
    "s": SECOND_NS,
    "m": MINUTE_NS,
    "h": HOUR_NS,
}
_PART = re.compile(r"([0-9]*\.?[0-9]*)([^0-9.]*)")


def parse_duration(text: str) -> int:
    """Nanoseconds of a text such as `1h15m30.918s`; ValueError with Go's words otherwise."""
    rest = text
    negative = rest.startswith("-")
    if rest[:1] in ("-", "+"):
        rest = rest[1:]
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = Decimal(0)
    while rest:
        match = _PART.match(rest)
        assert match is not None, "the pattern matches anything"
        number, unit = match.groups()
        if not any(digit.isdigit() for digit in number):
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in UNITS_NS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += Decimal(number) * UNITS_NS[unit]
        rest = rest[match.end() :]
    nanoseconds = int(total)
    if nanoseconds > MAX_DURATION_NS:
        raise ValueError(f'time: invalid duration "{text}"')
    return -nanoseconds if negative else nanoseconds


def format_duration(duration_ns: int) -> str:
    """The text Go prints for a duration, e.g. `0s`, `1.5s`, `2m30s`, `100ms`."""
    if duration_ns == 0:
        return "0s"
    sign, rest = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    if rest < SECOND_NS:
        for unit, size in (("ms", MILLISECOND_NS), ("µs", MICROSECOND_NS)):
            if rest >= size:
                return f"{sign}{_decimal(rest, size)}{unit}"
        return f"{sign}{rest}ns"
    hours, rest = divmod(rest, HOUR_NS)
    minutes, rest = divmod(rest, MINUTE_NS)
    text = f"{hours}h" if hours else ""
    if hours or minutes:
        text += f"{minutes}m"
    return f"{sign}{text}{_decimal(rest, SECOND_NS)}s"


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    if not fraction:
        return str(whole)
    digits = str(fraction).rjust(len(str(size)) - 1, "0").rstrip("0")
    return f"{whole}.{digits}"
