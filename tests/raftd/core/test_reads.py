"""Linearizable reads: ReadIndex and leases (Raft dissertation 6.4)."""

import pytest

from raftd.core.api import AppendResponse, NoLeaderError, RoleName, TooManyReadsError
from tests.raftd.core.bench import TIMEOUT_NS, Bench


def test_a_read_waits_for_a_quorum() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    index = bench.propose(leader, b"x")
    leader.raft.read_index(bench.now_ns, [7, 8])
    leader.drain()
    assert leader.reads == {}
    bench.settle()
    assert leader.reads == {7: index, 8: index}


def test_reads_that_come_while_a_round_is_under_way_share_the_next() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.settle()
    for context in range(50):
        leader.raft.read_index(bench.now_ns, [context])
        leader.drain()
    assert len(bench.sent) == 2, "one round to two followers"
    bench.settle()
    assert len(leader.reads) == 50


def test_a_deposed_leader_confirms_nothing() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.cut = {"n1"}
    leader.raft.read_index(bench.now_ns, [1])
    bench.advance(TIMEOUT_NS // 1_000_000 + 20)
    assert leader.reads == {}
    assert leader.failed_reads == [1]


def test_a_new_leader_reads_only_after_an_entry_of_its_term() -> None:
    bench = Bench(3)
    bench.blocks = lambda message: isinstance(message, AppendResponse) and message.match_index >= 2
    leader = bench.elect("n1")
    leader.raft.read_index(bench.now_ns, [1])
    bench.advance(300)
    assert leader.reads == {}
    assert leader.raft.soft_state.lease_expiry_ns == 0
    bench.blocks = lambda message: False
    bench.advance(300)
    assert leader.reads == {1: 2}
    assert leader.raft.soft_state.lease_expiry_ns > bench.now_ns


def test_a_follower_asks_the_leader() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    index = bench.propose(leader, b"x")
    bench["n2"].raft.read_index(bench.now_ns, [5])
    bench.settle()
    assert bench["n2"].reads == {5: index}
    assert bench["n2"].raft.commit_index == index, "the answer also tells what is committed"


def test_a_follower_without_leader_says_so() -> None:
    bench = Bench(3)
    with pytest.raises(NoLeaderError):
        bench["n2"].raft.read_index(bench.now_ns, [5])


def test_a_followers_read_fails_when_its_leader_is_gone() -> None:
    bench = Bench(3)
    bench.elect("n1")
    bench.cut = {"n1"}
    bench["n2"].raft.read_index(bench.now_ns, [5])
    bench.advance(3 * TIMEOUT_NS // 1_000_000)
    assert bench["n2"].failed_reads == [5]


def test_reads_are_limited() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    with pytest.raises(TooManyReadsError):
        leader.raft.read_index(bench.now_ns, range(70_000))


def test_the_lease_ends_before_anybody_else_may_be_elected() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.advance(500)
    bench.cut = {"n1"}
    heard_ns = bench["n2"].raft.last_contact_ns
    assert bench.now_ns < leader.raft.soft_state.lease_expiry_ns < heard_ns + TIMEOUT_NS


def test_an_only_voter_renews_its_lease_by_itself() -> None:
    bench = Bench(1)
    leader = bench["n1"]
    bench.advance(20)
    for _ in range(10):
        wake_at_ns = leader.raft.wake_at()
        assert wake_at_ns is not None
        assert bench.now_ns < wake_at_ns < leader.raft.soft_state.lease_expiry_ns
        bench.now_ns = wake_at_ns
        leader.raft.tick(bench.now_ns)
        leader.drain()
    leader.raft.read_index(bench.now_ns, [3])
    leader.drain()
    assert leader.reads == {3: 2}


def test_a_leader_that_hands_over_has_no_lease() -> None:
    """6.4.1 and 3.10: the successor's campaign overrides the voters' loyalty."""
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.advance(300)
    assert leader.raft.soft_state.lease_expiry_ns > 0
    bench.cut = {"n2", "n3"}
    leader.raft.transfer_leadership(bench.now_ns, "n2")
    assert leader.raft.soft_state.lease_expiry_ns == 0
    bench.cut = set()
    bench.sent.clear()
    bench.advance(100)
    assert leader.role != RoleName.LEADER or leader.raft.soft_state.lease_expiry_ns == 0
