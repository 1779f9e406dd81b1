"""Membership changes and leadership transfer (Raft dissertation 3.10, 4)."""

import pytest

from raftd.core.api import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    ConfigurationChangeError,
    CorruptConfigurationError,
    NotLeaderError,
    RoleName,
    Server,
    TransferInProgressError,
    TransferTargetError,
)
from raftd.core.membership import change_configuration
from tests.raftd.core.bench import TIMEOUT_NS, Bench, Node


def change(bench: Bench, leader: Node, kind: ChangeKind, name: str) -> None:
    leader.raft.propose_configuration_change(bench.now_ns, ConfigurationChange(kind, name, f"{name}:8300"))
    bench.advance(500)


def test_a_new_server_learns_first_and_votes_when_promoted() -> None:
    """4.2.1"""
    bench = Bench(1, spares=1)
    bench.advance(20)
    leader = bench["n1"]
    bench.propose(leader, b"a", b"b")
    change(bench, leader, ChangeKind.ADD_NONVOTER, "n2")
    assert bench["n2"].commands() == [b"a", b"b"]
    assert leader.raft.configuration.voters == ("n1",)
    bench.cut = {"n2"}
    index = bench.propose(leader, b"c")
    assert leader.raft.commit_index == index, "its acknowledgement is not needed"
    bench.cut = set()
    change(bench, leader, ChangeKind.ADD_VOTER, "n2")
    assert bench["n2"].raft.configuration.voters == ("n1", "n2")
    bench.cut = {"n2"}
    index = bench.propose(leader, b"d")
    assert leader.raft.commit_index < index, "now it is"


def test_one_change_at_a_time() -> None:
    """4.1"""
    bench = Bench(3, spares=2)
    leader = bench.elect("n1")
    bench.cut = {"n2", "n3"}
    leader.raft.propose_configuration_change(bench.now_ns, ConfigurationChange(ChangeKind.ADD_VOTER, "n4", "n4:8300"))
    with pytest.raises(ConfigurationChangeError, match="uncommitted"):
        leader.raft.propose_configuration_change(
            bench.now_ns, ConfigurationChange(ChangeKind.ADD_VOTER, "n5", "n5:8300")
        )


def test_no_change_before_an_entry_of_the_leaders_term_is_committed() -> None:
    bench = Bench(3, spares=1)
    bench.elect("n1")
    bench.cut = {"n1"}
    bench.advance(TIMEOUT_NS // 1_000_000, ["n2"])
    bench.blocks = lambda message: message.target == "n2" and getattr(message, "match_index", 0) > 2
    leader = bench.elect("n2")
    with pytest.raises(ConfigurationChangeError, match="first entry"):
        leader.raft.propose_configuration_change(
            bench.now_ns, ConfigurationChange(ChangeKind.ADD_VOTER, "n4", "n4:8300")
        )


def test_a_stale_change_is_refused() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    with pytest.raises(ConfigurationChangeError, match="changed since"):
        leader.raft.propose_configuration_change(bench.now_ns, ConfigurationChange(ChangeKind.REMOVE, "n3"), 99)


def test_a_removed_server_is_told_and_then_left_alone() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    change(bench, leader, ChangeKind.REMOVE, "n3")
    assert bench["n3"].raft.configuration.ids == ("n1", "n2")
    assert [peer.id for peer in leader.raft.peers()] == ["n2"]
    term = leader.raft.soft_state.term
    bench.advance(10_000)
    assert (leader.role, leader.raft.soft_state.term) == (RoleName.LEADER, term)


def test_a_leader_that_removes_itself_hands_over() -> None:
    """4.2.2"""
    bench = Bench(3)
    leader = bench.elect("n1")
    change(bench, leader, ChangeKind.REMOVE, "n1")
    assert leader.role == RoleName.FOLLOWER
    leaders = [name for name, node in bench.nodes.items() if node.role == RoleName.LEADER]
    assert len(leaders) == 1 and leaders != ["n1"]


def test_a_server_losing_its_vote_still_campaigns_when_its_log_is_needed() -> None:
    """4.2.2: n1 has the only copy of the configuration in which n2 alone votes."""
    bench = Bench(2)
    leader = bench.elect("n1")
    bench.cut = {"n1"}
    leader.raft.propose_configuration_change(bench.now_ns, ConfigurationChange(ChangeKind.DEMOTE, "n1"))
    bench.advance(2 * TIMEOUT_NS // 1_000_000)
    bench.cut = set()
    bench.advance(20_000)
    assert bench["n2"].role == RoleName.LEADER
    assert bench["n2"].raft.configuration.voters == ("n2",)


def test_it_does_so_after_a_restart_too_when_it_knows_of_no_commitment() -> None:
    """4.2.2"""
    bench = Bench(2)
    leader = bench.elect("n1")
    bench.cut = {"n1"}
    leader.raft.propose_configuration_change(bench.now_ns, ConfigurationChange(ChangeKind.DEMOTE, "n1"))
    bench.settle()
    for name in bench.nodes:
        bench.restart(name)
    assert bench["n1"].raft.commit_index < bench["n1"].raft.last_index
    bench.cut = set()
    bench.advance(20_000)
    assert bench["n2"].role == RoleName.LEADER
    assert bench["n2"].raft.configuration.voters == ("n2",)


def test_leadership_is_transferred_without_waiting_for_a_timeout() -> None:
    """3.10"""
    bench = Bench(3)
    leader = bench.elect("n1")
    leader.raft.propose(bench.now_ns, [b"x"])
    assert leader.raft.transfer_leadership(bench.now_ns, "n3") == "n3"
    with pytest.raises(TransferInProgressError):
        leader.raft.propose(bench.now_ns, [b"y"])
    bench.settle()
    assert bench["n3"].role == RoleName.LEADER
    assert bench["n3"].commands() == [b"x"]


def test_a_transfer_that_fails_is_given_up() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.cut = {"n3"}
    leader.raft.transfer_leadership(bench.now_ns, "n3")
    bench.advance(TIMEOUT_NS // 1_000_000 + 10)
    bench.propose(leader, b"x")
    assert leader.commands() == [b"x"]


@pytest.mark.parametrize("target", ["n1", "n4", "nobody"])
def test_only_another_voter_can_take_over(target: str) -> None:
    bench = Bench(3, spares=1)
    leader = bench.elect("n1")
    change(bench, leader, ChangeKind.ADD_NONVOTER, "n4")
    with pytest.raises(TransferTargetError):
        leader.raft.transfer_leadership(bench.now_ns, target)
    with pytest.raises(NotLeaderError):
        bench["n2"].raft.transfer_leadership(bench.now_ns, "n3")


ONE = Configuration((Server("a", "1"),))
TWO = Configuration((Server("a", "1"), Server("b", "2", voter=False)))


@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [
        (ONE, ConfigurationChange(ChangeKind.ADD_NONVOTER, "b", "2"), TWO),
        (TWO, ConfigurationChange(ChangeKind.REMOVE, "b"), ONE),
        (TWO, ConfigurationChange(ChangeKind.ADD_VOTER, "b"), Configuration((Server("a", "1"), Server("b", "2")))),
        (ONE, ConfigurationChange(ChangeKind.ADD_NONVOTER, "a", "9"), Configuration((Server("a", "9"),))),
        (ONE, ConfigurationChange(ChangeKind.REMOVE, "a"), "without a voter"),
        (ONE, ConfigurationChange(ChangeKind.DEMOTE, "a"), "without a voter"),
        (ONE, ConfigurationChange(ChangeKind.REMOVE, "z"), "not a member"),
        (ONE, ConfigurationChange(ChangeKind.ADD_VOTER, "b", "1"), "belongs to server a"),
        (ONE, ConfigurationChange(ChangeKind.ADD_VOTER, "b"), "needs an id and an address"),
    ],
)
def test_single_changes(before: Configuration, asked: ConfigurationChange, after: Configuration | str) -> None:
    if isinstance(after, str):
        with pytest.raises(ConfigurationChangeError, match=after):
            change_configuration(before, asked)
    else:
        assert change_configuration(before, asked) == after


def test_configurations_survive_encoding() -> None:
    assert Configuration.decode(TWO.encode()) == TWO
    for bad in (b"", b"{}", b'{"servers":[{"id":"a"}]}', TWO.encode()[:-3]):
        with pytest.raises(CorruptConfigurationError):
            Configuration.decode(bad)
