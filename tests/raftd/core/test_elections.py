"""Elections, pre-vote, loyalty to a leader, check quorum (Raft dissertation 3.4, 3.6.1, 4.2.3, 6.2, 9.6)."""

import pytest

from raftd.core.api import (
    AlreadyBootstrappedError,
    AppendRequest,
    Configuration,
    NotLeaderError,
    RaftConfig,
    RoleName,
    Server,
    VoteRequest,
    VoteResponse,
    consul_config,
    dev_config,
)
from tests.raftd.core.bench import MS, TIMEOUT_NS, Bench


def test_an_only_voter_leads_as_soon_as_its_vote_is_durable() -> None:
    bench = Bench(0, spares=1)
    node = bench["n1"]
    node.auto_sync = False
    node.raft.bootstrap(bench.now_ns, Configuration((Server("n1", "n1:8300"),)))
    node.drain()
    node.sync()
    node.raft.tick(bench.now_ns)
    node.drain()
    roles = [node.role]
    node.sync()
    node.drain()
    assert [*roles, node.role] == [RoleName.CANDIDATE, RoleName.LEADER]


def test_a_leader_is_elected_and_commits_an_entry_of_its_term() -> None:
    bench = Bench(3)
    leader = bench.elect("n2")
    assert {node.raft.soft_state.leader_id for node in bench.nodes.values()} == {"n2"}
    assert leader.raft.commit_index == leader.raft.last_index == 2


def test_no_vote_is_asked_or_given_before_it_is_durable() -> None:
    """3.3: term and vote are stored before answering."""
    bench = Bench(3)
    for node in bench.nodes.values():
        node.auto_sync = False
    bench.settle()
    bench.now_ns += 3 * TIMEOUT_NS
    bench["n1"].raft.tick(bench.now_ns)
    bench.settle()
    assert bench["n1"].role.name == "CANDIDATE"
    assert not bench.of(VoteRequest)
    bench["n1"].sync()
    bench.settle()
    granted = [m for m in bench.delivered if isinstance(m, VoteResponse) and m.granted and not m.pre_vote]
    assert granted == []
    bench["n2"].sync()
    bench.settle()
    granted = [m for m in bench.delivered if isinstance(m, VoteResponse) and m.granted and not m.pre_vote]
    assert [m.source for m in granted] == ["n2"]
    assert bench["n1"].role == RoleName.LEADER


def test_a_returning_server_does_not_unseat_a_healthy_leader() -> None:
    """9.6, 4.2.3: it was cut off for long, and comes back with its term unchanged."""
    bench = Bench(3)
    leader = bench.elect("n1")
    term = leader.raft.soft_state.term
    bench.cut = {"n3"}
    bench.advance(20_000)
    assert bench["n3"].raft.soft_state.term == term
    bench.cut = set()
    bench.advance(5_000)
    assert leader.role == RoleName.LEADER
    assert leader.raft.soft_state.term == term
    assert bench["n3"].raft.soft_state.leader_id == "n1"


def test_a_server_that_hears_a_leader_refuses_votes_and_keeps_its_term() -> None:
    bench = Bench(3)
    bench.elect("n1")
    follower = bench["n2"]
    term = follower.raft.soft_state.term
    request = VoteRequest("n3", "n2", term + 5, 100, term + 4, False, False)
    follower.raft.step(bench.now_ns, request)
    assert follower.raft.soft_state.term == term
    bench.now_ns += TIMEOUT_NS
    follower.raft.step(bench.now_ns, request)
    assert follower.raft.soft_state.term == term + 5


def test_a_restarted_server_is_loyal_for_a_timeout_too() -> None:
    bench = Bench(3)
    term = bench.elect("n1").raft.soft_state.term
    node = bench.restart("n2")
    request = VoteRequest("n3", "n2", term + 1, 100, term, False, False)
    node.raft.step(bench.now_ns + TIMEOUT_NS - 1, request)
    assert node.raft.soft_state.term == term
    node.raft.step(bench.now_ns + TIMEOUT_NS, request)
    assert node.raft.soft_state.term == term + 1


def test_a_server_votes_once_per_term_also_across_a_restart() -> None:
    bench = Bench(3)
    node = bench["n2"]
    node.raft.step(bench.now_ns, VoteRequest("n1", "n2", 7, 9, 6, False, False))
    node.drain()
    node = bench.restart("n2")
    bench.now_ns += TIMEOUT_NS
    bench.sent.clear()
    node.raft.step(bench.now_ns, VoteRequest("n3", "n2", 7, 9, 6, False, False))
    node.drain()
    assert [m.granted for m in bench.of(VoteResponse)] == [False]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"), [(2, 2, True), (3, 1, False), (1, 2, False), (1, 3, True), (9, 2, True)]
)
def test_votes_go_to_logs_at_least_as_complete(last_index: int, last_term: int, granted: bool) -> None:
    """3.6.1: the later last term wins, then the longer log."""
    bench = Bench(3)
    bench.elect("n1")  # n2's log ends with (2, 2)
    assert (bench["n2"].raft.last_index, bench["n2"].raft.last_term) == (2, 2)
    bench.now_ns += TIMEOUT_NS
    bench.sent.clear()
    bench["n2"].raft.step(bench.now_ns, VoteRequest("n3", "n2", 9, last_index, last_term, False, False))
    bench["n2"].drain()
    assert [m.granted for m in bench.of(VoteResponse)] == [granted]  # type: ignore[union-attr]


def test_a_leader_without_a_quorum_steps_down() -> None:
    """6.2"""
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.cut = {"n1"}
    bench.advance(TIMEOUT_NS // MS + 20)
    assert leader.role == RoleName.FOLLOWER
    with pytest.raises(NotLeaderError):
        leader.raft.propose(bench.now_ns, [b"x"])


def test_a_leader_of_an_old_term_hears_that_it_is_one() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.cut = {"n1"}
    bench.advance(900, ["n2"])
    bench.now_ns += TIMEOUT_NS
    bench.elect("n2")
    bench.cut = set()
    leader.raft.tick(bench.now_ns)
    bench.settle()
    assert leader.role == RoleName.FOLLOWER
    bench.advance(500)
    assert leader.raft.soft_state.leader_id == "n2"


def test_a_non_voter_never_campaigns() -> None:
    bench = Bench(1, spares=1)
    bench.elect("n1")
    bench["n2"].raft.step(bench.now_ns, AppendRequest("n1", "n2", 2, 1, 0, 0, 0, ()))
    bench.cut = {"n1"}
    bench.advance(10_000, ["n2"])
    assert bench["n2"].role == RoleName.FOLLOWER


def test_bootstrap_is_for_empty_logs_only() -> None:
    bench = Bench(3)
    with pytest.raises(AlreadyBootstrappedError):
        bench["n1"].raft.bootstrap(bench.now_ns, bench.configuration)


def test_consuls_times() -> None:
    config = consul_config("a", 5)
    assert (config.heartbeat_timeout_ns, config.lease_timeout_ns) == (5000 * MS, 2500 * MS)
    assert dev_config("a").heartbeat_timeout_ns == 35 * MS


def test_a_lease_that_is_not_safe_under_drift_is_refused() -> None:
    with pytest.raises(AssertionError, match="too long"):
        RaftConfig(id="a", heartbeat_timeout_ns=1000 * MS, election_timeout_ns=1000 * MS, lease_timeout_ns=700 * MS)
