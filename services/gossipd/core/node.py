"""A node as the failure detector knows it, and the four states it can be in."""

from enum import IntEnum
from typing import NamedTuple

VERSION_COUNT = 6


class NodeState(IntEnum):
    """Numbered as on the wire (push/pull `State`)."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


class Node(NamedTuple):
    """One member. Immutable: a change makes a new value, so pools in the simulator can share them.

    `address` is raw (4 or 16 bytes) as compared on the wire; `host` is its text; `versions` holds PMin, PMax, PCur,
    DMin, DMax and DCur, one byte each.
    """

    name: str
    address: bytes
    host: str
    port: int
    meta: bytes
    versions: bytes
    incarnation: int
    state: NodeState
    changed_at_ns: int

    @property
    def is_dead_or_left(self) -> bool:
        return self.state >= NodeState.DEAD

    @property
    def protocol_max(self) -> int:
        return self.versions[1] if len(self.versions) == VERSION_COUNT else 0
