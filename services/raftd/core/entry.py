"""Log entries and the hard state: what the Raft log keeps on disk."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class EntryKind(IntEnum):
    """What an entry means. Stored in the log: numbers never change."""

    COMMAND = 0
    """`data` is a state-machine command."""
    NOOP = 1
    """A new leader's first entry; `data` is empty (Raft dissertation 6.4)."""
    CONFIGURATION = 2
    """`data` is an encoded `Configuration`; in force from the moment it is appended."""


class Entry(NamedTuple):
    """One log entry. A tuple, since thousands are made per second."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody wants here
    term: int
    kind: EntryKind
    data: bytes


ENTRY_OVERHEAD_BYTES = 32
"""Counted on top of `len(data)` wherever entries are limited by bytes, so that empty entries are not free."""


def entry_bytes(entry: Entry) -> int:
    """The size an entry counts as against byte limits."""
    return len(entry.data) + ENTRY_OVERHEAD_BYTES


@dataclass(frozen=True, slots=True)
class HardState:
    """What must be durable before it is acted upon (Raft dissertation 3.3 "persistent state")."""

    term: int = 0
    vote: str = ""
    """Server id voted for in `term`, or ""."""
