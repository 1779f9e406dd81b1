"""Log replication, commitment, flow control (Raft dissertation 3.5, 3.6.2, 10.2)."""

from dataclasses import replace

import pytest

from raftd.core.api import (
    AppendRequest,
    AppendResponse,
    EntryTooLargeError,
    NotLeaderError,
    RaftConfig,
    RoleName,
    UncommittedLimitError,
)
from tests.raftd.core.bench import TIMEOUT_NS, Bench, Node, bench_config


def test_entries_reach_everybody_and_are_applied_in_order() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.propose(leader, b"a", b"b", b"c")
    bench.advance(100)
    for node in bench.nodes.values():
        assert node.commands() == [b"a", b"b", b"c"]


def test_an_entry_is_not_acknowledged_before_it_is_durable() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.cut = {"n3"}
    bench["n2"].auto_sync = False
    index = bench.propose(leader, b"a")
    assert leader.raft.commit_index < index
    bench["n2"].sync()
    bench.settle()
    assert leader.raft.commit_index == index


def test_the_leader_counts_itself_only_when_durable() -> None:
    """10.2.1: it writes in parallel with its followers; their quorum may be first."""
    bench = Bench(3)
    leader = bench.elect("n1")
    leader.auto_sync = False
    bench.cut = {"n3"}
    index = bench.propose(leader, b"a")
    assert leader.raft.commit_index < index
    bench.cut = set()
    bench.advance(300)
    assert leader.raft.commit_index == index, "the two others are a quorum"
    assert leader.commands() == [], "what is not durable here is not applied here"
    leader.sync()
    bench.settle()
    assert leader.commands() == [b"a"]


def test_entries_of_old_terms_are_not_committed_by_counting() -> None:
    """3.6.2, figure 3.7."""
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.blocks = lambda message: isinstance(message, AppendResponse) and message.target == "n1"
    old_index = bench.propose(leader, b"old")
    bench.cut = {"n1"}
    bench.advance(TIMEOUT_NS // 1_000_000, ["n2"])
    bench.blocks = lambda message: (
        isinstance(message, AppendRequest) and bool(message.entries) and message.entries[-1].term > 2
    )
    leader = bench.elect("n2")
    bench.advance(100)
    assert leader.raft.commit_index < old_index
    bench.blocks = lambda message: False
    bench.advance(500)
    assert leader.raft.commit_index >= old_index
    assert leader.commands() == [b"old"]


def test_a_conflicting_tail_is_replaced() -> None:
    """3.5: the leader's log wins."""
    bench = Bench(3)
    first = bench.elect("n1")
    bench.cut = {"n1"}
    bench.propose(first, b"lost1", b"lost2")
    bench.advance(TIMEOUT_NS // 1_000_000, ["n2"])
    second = bench.elect("n2")
    bench.propose(second, b"kept")
    bench.cut = set()
    bench.advance(1000)
    assert first.commands() == [b"kept"]
    assert first.raft.last_index == second.raft.last_index


@pytest.mark.parametrize("streaming", [True, False])
def test_a_follower_that_comes_back_with_an_empty_disk_is_sent_everything_anew(streaming: bool) -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.propose(leader, b"a", b"b")
    bench.advance(300)
    if not streaming:
        bench.cut = {"n2"}
        leader.raft.peer_unreachable(bench.now_ns, "n2")
    bench.nodes["n2"] = Node(bench, "n2", bench_config("n2"))
    bench.cut = {"n3"}
    bench.advance(300)
    index = bench.propose(leader, b"c")
    bench.advance(1000)
    assert bench["n2"].commands() == [b"a", b"b", b"c"]
    assert leader.raft.commit_index == index, "with n3 away, what n2 has anew is counted"


def test_a_late_rejection_takes_nothing_back() -> None:
    """Sent before the follower had what it has acknowledged since."""
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.propose(leader, b"a", b"b")
    bench.advance(300)
    before = [(peer.id, peer.match_index) for peer in leader.raft.peers()]
    late = AppendResponse("n2", "n1", leader.raft.soft_state.term, 1, False, 0, leader.raft.last_index, 0, 0)
    leader.raft.step(bench.now_ns, late)
    assert [(peer.id, peer.match_index) for peer in leader.raft.peers()] == before


def test_backtracking_skips_whole_terms() -> None:
    """3.5: one rejection per conflicting term, not per entry."""
    bench = Bench(3)
    first = bench.elect("n1")
    bench.cut = {"n1"}
    bench.propose(first, *[b"lost"] * 500)
    bench.advance(TIMEOUT_NS // 1_000_000, ["n2"])
    second = bench.elect("n2")
    bench.propose(second, *[b"kept"] * 500)
    bench.delivered.clear()
    bench.cut = set()
    bench.advance(500)
    rejections = [m for m in bench.delivered if isinstance(m, AppendResponse) and not m.success and m.source == "n1"]
    assert first.commands() == [b"kept"] * 500
    assert len(rejections) <= 4


def test_proposals_made_together_travel_together() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    for number in range(100):
        leader.raft.propose(bench.now_ns, [b"%d" % number])
    leader.drain()
    appends = bench.of(AppendRequest, "n2")
    assert [len(append.entries) for append in appends] == [100]  # type: ignore[union-attr]


def test_followers_at_the_same_place_get_the_same_tuple() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    leader.raft.propose(bench.now_ns, [b"x"])
    leader.drain()
    one, two = bench.of(AppendRequest)
    assert one.entries is two.entries  # type: ignore[union-attr]


def test_the_window_limits_what_is_on_its_way() -> None:
    """10.2.2"""

    def config(name: str) -> RaftConfig:
        return replace(bench_config(name), inflight_max_messages=4, append_max_entries=10)

    bench = Bench(3, config=config)
    leader = bench.elect("n1")
    leader.raft.propose(bench.now_ns, [b"x"] * 1000)
    leader.drain()
    assert len(bench.of(AppendRequest, "n2")) == 4
    bench.settle()
    bench.advance(50)
    assert bench["n2"].commands() == [b"x"] * 1000


def test_lost_appends_are_noticed_by_the_next_heartbeat() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.blocks = lambda message: isinstance(message, AppendRequest) and bool(message.entries)
    bench.propose(leader, b"x")
    bench.blocks = lambda message: False
    bench.advance(210)
    assert bench["n2"].commands() == [b"x"]


def test_old_entries_come_from_the_disk() -> None:
    def config(name: str) -> RaftConfig:
        return replace(bench_config(name), log_cache_max_bytes=100)

    bench = Bench(3, config=config)
    leader = bench.elect("n1")
    bench.cut = {"n3"}
    for _ in range(30):
        bench.propose(leader, b"12345678")
        bench.advance(10)
    bench.cut = set()
    bench.advance(1000)
    assert len(bench["n3"].commands()) == 30


def test_followers_refuse_proposals_and_name_the_leader() -> None:
    bench = Bench(3)
    bench.elect("n1")
    with pytest.raises(NotLeaderError) as refused:
        bench["n2"].raft.propose(bench.now_ns, [b"x"])
    assert refused.value.leader_id == "n1"


def test_too_much_uncommitted_is_refused_and_nothing_is_taken() -> None:
    def config(name: str) -> RaftConfig:
        return replace(bench_config(name), uncommitted_max_bytes=1000, entry_max_bytes=5000)

    bench = Bench(3, config=config)
    leader = bench.elect("n1")
    bench.cut = {"n2", "n3"}
    bench.propose(leader, bytes(900))
    last_index = leader.raft.last_index
    with pytest.raises(UncommittedLimitError):
        leader.raft.propose(bench.now_ns, [bytes(100)])
    with pytest.raises(EntryTooLargeError):
        leader.raft.propose(bench.now_ns, [b"small", bytes(5001)])
    assert leader.raft.last_index == last_index
    bench.cut = set()
    bench.advance(300)
    assert bench.propose(leader, bytes(900)) == last_index + 1


def test_an_acknowledgement_owed_to_an_old_leader_is_forgotten() -> None:
    """It would tell the old leader of entries which its successor may have replaced."""
    bench = Bench(3)
    leader = bench.elect("n1")
    follower = bench["n2"]
    follower.auto_sync = False
    bench.cut = {"n3"}
    bench.propose(leader, b"x")
    term = leader.raft.soft_state.term
    follower.raft.step(bench.now_ns, AppendRequest("n3", "n2", term + 1, 1, 2, 2, 2, ()))
    follower.drain()
    bench.sent.clear()
    follower.sync()
    follower.drain()
    assert all(message.term == term + 1 for message in bench.of(AppendResponse))
    assert leader.role == RoleName.LEADER


def test_followers_hear_of_commits_without_more_proposals() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    index = bench.propose(leader, b"x")
    bench.advance(20)
    assert bench["n2"].raft.commit_index == bench["n3"].raft.commit_index == index
