"""What a node believes about others, message by message."""

import pytest

from gossipd.core.config import SECOND_NS
from gossipd.core.effects import LeaveFinished, StartPushPull, StartStreamPing, UserEventReceived
from gossipd.core.errors import EventTooLarge, MergeRefused, NoSuchMember
from gossipd.core.member import MemberStatus
from gossipd.core.messages import (
    Ack,
    Alive,
    Dead,
    IndirectPing,
    JoinIntent,
    LeaveIntent,
    Message,
    Nack,
    Ping,
    PushPull,
    Suspect,
    UserEvent,
)
from gossipd.core.node import Node, NodeState
from gossipd.core.policy import Candidate, LanPolicy, Policy, WanPolicy
from gossipd.core.snapshot import SnapshotState, Snapshotter
from tests.gossipd.core.bench import META, VERSIONS, Bench

ALIVE, SUSPECT, DEAD, LEFT = NodeState.ALIVE, NodeState.SUSPECT, NodeState.DEAD, NodeState.LEFT
OTHER = bytes((10, 0, 0, 3))


def alive(incarnation: int, address: bytes = OTHER) -> Alive:
    return Alive(incarnation, "other", address, 8301, META, VERSIONS)


# What is heard about "other" (incarnation 5 to begin with), and what is believed then.
RULES: list[tuple[str, list[Message], NodeState, int]] = [
    ("alive", [], ALIVE, 5),
    ("suspect of its incarnation", [Suspect(5, "other", "x")], SUSPECT, 5),
    ("suspect of an older incarnation", [Suspect(4, "other", "x")], ALIVE, 5),
    ("alive of the same incarnation does not clear", [Suspect(5, "other", "x"), alive(5)], SUSPECT, 5),
    ("alive of a newer one refutes", [Suspect(5, "other", "x"), alive(6)], ALIVE, 6),
    ("dead", [Dead(5, "other", "x")], DEAD, 5),
    ("dead of an older incarnation", [Dead(4, "other", "x")], ALIVE, 5),
    ("dead by its own word has left", [Dead(5, "other", "other")], LEFT, 5),
    ("dead comes back with a newer incarnation", [Dead(5, "other", "x"), alive(6)], ALIVE, 6),
    ("dead does not come back with the same", [Dead(5, "other", "x"), alive(5)], DEAD, 5),
    ("suspect of a dead one", [Dead(5, "other", "x"), Suspect(5, "other", "y")], DEAD, 5),
    ("alive elsewhere is a conflict", [alive(6, bytes((10, 0, 0, 77)))], ALIVE, 5),
    ("left may come back elsewhere", [Dead(5, "other", "other"), alive(1, bytes((10, 0, 0, 77)))], ALIVE, 1),
]


@pytest.mark.parametrize(("messages", "state", "incarnation"), [rule[1:] for rule in RULES], ids=[r[0] for r in RULES])
def test_state_rules(messages: list[Message], state: NodeState, incarnation: int) -> None:
    bench = Bench()
    bench.receive(alive(5), *messages)
    node = bench.pool.swim.nodes.get("other")
    assert node is not None
    assert (node.state, node.incarnation) == (state, incarnation)


@pytest.mark.parametrize("accusation", [Suspect(1, "me", "x"), Dead(1, "me", "x"), Suspect(9, "me", "x")])
def test_a_running_node_refutes_what_is_said_about_it(accusation: Suspect | Dead) -> None:
    bench = Bench()
    bench.join("other")
    bench.run(1)
    bench.sent()
    bench.receive(accusation)
    local = bench.pool.swim.local
    assert (local.state, local.incarnation) == (ALIVE, accusation.incarnation + 1)
    bench.run(0.5)
    news = [message for _, message in bench.sent() if isinstance(message, Alive)]
    assert news
    assert {(message.node, message.incarnation) for message in news} == {("me", accusation.incarnation + 1)}
    assert bench.pool.swim.awareness.score == 1


def test_a_name_conflict_names_both_addresses() -> None:
    bench = Bench()
    bench.receive(alive(5), alive(6, bytes((10, 0, 0, 77))))
    logged = bench.logged()
    assert "serf: Name conflict for 'other' both 10.0.0.3:8301 and 10.0.0.77:8301 are claiming" in logged
    assert any("Conflicting address for other. Mine: 10.0.0.3:8301 Theirs: 10.0.0.77:8301" in text for text in logged)


def test_an_address_is_reclaimed_from_a_node_that_is_dead_for_long() -> None:
    bench = Bench(gossip_to_the_dead_ns=3600 * SECOND_NS)
    bench.receive(alive(5), Dead(5, "other", "x"))
    bench.run(29)
    bench.receive(alive(1, bytes((10, 0, 0, 77))))
    assert bench.status("other") is MemberStatus.FAILED
    bench.run(2)
    bench.receive(alive(1, bytes((10, 0, 0, 77))))
    assert bench.status("other") is MemberStatus.ALIVE


def test_the_name_of_a_member_that_was_made_to_leave_is_free_at_once() -> None:
    bench = Bench()
    bench.receive(alive(5), Dead(5, "other", "x"))
    bench.receive(alive(1, bytes((10, 0, 0, 77))))
    assert bench.status("other") is MemberStatus.FAILED
    bench.pool.force_leave("other", False, bench.now_ns)
    bench.receive(alive(1, bytes((10, 0, 0, 77))))
    assert bench.status("other") is MemberStatus.ALIVE
    node = bench.pool.swim.nodes.get("other")
    assert node is not None
    assert node.host == "10.0.0.77"


def test_a_silent_node_is_probed_in_every_way_then_suspected_then_dead() -> None:
    bench = Bench()
    bench.join("a", "b", "c", "d")
    target = bench.next_ping().node
    bench.run(0.51)
    asked = {message.node for _, message in bench.sent() if isinstance(message, IndirectPing)}
    assert asked == {target}
    assert [effect.node for effect in bench.take(StartStreamPing)] == [target]
    bench.run(0.5)
    node = bench.pool.swim.nodes.get(target)
    assert node is not None
    assert node.state is SUSPECT
    assert f"memberlist: Suspect {target} has failed, no acks received" in bench.logged()
    incarnation = node.incarnation
    bench.receive(*(Suspect(incarnation, target, sender) for sender in "abcd" if sender != target))
    bench.run(4.5)
    assert ("FAILED", target) in bench.changes()


def test_an_answered_probe_has_no_consequence_and_moves_the_coordinate() -> None:
    bench = Bench()
    bench.join("a")
    ping = bench.next_ping()
    payload = bench.pool.serf.ack_payload()
    bench.receive(Ack(ping.sequence, payload))
    assert bench.pool.serf.peer_coordinates.keys() == {"a"}
    assert not bench.pool.swim.suspicions


def test_a_stream_that_works_saves_a_node_from_suspicion() -> None:
    bench = Bench()
    bench.join("a")
    bench.next_ping()
    bench.run(0.51)
    (attempt,) = bench.take(StartStreamPing)
    bench.pool.stream_ping_done(attempt.sequence, True, bench.now_ns)
    bench.run(0.5)
    assert any("Was able to connect to a but other probes failed" in text for text in bench.logged())
    node = bench.pool.swim.nodes.get("a")
    assert node is not None
    assert node.state is ALIVE


def test_missing_nacks_count_against_our_own_health() -> None:
    bench = Bench(stream_pings=False)
    bench.join("a", "b", "c", "d")
    bench.next_ping()
    bench.run(1.01)
    assert bench.pool.swim.awareness.score == 3


def test_nacks_show_that_the_target_is_the_trouble() -> None:
    bench = Bench(stream_pings=False)
    bench.join("a", "b", "c", "d")
    bench.next_ping()
    bench.run(0.51)
    requests = [message for _, message in bench.sent() if isinstance(message, IndirectPing)]
    bench.receive(*(Nack(request.sequence) for request in requests))
    bench.run(0.5)
    assert bench.pool.swim.awareness.score == 0


def test_an_indirect_ping_is_relayed_and_answered_with_ack_or_nack() -> None:
    bench = Bench()
    asker = ("10.0.0.50", 8301)
    bench.receive(IndirectPing(77, bytes((10, 0, 0, 60)), 8301, "t", True), source=asker)
    ((to, ping),) = [(to, message) for to, message in bench.sent() if isinstance(message, Ping)]
    assert (to, ping.node) == (("10.0.0.60", 8301), "t")
    bench.receive(Ack(ping.sequence, b"x"))
    assert (asker, Ack(77, b"")) in bench.sent()
    bench.receive(IndirectPing(78, bytes((10, 0, 0, 60)), 8301, "t", True), source=asker)
    bench.run(0.6)
    assert (asker, Nack(78)) in bench.sent()


def test_a_ping_for_somebody_else_is_not_answered() -> None:
    bench = Bench()
    bench.receive(Ping(1, "else"))
    assert bench.sent() == []
    bench.receive(Ping(2, ""), Ping(3, "me"))
    assert [message.sequence for _, message in bench.sent() if isinstance(message, Ack)] == [2, 3]


# Serf's statuses: what is heard, then the status.
INTENTS: list[tuple[str, list[Message], MemberStatus]] = [
    ("leave then dead is left", [LeaveIntent(5, "other", False), Dead(1, "other", "other")], MemberStatus.LEFT),
    ("dead without leave is failed", [Dead(1, "other", "other")], MemberStatus.FAILED),
    ("leave of a failed one", [Dead(1, "other", "x"), LeaveIntent(5, "other", False)], MemberStatus.LEFT),
    ("leave alone", [LeaveIntent(5, "other", False)], MemberStatus.LEAVING),
    ("a newer join cancels a leave", [LeaveIntent(5, "other", False), JoinIntent(6, "other")], MemberStatus.ALIVE),
    ("an older join does not", [LeaveIntent(5, "other", False), JoinIntent(5, "other")], MemberStatus.LEAVING),
    ("an older leave is ignored", [JoinIntent(9, "other"), LeaveIntent(5, "other", False)], MemberStatus.ALIVE),
]


@pytest.mark.parametrize(("messages", "status"), [row[1:] for row in INTENTS], ids=[row[0] for row in INTENTS])
def test_intents(messages: list[Message], status: MemberStatus) -> None:
    bench = Bench()
    bench.receive(alive(1), *messages)
    assert bench.status("other") is status


def test_a_leave_intent_waits_for_a_member_that_is_not_known_yet() -> None:
    bench = Bench()
    bench.receive(LeaveIntent(5, "other", False), alive(1))
    assert bench.status("other") is MemberStatus.LEAVING


def test_force_leave_with_prune_erases_a_failed_member() -> None:
    bench = Bench()
    bench.receive(alive(1), Dead(1, "other", "x"))
    bench.changes()
    bench.pool.force_leave("other", True, bench.now_ns)
    bench.settle()
    assert bench.changes() == [("LEAVE", "other"), ("REAP", "other")]
    assert bench.status("other") is None
    with pytest.raises(NoSuchMember, match="No node found with name 'other'"):
        bench.pool.force_leave("other", False, bench.now_ns)


def test_failed_members_are_reaped_after_72_hours_and_left_ones_after_24() -> None:
    bench = Bench(probe_interval_ns=600 * SECOND_NS, probe_timeout_ns=SECOND_NS, reconnect_interval_ns=10**15)
    bench.receive(alive(1), Dead(1, "other", "x"))
    bench.join("gone")
    bench.receive(LeaveIntent(5, "gone", False), Dead(1, "gone", "gone"))
    bench.run(24 * 3600 + 60)
    assert (bench.status("gone"), bench.status("other")) == (None, MemberStatus.FAILED)
    bench.run(48 * 3600)
    assert bench.status("other") is None


def test_failed_members_are_tried_again() -> None:
    bench = Bench()
    bench.receive(alive(1), Dead(1, "other", "x"))
    bench.take(StartPushPull)
    bench.run(31)
    assert [(effect.node, effect.join) for effect in bench.take(StartPushPull)] == [("other", True)]


def test_a_graceful_leave_says_so_and_then_goes() -> None:
    bench = Bench()
    bench.join("other")
    bench.run(1)
    bench.sent()
    bench.pool.leave(bench.now_ns)
    bench.settle()
    bench.run(15)
    messages = [message for _, message in bench.sent()]
    assert any(isinstance(message, LeaveIntent) and message.node == "me" for message in messages)
    assert any(isinstance(message, Dead) and message.node == message.sender == "me" for message in messages)
    assert len(bench.take(LeaveFinished)) == 1


def test_the_last_member_leaves_at_once() -> None:
    bench = Bench()
    bench.pool.leave(bench.now_ns)
    bench.settle()
    bench.run(0.001)
    assert len(bench.take(LeaveFinished)) == 1


def test_user_events_are_delivered_once_and_too_large_ones_refused() -> None:
    bench = Bench()
    event = UserEvent(3, "deploy", b"x", False)
    bench.receive(event, event)
    assert [effect.event for effect in bench.take(UserEventReceived)] == [event]
    with pytest.raises(EventTooLarge, match="exceeds configured limit of 512 bytes before encoding"):
        bench.pool.fire_event("n", b"x" * 512, False, bench.now_ns)
    with pytest.raises(EventTooLarge, match="exceeds configured limit of 512 bytes after encoding"):
        bench.pool.fire_event("n", b"x" * 500, False, bench.now_ns)
    assert bench.take(UserEventReceived) == []


def remote(name: str, state: NodeState = ALIVE, versions: bytes = VERSIONS) -> Node:
    return Node(name, OTHER, "10.0.0.3", 8301, META, versions, 1, state, 0)


def test_a_remote_dead_node_is_only_suspected() -> None:
    bench = Bench()
    bench.join("a", "other")
    bench.pool.merge(PushPull(False, (remote("a", DEAD),), None), bench.now_ns)
    node = bench.pool.swim.nodes.get("a")
    assert node is not None
    assert node.state is SUSPECT


def test_a_view_with_incompatible_versions_is_refused_whole() -> None:
    bench = Bench()
    strangers = (remote("fine"), remote("odd", versions=bytes((4, 5, 4, 2, 5, 4))))
    with pytest.raises(MergeRefused, match=r"protocol version \(2\) is incompatible: \[4, 5\]"):
        bench.pool.merge(PushPull(False, strangers, None), bench.now_ns)
    assert bench.status("fine") is None


SERVER = {"role": "consul", "dc": "dc1", "build": "1.7.2:abc", "id": "s1"}
LAN = LanPolicy("me", "own-id", "dc1")
POLICIES: list[tuple[str, Policy, dict[str, str], str | None]] = [
    ("a server of our datacenter", LAN, SERVER, None),
    ("a client of our datacenter", LAN, {"role": "node", "dc": "dc1"}, None),
    ("a stranger", LAN, {}, None),
    ("another datacenter", LAN, {**SERVER, "dc": "dc2"}, "Member 'x' part of wrong datacenter 'dc2'"),
    (
        "our node ID under another name",
        LAN,
        {**SERVER, "id": "own-id"},
        "Member 'x' has conflicting node ID 'own-id' with this agent's ID",
    ),
    ("another segment", LAN, {**SERVER, "segment": "s"}, "Member 'x' part of wrong segment 's' (expected '')"),
    ("a server in the WAN", WanPolicy(), SERVER, None),
    ("a client in the WAN", WanPolicy(), {"role": "node", "dc": "dc1"}, "Member 'x' is not a server"),
]


@pytest.mark.parametrize(("policy", "tags", "refusal"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES])
def test_consuls_policies(policy: Policy, tags: dict[str, str], refusal: str | None) -> None:
    assert policy.refusal([Candidate("x", tags)]) == refusal


def test_a_vetoed_member_does_not_come_in() -> None:
    bench = Bench(policy=WanPolicy())
    bench.receive(alive(1))
    assert bench.status("other") is None
    assert any("ignoring alive message for 'other': Member 'other' is not a server" in text for text in bench.logged())


def test_the_snapshot_remembers_who_was_alive_and_the_clocks() -> None:
    state = SnapshotState()
    unknown = state.replay(
        "alive: n one 10.0.0.1:8301\nalive: b [::1]:8301\nnot-alive: gone\nclock: 7\nevent-clock: 3\n"
        "coordinate: {}\n# comment\nrubbish\nclock: x",
        rejoin_after_leave=False,
    )
    assert unknown == ["rubbish", "clock: x"]
    assert state.alive == {"n one": "10.0.0.1:8301", "b": "[::1]:8301"}
    assert (state.clock, state.event_clock, state.query_clock) == (7, 3, 0)
    again = SnapshotState()
    again.replay(state.lines(), rejoin_after_leave=False)
    assert again == state


@pytest.mark.parametrize(("rejoin", "alive_count"), [(False, 0), (True, 1)])
def test_after_a_leave_the_snapshot_forgets_unless_told_to_rejoin(rejoin: bool, alive_count: int) -> None:
    state = SnapshotState()
    state.replay("alive: n 10.0.0.1:8301\nleave\n", rejoin_after_leave=rejoin)
    assert len(state.alive) == alive_count


def test_the_snapshot_is_rewritten_when_it_has_grown() -> None:
    snapshotter = Snapshotter(SnapshotState(), 0, False)
    for _ in range(3000):
        snapshotter.member_alive("n" * 50, "10.0.0.1:8301")
    text = snapshotter.maybe_compact()
    assert text is not None
    assert text.startswith("alive: " + "n" * 50)
    assert snapshotter.maybe_compact() is None
