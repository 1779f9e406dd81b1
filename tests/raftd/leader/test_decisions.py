"""Tables of what the leader decides."""

import msgspec
import pytest

from lictor.state.commands import Deregister, Register
from lictor.state.rows import AutopilotConfig, Check, Coordinate, Node, Service
from raftd.core.configuration import ChangeKind, Configuration, ConfigurationChange, Server
from raftd.leader import autopilot, bootstrap, coordinates, critical_services, reconcile, servers
from raftd.leader.members import LanMember, ServerTags, Status
from raftd.leader.session_timers import ATTEMPTS_MAX, SessionTimers
from raftd.leader.tombstones import TTL_NS, TombstoneBins

SECOND = 1_000_000_000


def member(number: int, status: Status = Status.ALIVE, *, server: bool = True, **tags: object) -> LanMember:
    fields: dict[str, object] = {
        "id": f"id{number}",
        "address": f"10.0.0.{number}:8300",
        "port": 8300,
        "version": "1.7.2",
        "raft_version": "3",
        "bootstrap": False,
        "expect": 3,
        "nonvoter": False,
    }
    return LanMember(
        name=f"n{number}",
        address=f"10.0.0.{number}",
        status=status,
        id=f"id{number}",
        datacenter="dc1",
        role="consul" if server else "node",
        server=ServerTags(**(fields | tags)) if server else None,  # type: ignore[arg-type]
        protocol=(1, 5, 2),
    )


def configuration(*voters: int, nonvoters: tuple[int, ...] = ()) -> Configuration:
    rows = [Server(f"id{n}", f"10.0.0.{n}:8300") for n in voters]
    return Configuration((*rows, *(Server(f"id{n}", f"10.0.0.{n}:8300", False) for n in nonvoters)))


# ------------------------------------------------------------------------------------------------- bootstrap-expect


@pytest.mark.parametrize(
    ("members", "step"),
    [
        ([member(1), member(2)], bootstrap.Step.WAIT),
        ([member(1), member(2), member(3)], bootstrap.Step.ASK_PEERS),
        ([member(1), member(2), member(3, Status.FAILED)], bootstrap.Step.WAIT),
        ([member(1), member(2), member(3, nonvoter=True)], bootstrap.Step.WAIT),
        ([member(1), member(2), member(3, expect=5)], bootstrap.Step.ABORT),
        ([member(1), member(2), member(3, bootstrap=True)], bootstrap.Step.ABORT),
        ([member(1), member(2), member(3, server=False)], bootstrap.Step.WAIT),
        ([member(2), member(3), member(4)], bootstrap.Step.WAIT),
        ([member(1), member(0), member(3)], bootstrap.Step.FOLLOW),
    ],
)
def test_a_cluster_begins_when_all_expected_voters_agree(members: list[LanMember], step: bootstrap.Step) -> None:
    assert bootstrap.decide(members, "dc1", "id1", 3).step is step


def test_members_of_another_datacenter_do_not_count() -> None:
    assert bootstrap.decide([member(1), member(2), member(3)], "dc2", "id1", 3).step is bootstrap.Step.WAIT


def test_the_first_configuration_lists_voters_and_others() -> None:
    decision = bootstrap.decide([member(1), member(2), member(3), member(4, nonvoter=True)], "dc1", "id1", 3)
    assert decision.configuration == configuration(1, 2, 3, nonvoters=(4,))


# ------------------------------------------------------------------------------------------------- reconcile


def registered(status: str = "passing", address: str = "10.0.0.1", version: str = "1.7.2") -> reconcile.Registered:
    wanted = reconcile.consul_service(member(1, version=version))
    return reconcile.Registered(
        Node("id1", "n1", address, "dc1", {"lan": "x"}, {"a": "b"}),
        Check("n1", "serfHealth", "Serf Health Status", status),
        wanted,
    )


NOBODY = reconcile.Registered(None, None, None)


@pytest.mark.parametrize(
    ("status", "present", "kind"),
    [
        (Status.ALIVE, NOBODY, Register),
        (Status.ALIVE, registered(), None),
        (Status.ALIVE, registered("critical"), Register),
        (Status.ALIVE, registered(address="10.9.9.9"), Register),
        (Status.ALIVE, registered(version="1.6.0"), Register),
        (Status.LEAVING, registered(), None),
        (Status.FAILED, registered(), Register),
        (Status.FAILED, registered("critical"), None),
        (Status.FAILED, NOBODY, None),
        (Status.LEFT, registered(), Deregister),
        (Status.LEFT, NOBODY, None),
    ],
)
def test_a_member_is_registered_as_its_state_asks(
    status: Status, present: reconcile.Registered, kind: type | None
) -> None:
    step = reconcile.reconcile(member(1, status), present, "dc1", "local")
    assert (type(step.command) if step.command is not None else None) is kind


def test_an_alive_server_keeps_what_the_node_said_of_itself() -> None:
    command = reconcile.reconcile(member(1), registered("critical"), "dc1", "local").command
    assert isinstance(command, Register)
    assert (command.node.meta, command.node.tagged_addresses) == ({"a": "b"}, {"lan": "x"})
    assert isinstance(command.service, Service)
    assert command.service.meta == {
        "raft_version": "3",
        "serf_protocol_current": "2",
        "serf_protocol_max": "5",
        "serf_protocol_min": "1",
        "version": "1.7.2",
    }


def test_a_failed_member_keeps_its_node_as_it_is() -> None:
    command = reconcile.reconcile(member(1, Status.FAILED), registered(), "dc1", "local").command
    assert isinstance(command, Register)
    assert command.skip_node_update and command.service is None
    assert command.checks[0].status == "critical"


def test_a_member_made_anew_under_its_name_takes_the_place_of_the_old_node() -> None:
    present = registered()
    assert present.node is not None
    old = reconcile.Registered(msgspec.structs.replace(present.node, id="another"), present.check, present.service)
    step = reconcile.reconcile(member(1), old, "dc1", "local")
    assert isinstance(step.command, Deregister) and step.command.node == "n1" and step.again
    external = reconcile.Registered(old.node, None, None)
    assert isinstance(reconcile.reconcile(member(1), external, "dc1", "local").command, Register)


def test_a_node_of_an_archive_is_not_replaced_by_the_member_of_its_name() -> None:
    present = registered()
    assert present.node is not None
    node = msgspec.structs.replace(present.node, id="another")
    restored = reconcile.Registered(node, present.check, present.service, restored=True)
    assert reconcile.reconcile(member(1), restored, "dc1", "local") is reconcile.NOTHING
    elsewhere = reconcile.Registered(
        msgspec.structs.replace(node, address="10.9.9.9"), present.check, present.service, restored=True
    )
    assert isinstance(reconcile.reconcile(member(1), elsewhere, "dc1", "local").command, Register)


def test_the_leader_never_deregisters_itself_nor_nodes_that_were_no_members() -> None:
    assert reconcile.gone("n1", registered(), "n1", "left") is reconcile.NOTHING
    external = reconcile.Registered(registered().node, None, None)
    assert reconcile.gone("n1", external, "local", "reaped") is reconcile.NOTHING
    assert reconcile.strangers(["n1", "N2", "n3", "me"], ["n1", "n2"], "me") == ["n3"]


# ------------------------------------------------------------------------------------------------- servers


@pytest.mark.parametrize(
    ("one", "present", "change"),
    [
        (member(3), configuration(1, 2), ConfigurationChange(ChangeKind.ADD_NONVOTER, "id3", "10.0.0.3:8300")),
        (member(2), configuration(1, 2), None),
        (
            member(2, address="10.0.0.9:8300"),
            configuration(1, 2),
            ConfigurationChange(ChangeKind.ADD_NONVOTER, "id2", "10.0.0.9:8300"),
        ),
        (member(3, address="10.0.0.2:8300"), configuration(1, 2), ConfigurationChange(ChangeKind.REMOVE, "id2")),
        (member(2, Status.LEFT), configuration(1, 2), ConfigurationChange(ChangeKind.REMOVE, "id2")),
        (member(3, Status.LEFT), configuration(1, 2), None),
        (member(2, Status.FAILED), configuration(1, 2), None),
        (member(3, server=False), configuration(1, 2), None),
    ],
)
def test_a_server_changes_the_configuration_one_step_at_a_time(
    one: LanMember, present: Configuration, change: ConfigurationChange | None
) -> None:
    assert servers.change_for(one, present) == change


def test_two_servers_in_bootstrap_mode_are_kept_apart() -> None:
    assert not servers.bootstrap_conflict([member(1, bootstrap=True), member(2)], "dc1")
    assert "n1, n2" in servers.bootstrap_conflict([member(1, bootstrap=True), member(2, bootstrap=True)], "dc1")


# ------------------------------------------------------------------------------------------------- autopilot


def facts(number: int, **changed: object) -> autopilot.Facts:
    fields: dict[str, object] = {
        "id": f"id{number}",
        "name": f"n{number}",
        "address": f"10.0.0.{number}:8300",
        "status": Status.ALIVE,
        "version": "1.7.2",
        "leader": number == 1,
        "voter": True,
        "nonvoter_wanted": False,
        "last_contact_ns": 0,
        "last_term": 2,
        "last_index": 1000,
    }
    return autopilot.Facts(**(fields | changed))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "healthy"),
    [
        ({}, True),
        ({"status": Status.FAILED}, False),
        ({"status": None}, False),
        ({"last_contact_ns": 200_000_000}, True),
        ({"last_contact_ns": 200_000_001}, False),
        ({"last_term": 1}, False),
        ({"last_index": 750}, True),
        ({"last_index": 749}, False),
    ],
)
def test_health_follows_contact_term_and_lag(changed: dict[str, object], healthy: bool) -> None:
    assert autopilot.judge(facts(2, **changed), AutopilotConfig(), 2, 1000, 0) is healthy


def test_a_server_is_promoted_after_being_healthy_long_enough() -> None:
    table = autopilot.HealthTable()
    rows = [facts(1), facts(2, voter=False), facts(3, voter=False, nonvoter_wanted=True)]
    table.update(rows, AutopilotConfig(), 2, 0, 0)
    assert table.promotable(10 * SECOND, 9 * SECOND) == []
    assert table.promotable(10 * SECOND, 10 * SECOND) == ["id2"]
    table.update([facts(1), facts(2, voter=False, status=Status.FAILED)], AutopilotConfig(), 2, 11 * SECOND, 0)
    table.update(rows, AutopilotConfig(), 2, 12 * SECOND, 0)
    assert table.promotable(10 * SECOND, 21 * SECOND) == []


def test_failure_tolerance_counts_healthy_voters() -> None:
    table = autopilot.HealthTable()
    for failed, tolerance in ((0, 2), (1, 1), (2, 0), (3, 0)):
        rows = [facts(n, status=Status.FAILED if n > 5 - failed else Status.ALIVE) for n in range(1, 6)]
        table.update(rows, AutopilotConfig(), 2, 0, 0)
        assert table.failure_tolerance == tolerance
        assert table.healthy is (failed == 0)


@pytest.mark.parametrize(
    ("voters", "failed", "min_quorum", "removed"),
    [
        ((1, 2, 3), (3,), 0, ("n3",)),
        ((1, 2, 3), (2, 3), 0, ()),
        ((1, 2, 3), (3,), 3, ()),
        ((1, 2), (2,), 0, ()),
        ((1, 2, 3, 4, 5), (4, 5), 0, ("n4", "n5")),
        ((1, 2, 3, 4, 5), (3, 4, 5), 0, ()),
    ],
)
def test_dead_servers_are_removed_only_while_a_majority_lives(
    voters: tuple[int, ...], failed: tuple[int, ...], min_quorum: int, removed: tuple[str, ...]
) -> None:
    pool = {f"n{n}": member(n, Status.FAILED if n in failed else Status.ALIVE) for n in voters}
    assert autopilot.dead_servers(pool, configuration(*voters), "id1", min_quorum).failed_names == removed


def test_dead_servers_without_a_vote_always_go() -> None:
    pool = {"n1": member(1), "n2": member(2, Status.FAILED)}
    cleanup = autopilot.dead_servers(pool, configuration(1, nonvoters=(2, 3)), "id1", 0)
    assert (cleanup.failed_names, cleanup.stale_ids) == (("n2",), ("id3",))


# ------------------------------------------------------------------------------------------------- timers and buffers


def test_a_session_ends_after_twice_its_ttl_unless_renewed() -> None:
    timers = SessionTimers()
    timers.reset("a", 10 * SECOND, 0)
    timers.reset("b", 10 * SECOND, 0)
    timers.reset("none", 0, 0)
    timers.reset("b", 10 * SECOND, 15 * SECOND)
    assert timers.due(20 * SECOND - 1) == []
    assert timers.due(20 * SECOND) == ["a"]
    timers.forget(["a"])
    assert timers.due(35 * SECOND) == ["b"]


def test_a_destroy_that_fails_is_repeated_and_given_up() -> None:
    timers = SessionTimers()
    timers.reset("a", 10 * SECOND, 0)
    tries = [now for now in range(2000) if timers.due(now * SECOND)]
    assert tries[:4] == [20, 30, 50, 90]
    assert len(tries) == ATTEMPTS_MAX and len(timers) == 0


def test_tombstones_go_after_a_quarter_of_an_hour() -> None:
    bins = TombstoneBins()
    bins.hint(5, 0)
    bins.hint(9, 60 * SECOND)
    assert bins.due(TTL_NS) == 0
    assert bins.due(TTL_NS + 30 * SECOND) == 5
    assert bins.due(TTL_NS + 90 * SECOND) == 9
    assert bins.due(10 * TTL_NS) == 0


def test_coordinates_are_flushed_in_batches_latest_first_kept() -> None:
    buffer = coordinates.CoordinateBuffer(2, 2)
    for number in range(6):
        buffer.add(Coordinate(f"n{number % 5}", "", [float(number)], 0.0, 0.0, 0.0))
    batches, discarded = buffer.take()
    assert [[row.node for row in batch] for batch in batches] == [["n0", "n1"], ["n2", "n3"]]
    assert batches[0][0].vec == [5.0]
    assert discarded == 1
    assert buffer.take() == ([], 0)


def test_a_service_goes_when_its_check_was_critical_for_its_limit() -> None:
    check = Check("n", "c", "c", "critical", service_id="s", definition={critical_services.FIELD: "90s"})
    short = Check("n", "d", "d", "critical", service_id="t", definition={critical_services.FIELD: "1s"})
    unlimited = Check("n", "e", "e", "critical", service_id="u")
    services = critical_services.CriticalServices()
    assert services.due([check, short, unlimited], 0) == []
    assert services.due([check, short, unlimited], 60 * SECOND) == [critical_services.Instance("n", "t")]
    assert services.due([unlimited], 80 * SECOND) == []
    assert services.due([check], 90 * SECOND) == []
    assert services.due([check], 180 * SECOND) == [critical_services.Instance("n", "s")]
