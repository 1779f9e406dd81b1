"""Majorities, as pure arithmetic (Raft dissertation 3.2)."""

from collections.abc import Collection, Sequence
from enum import Enum


class VoteResult(Enum):
    """How an election stands."""

    WON = "won"
    LOST = "lost"
    OPEN = "open"


def majority(voters_count: int) -> int:
    """How many of `voters_count` make a quorum."""
    return voters_count // 2 + 1


def reached_by_quorum(values: Sequence[int]) -> int:
    """The largest number that a quorum of the voters' `values` has reached; 0 without voters."""
    if not values:
        return 0
    return sorted(values, reverse=True)[majority(len(values)) - 1]


def vote_result(voters: Sequence[str], granted: Collection[str], rejected: Collection[str]) -> VoteResult:
    """Count the votes; those of others than `voters` do not count. Without voters nobody wins."""
    needed = majority(len(voters))
    if sum(voter in granted for voter in voters) >= needed:
        return VoteResult.WON
    if sum(voter not in rejected for voter in voters) < needed:
        return VoteResult.LOST
    return VoteResult.OPEN
