"""Durations in Go's syntax: `300ms`, `1.5h`, `2h45m`."""

from __future__ import annotations

import re

UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
MAX_NS = (1 << 63) - 1
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?([^0-9.]*)")


class DurationError(ValueError):
    """The text is no duration; worded as Go words it."""


def parse(text: str) -> int:
    """The duration in nanoseconds.

    Raises DurationError for anything that Go's time.ParseDuration refuses.
    """
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise DurationError(f'time: invalid duration "{text}"')
    total_ns = 0
    while rest:
        match = _PART.match(rest)
        assert match is not None, "every part of the pattern may be empty"
        whole, fraction, unit = match[1], match[2] or "", match[3]
        if not whole and not fraction:
            raise DurationError(f'time: invalid duration "{text}"')
        if not unit:
            raise DurationError(f'time: missing unit in duration "{text}"')
        if unit not in UNITS_NS:
            raise DurationError(f'time: unknown unit "{unit}" in duration "{text}"')
        total_ns += int(whole or "0") * UNITS_NS[unit]
        if fraction:
            total_ns += int(fraction) * UNITS_NS[unit] // 10 ** len(fraction)
        if total_ns > MAX_NS:
            raise DurationError(f'time: invalid duration "{text}"')
        rest = rest[match.end() :]
    return -total_ns if text.startswith("-") else total_ns


def show(duration_ns: int) -> str:
    """The duration as Go prints it: `1m30s`, `200ms`, `0s`."""
    if duration_ns == 0:
        return "0s"
    sign, left_ns = ("-", -duration_ns) if duration_ns < 0 else ("", duration_ns)
    for unit, size_ns in (("ns", 1), ("µs", 1_000), ("ms", 1_000_000)):
        if left_ns < size_ns * 1000:
            return f"{sign}{decimal(left_ns, size_ns)}{unit}"
    minutes, left_ns = divmod(left_ns, UNITS_NS["m"])
    hours, minutes = divmod(minutes, 60)
    text = f"{decimal(left_ns, UNITS_NS['s'])}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def decimal(amount: int, size: int) -> str:
    """`amount / size` exactly, without trailing zeros; `size` is a power of ten."""
    whole, rest = divmod(amount, size)
    digits = str(rest).zfill(len(str(size)) - 1).rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
