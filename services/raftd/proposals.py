"""Proposals on their way: which log index belongs to whom, and what became of it.

Rules: every proposal is answered exactly once. It is answered with its result when an entry of its index and term is
applied, as lost when another entry takes its index, and as uncertain when this server no longer leads and neither is
known within `UNCERTAIN_AFTER_NS`: it may still be applied then.
"""

from dataclasses import dataclass
from typing import Protocol

NO_LEADER = "No cluster leader"
"""Consul's text, on which clients retry: the proposal was not taken."""
NOT_LEADER = "node is not the leader"
"""To another server's raftd: the proposal was not taken here; try the next leader."""
LOST = "leadership lost while committing log"
UNCERTAIN_AFTER_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one proposal; `error` "" means that it was applied at `index` with `result`."""

    index: int
    result: bytes
    error: str
    uncertain: bool = False


NOT_TAKEN = Outcome(0, b"", NO_LEADER)
NOT_TAKEN_HERE = Outcome(0, b"", NOT_LEADER)


class Sink(Protocol):
    """Who takes answers: a stream of a caller."""

    def answer(self, proposal_id: int, outcome: Outcome) -> None:
        """The outcome of one proposal; called once for each."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """One command to replicate, and who wants to know; tried again until `deadline_ns` when it was not taken.

    `deadline_ns` 0: another server's, which looks for the next leader itself, so it is answered `NOT_TAKEN_HERE`.
    """

    sink: Sink
    id: int
    command: bytes
    deadline_ns: int


class Proposals:
    """Those appended to this server's log and not yet answered, by index."""

    def __init__(self) -> None:
        self._pending: dict[int, tuple[int, Proposal]] = {}
        self._give_up_at_ns: int | None = None

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def give_up_at_ns(self) -> int | None:
        """When `expire` should be called, None: not needed."""
        return self._give_up_at_ns

    def appended(self, first_index: int, term: int, proposals: list[Proposal]) -> None:
        """The core took these, at consecutive indexes."""
        self._give_up_at_ns = None
        for index, proposal in enumerate(proposals, first_index):
            earlier = self._pending.pop(index, None)
            if earlier is not None:
                _lose(earlier[1])
            self._pending[index] = (term, proposal)

    def applied(self, index: int, term: int, result: bytes) -> None:
        """An entry was applied."""
        pending = self._pending.pop(index, None)
        if pending is None:
            return
        proposed_term, proposal = pending
        if proposed_term == term:
            proposal.sink.answer(proposal.id, Outcome(index, result, ""))
        else:
            _lose(proposal)

    def skipped_to(self, index: int) -> None:
        """A snapshot took the place of all entries up to `index`: what became of ours is not known."""
        for pending_index in [known for known in self._pending if known <= index]:
            _, proposal = self._pending.pop(pending_index)
            proposal.sink.answer(proposal.id, Outcome(0, b"", LOST, uncertain=True))

    def leadership_lost(self, now_ns: int) -> None:
        """This server leads no more: what is pending may or may not be applied by the next leader."""
        if self._pending and self._give_up_at_ns is None:
            self._give_up_at_ns = now_ns + UNCERTAIN_AFTER_NS

    def expire(self, now_ns: int) -> None:
        """Answer as uncertain what is still open when its time is over."""
        if self._give_up_at_ns is None or now_ns < self._give_up_at_ns:
            return
        self._give_up_at_ns = None
        pending, self._pending = self._pending, {}
        for _, proposal in pending.values():
            proposal.sink.answer(proposal.id, Outcome(0, b"", LOST, uncertain=True))


def _lose(proposal: Proposal) -> None:
    proposal.sink.answer(proposal.id, Outcome(0, b"", LOST))
