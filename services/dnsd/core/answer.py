"""An answer before it is a packet: groups of records whose order and number the packet still decides."""

from __future__ import annotations

import msgspec

from dnsd.core.records import NOERROR, Record


class Group(msgspec.Struct, frozen=True, gc=False):
    """What one instance contributes; kept or dropped as a whole."""

    answers: tuple[Record, ...]
    additionals: tuple[Record, ...] = ()


class Answer(msgspec.Struct):
    """The content of one response."""

    rcode: int = NOERROR
    groups: list[Group] = []
    additionals: list[Record] = []
    """In the additional section whatever groups are kept."""
    authorities: list[Record] = []
    authoritative: bool = True
    recursion_available: bool = False
    echo_edns: bool = True
    rotates: bool = False
    """Successive answers begin with the next group each."""
    trims: bool = False
    """Service-like: the number of answers is limited, additional records follow the answers that are kept."""
    group_limit: int = 0
    """How many groups are sent at most; 0 for all."""
    subnet_global: bool = True
    """False when the answer depended on the asker's subnet."""
    serial_s: int = -1
    """The time that is in it as SOA serial, -1 when there is none."""
    keeps: bool = True
    """May be kept for the next asker as long as its facts stand; False when chance or the asker is in it."""
    folds_owner: bool = False
    """Owners are in lower case however the question was spelled."""
    relayed: bytes = b""
    """A recursor's packet, sent as it is but for the ID."""
