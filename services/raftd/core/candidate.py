"""Elections: first a pre-vote that changes nobody's term, then the campaign (Raft dissertation 3.4, 9.6)."""

from collections.abc import Sequence

from raftd.core.effects import RoleName
from raftd.core.errors import NoLeaderError
from raftd.core.messages import Message, ReadIndexRequest, VoteRequest, VoteResponse
from raftd.core.node import Node
from raftd.core.quorum import VoteResult, vote_result


class _Campaign:
    """What both kinds of campaign do: ask, count, give up after a random time."""

    name: RoleName
    pre_vote: bool

    def __init__(self, node: Node, now_ns: int, transfer: bool = False) -> None:
        self._node = node
        self._granted: set[str] = set()
        self._rejected: set[str] = set()
        timeout_ns = node.config.election_timeout_ns
        self._deadline_ns = now_ns + node.draw(timeout_ns, 2 * timeout_ns)
        self._ask(transfer)

    def _ask(self, transfer: bool) -> None:
        raise AssertionError("each kind of campaign asks in its own way")

    def _won(self, now_ns: int) -> None:
        raise AssertionError("each kind of campaign wins something else")

    def tick(self, now_ns: int) -> None:
        """Start over, as a pre-vote, when no decision came."""
        if now_ns < self._deadline_ns:
            return
        if self._node.is_sole_voter:
            self._node.become_candidate(now_ns, transfer=False)
        elif self._node.may_campaign:
            self._node.become_pre_candidate(now_ns)
        else:
            self._node.become_follower(now_ns, self._node.term, "")

    def wake_at(self) -> int:
        """The election timeout."""
        return self._deadline_ns

    def step(self, now_ns: int, message: Message) -> None:
        """Count votes; whoever asks for reads must wait for a leader."""
        match message:
            case VoteResponse() if message.pre_vote == self.pre_vote:
                if self.pre_vote and message.granted and message.term != self._node.term + 1:
                    return  # granted for an earlier pre-vote
                (self._granted if message.granted else self._rejected).add(message.source)
                self._count(now_ns)
            case ReadIndexRequest():
                self._node.refuse_read(message)
            case _:
                pass

    def _count(self, now_ns: int) -> None:
        result = vote_result(self._node.membership.voters, self._granted, self._rejected)
        if result == VoteResult.WON:
            self._won(now_ns)
        elif result == VoteResult.LOST:
            self._node.become_follower(now_ns, self._node.term, "")

    def flush(self, now_ns: int) -> None:
        """Nothing gathers here."""

    def has_gathered(self) -> bool:
        """Nothing gathers here."""
        return False

    def persisted(self, now_ns: int) -> None:
        """Requests that waited for the disk are sent by whoever holds them."""

    def configuration_changed(self, now_ns: int) -> None:
        """Votes are counted against the configuration in force when they arrive."""

    def read_index(self, now_ns: int, contexts: Sequence[int]) -> None:
        """There is no leader to ask."""
        raise NoLeaderError("no cluster leader")

    def lease_expiry_ns(self) -> int:
        """Candidates have none."""
        return 0

    def installed(self, index: int) -> None:
        """Snapshots are installed by followers only."""
        raise AssertionError("a snapshot was installed during a campaign")

    def stop(self, now_ns: int) -> None:
        """Nothing depends on a campaign."""


class PreCandidate(_Campaign):
    """Asks who would vote for it in the next term; nothing is stored, no term changes."""

    name = RoleName.PRE_CANDIDATE
    pre_vote = True

    def _ask(self, transfer: bool) -> None:
        node = self._node
        self._granted.add(node.id)
        for voter in node.membership.voters:
            if voter != node.id:
                node.messages.append(_request(node, voter, node.term + 1, pre_vote=True, transfer=False))

    def _won(self, now_ns: int) -> None:
        self._node.become_candidate(now_ns, transfer=False)


class Candidate(_Campaign):
    """Campaigns in its new term. Its own vote counts, and others hear of it, once that vote is durable."""

    name = RoleName.CANDIDATE
    pre_vote = False

    def _ask(self, transfer: bool) -> None:
        node = self._node
        node.send_when_durable(VoteResponse(node.id, node.id, node.term, False, True))
        for voter in node.membership.voters:
            if voter != node.id:
                node.send_when_durable(_request(node, voter, node.term, pre_vote=False, transfer=transfer))

    def _won(self, now_ns: int) -> None:
        self._node.become_leader(now_ns)


def _request(node: Node, target: str, term: int, *, pre_vote: bool, transfer: bool) -> VoteRequest:
    return VoteRequest(node.id, target, term, node.log.last_index, node.log.last_term, pre_vote, transfer)
