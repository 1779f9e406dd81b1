"""Known Raft bugs, put into the core one at a time: the checkers must find each.

python -m sim.mutations                 in how many seeds is each found?
"""

import argparse
import sys
from collections.abc import Callable
from unittest.mock import patch

from raftd.core.api import HardState
from raftd.core.follower import Follower
from raftd.core.leader import Leader
from raftd.core.log import Log
from raftd.core.messages import VoteRequest, VoteResponse
from raftd.core.node import Node
from raftd.core.rounds import Rounds
from raftd.core.transfer import Transfer
from sim.raft import run_seed


def _votes_despite_leader() -> object:
    """Voters answer candidates although they hear a leader, whose lease rests on them (6.4.1)."""
    return patch.object(Node, "hears_leader", lambda self, now_ns: False)


def _commits_old_terms() -> object:
    """Entries of earlier terms are committed by counting copies (figure 3.7)."""

    def maybe_commit(self: Leader, now_ns: int) -> None:
        log = self._node.log
        log.term = lambda index: self._node.term  # type: ignore[method-assign]
        try:
            ORIGINAL_MAYBE_COMMIT(self, now_ns)
        finally:
            del log.term

    return patch.object(Leader, "_maybe_commit", maybe_commit)


ORIGINAL_MAYBE_COMMIT = Leader._maybe_commit


def _forgets_vote() -> object:
    """The vote is not stored: after a restart a server votes twice in a term (3.3)."""
    original = Node.fill

    def fill(self: Node, ready: object) -> None:
        original(self, ready)  # type: ignore[arg-type]
        if ready.hard_state is not None:  # type: ignore[attr-defined]
            ready.hard_state = HardState(self.term, "")  # type: ignore[attr-defined]

    return patch.object(Node, "fill", fill)


def _tells_votes_early() -> object:
    """Votes are told before they are durable (3.3)."""

    def send(self: Node, message: VoteRequest | VoteResponse) -> None:
        if message.target == self.id:
            self.deferred.append((self.sequence + 1, message))
        else:
            self.messages.append(message)

    return patch.object(Node, "send_when_durable", send)


def _acknowledges_early() -> object:
    """Followers acknowledge entries which are not on their disk (3.5)."""

    def acknowledge(self: Follower, leader_id: str, round_number: int) -> None:
        log = self._node.log
        durable, log.durable_index = log.durable_index, self._verified_index
        ORIGINAL_ACKNOWLEDGE(self, leader_id, round_number)
        log.durable_index = durable

    def take(self: Follower, entries: object, previous_index: int) -> None:
        ORIGINAL_TAKE(self, entries, previous_index)  # type: ignore[arg-type]
        self._verified_index = max(self._verified_index, self._node.log.last_index)
        if self._node.leader_id:
            acknowledge(self, self._node.leader_id, self._round)

    return patch.object(Follower, "_take", take)


ORIGINAL_ACKNOWLEDGE = Follower._acknowledge
ORIGINAL_TAKE = Follower._take


def _leader_counts_unsynced() -> object:
    """The leader counts its own entries before they are durable (10.2.1)."""

    def persisted(self: Log, sequence: int) -> None:
        self._writes.clear()
        self.durable_index = self.last_index

    return patch.object(Log, "persisted", persisted)


def _lease_too_long() -> object:
    """The lease outlasts the time for which followers refuse their votes (6.4.1)."""

    def lease_expiry_ns(self: Rounds) -> int:
        return self._confirmed_ns + 3 * self._config.heartbeat_timeout_ns if self._confirmed_ns else 0

    return patch.object(Rounds, "lease_expiry_ns", lease_expiry_ns)


def _lease_before_apply() -> object:
    """A new leader serves lease reads before it has applied an entry of its own term (6.4)."""

    def lease_expiry_ns(self: Leader) -> int:
        return self._rounds.lease_expiry_ns()

    return patch.object(Leader, "lease_expiry_ns", lease_expiry_ns)


def _lease_during_transfer() -> object:
    """A leader keeps its lease while its successor campaigns (3.10, 6.4.1)."""
    revoked = property(lambda self: False, lambda self, value: None)
    return patch.object(Transfer, "lease_revoked", revoked, create=True)


def _reads_unconfirmed() -> object:
    """A leader answers reads without proof that it still leads (6.4)."""

    def begin_round(self: Leader, now_ns: int) -> None:
        ORIGINAL_BEGIN_ROUND(self, now_ns)
        confirmed, self._rounds.confirmed = self._rounds.confirmed, self._rounds.current
        self._answer_reads()
        self._rounds.confirmed = confirmed

    return patch.object(Leader, "_begin_round", begin_round)


ORIGINAL_BEGIN_ROUND = Leader._begin_round


def _overlapping_changes() -> object:
    """Membership changes begin before the last one is committed (4.1)."""
    return patch.object(Leader, "_may_change_configuration", lambda self: True)


def _cuts_without_conflict() -> object:
    """A late append cuts off what came after it, though nothing conflicts (3.5)."""

    def take(self: Follower, entries: object, previous_index: int) -> None:
        node = self._node
        node.commit_index, commit_index = 0, node.commit_index
        if previous_index < node.log.last_index:
            node.cut(max(previous_index, node.log.first_index - 1) + 1)
        node.commit_index = min(commit_index, node.log.last_index)
        ORIGINAL_TAKE(self, entries, previous_index)  # type: ignore[arg-type]

    return patch.object(Follower, "_take", take)


def _vote_for_stale_log() -> object:
    """Votes go to candidates whose log lacks committed entries (3.6.1)."""
    return patch.object(Node, "is_up_to_date", lambda self, last_index, last_term: True)


MUTATIONS: dict[str, tuple[Callable[[], object], str]] = {
    "votes-despite-leader": (_votes_despite_leader, "loyalty"),
    "votes-for-stale-log": (_vote_for_stale_log, "mixed"),
    "forgets-vote": (_forgets_vote, "elections"),
    "tells-votes-early": (_tells_votes_early, "elections"),
    "commits-old-terms": (_commits_old_terms, "churn"),
    "acknowledges-early": (_acknowledges_early, "power"),
    "leader-counts-unsynced": (_leader_counts_unsynced, "power"),
    "lease-too-long": (_lease_too_long, "leases"),
    "lease-before-apply": (_lease_before_apply, "leases"),
    "lease-during-transfer": (_lease_during_transfer, "leases"),
    "reads-unconfirmed": (_reads_unconfirmed, "leases"),
    "overlapping-changes": (_overlapping_changes, "members"),
    "cuts-without-conflict": (_cuts_without_conflict, "mixed"),
}
"""The bug, and the climate in which it shows soonest."""


def seeds_to_find(name: str, seeds_max: int) -> tuple[int, str]:
    """Run seeds 0, 1, … with the bug; returns how many it took and what was reported, or (0, "") if not found.

    A missed liveness bound alone does not count: these bugs are all about safety.
    """
    inject, climate = MUTATIONS[name]
    for seed in range(seeds_max):
        with inject():  # type: ignore[attr-defined]
            failure = run_seed(seed, climate_name=climate).failure
        if failure and "liveness" not in failure:
            return seed + 1, failure
    return 0, ""


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="see the simulator find known bugs")
    parser.add_argument("names", nargs="*", default=list(MUTATIONS))
    parser.add_argument("--seeds-max", type=int, default=400)
    options = parser.parse_args()
    missed = 0
    for name in options.names:
        count, failure = seeds_to_find(name, options.seeds_max)
        missed += count == 0
        print(f"{name:28} {f'found in {count} seeds: {failure}' if count else 'NOT FOUND'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
