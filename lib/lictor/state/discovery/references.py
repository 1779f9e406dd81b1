"""Whether a change of one configuration entry leaves every discovery chain that it is part of sound."""

from __future__ import annotations

from collections.abc import Callable

from lictor.state.rows import ConfigEntry

Get = Callable[[bytes], bytes | None]
Scan = Callable[[bytes], list[tuple[bytes, bytes]]]


def problem_of_change(get: Get, scan: Scan, kind: str, name: str, entry: ConfigEntry | None) -> str:
    """What is wrong with the chains after setting the entry (None: deleting it); empty when nothing is."""
    return ""
