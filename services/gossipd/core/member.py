"""A member as Serf knows it: longer remembered than the failure detector's node, with tags and a status."""

from enum import IntEnum
from typing import NamedTuple

from gossipd.core.node import Node


class MemberStatus(IntEnum):
    """Numbered as in the HTTP API."""

    NONE = 0
    ALIVE = 1
    LEAVING = 2
    LEFT = 3
    FAILED = 4


class Member(NamedTuple):
    """Immutable, like Node. `status_time` is the Lamport time of the last intent about it; `gone_at_ns` when it left
    or failed, 0 while it is there."""

    node: Node
    tags: dict[str, str]
    status: MemberStatus
    status_time: int
    gone_at_ns: int

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def is_gone(self) -> bool:
        return self.status in (MemberStatus.LEFT, MemberStatus.FAILED)
