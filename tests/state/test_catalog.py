"""Registration, cascades, and which index moves with what (Consul 1.7: what bumps what)."""

from __future__ import annotations

import pytest

from lictor.state import commands as c
from lictor.state.queries import catalog, health, kv
from lictor.state.queries import session as sessions
from lictor.state.queries.read import ReadOptions
from lictor.state.rows import Check
from lictor.state.writer import read_index
from tests.state.builders import SESSION, Machine, check, service, session

IDS = ["40e4a748-2192-161a-0510-9bf59fe950b5", "40e4a748-2192-161a-0510-9bf59fe950b6"]


def _indexes(machine: Machine, *names: str) -> tuple[int, ...]:
    return tuple(read_index(machine.txn, name) for name in names)


def test_registering_the_same_again_changes_nothing_but_the_checks_index() -> None:
    machine = Machine()
    for _ in range(2):
        machine.register("n1", service("web"), check("c1", service_id="web"))
    assert _indexes(machine, "nodes", "services", "checks", "service.web") == (10, 10, 11, 10)
    (found,) = health.node_checks(machine.txn, "N1").value
    assert found.modify_index == 10


def test_a_node_check_moves_every_service_on_its_node() -> None:
    machine = Machine()
    machine.register("n1", service("web"))
    machine.register("n1", service("db"))
    machine.register("n2", service("cache"))
    machine.register("n1", None, check("disk", output="full"))
    assert _indexes(machine, "services", "checks", "service.web", "service.db", "service.cache") == (12, 13, 13, 13, 12)
    machine(c.Deregister("n1", check_id="disk"))
    assert _indexes(machine, "services", "checks", "service.web") == (14, 14, 14)


def test_the_last_instance_takes_its_index_with_it() -> None:
    machine = Machine()
    machine.register("n1", service("web", "1"))
    machine.register("n1", service("web", "2"))
    machine(c.Deregister("n1", service_id="1"))
    assert _indexes(machine, "service.web", "services", "checks", "service_last_extinction") == (12, 12, 12, 0)
    machine(c.Deregister("n1", service_id="2"))
    assert _indexes(machine, "service.web", "service_last_extinction") == (0, 13)
    assert catalog.service(machine.txn, "web").index == 13
    assert health.service(machine.txn, "never").index == 13


def test_a_service_renamed_under_its_id_moves_the_old_name_too() -> None:
    machine = Machine()
    machine.register("n1", service("web", "1"))
    machine.register("n1", service("api", "1"))
    assert "service:web" in machine.topics
    assert catalog.service(machine.txn, "web").value == []
    assert _indexes(machine, "service.web", "service.api", "service_last_extinction") == (0, 11, 11)


def test_a_new_name_for_a_node_id_removes_the_old_node() -> None:
    machine = Machine()
    machine.register("old", service("web"), node_id=IDS[0])
    machine.register("new", node_id=IDS[0])
    assert [node.node for node in catalog.nodes(machine.txn).value] == ["new"]
    assert catalog.services(machine.txn).value == {}


def test_a_name_is_taken_over_only_from_an_unhealthy_node() -> None:
    machine = Machine()
    machine.register("n1", None, check("serfHealth"), node_id=IDS[0])
    assert machine.register("N1", node_id=IDS[1], address="10.0.0.2") == c.Failed(
        f'failed inserting node: Error while renaming Node ID: "{IDS[1]}": '
        f"Node name N1 is reserved by node {IDS[0]} with name n1 (10.0.0.1)"
    )
    machine.register("n1", None, check("serfHealth", "critical"), node_id=IDS[0])
    assert machine.register("n1", node_id=IDS[1]) == c.Done()
    found = catalog.node_services(machine.txn, IDS[1][:34]).value
    assert found is not None and found.node.id == IDS[1], "the old ID no longer leads to the node"


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (check("c", service_id="none"), 'failed inserting check: Missing service registration on node "n1"'),
        (check("c", node="r"), 'check node "r" does not match node "n1"'),
    ],
)
def test_a_registration_is_all_or_nothing(bad: Check, problem: str) -> None:
    machine = Machine()
    assert machine.register("n1", service("web"), bad) == c.Failed(problem)
    assert machine.txn.items() == []
    assert machine.topics == set()


@pytest.mark.parametrize("end", ["critical", "deregister check", "deregister service", "deregister node", "destroy"])
def test_every_end_of_a_session_frees_its_keys(end: str) -> None:
    machine = Machine()
    machine.register("n1", service("web"), check("c1", service_id="web"))
    machine(session(checks=["c1"]))
    machine(c.KV("lock", b"l", b"held", session=SESSION))
    commands: dict[str, c.AnyCommand] = {
        "deregister check": c.Deregister("n1", check_id="c1"),
        "deregister service": c.Deregister("n1", service_id="web"),
        "deregister node": c.Deregister("n1"),
        "destroy": c.SessionDestroy(SESSION),
    }
    if end == "critical":
        machine.register("n1", None, check("c1", "critical", "web"))
    else:
        machine(commands[end])
    assert sessions.info(machine.txn, SESSION).value == []
    entry = kv.get(machine.txn, b"l").value
    assert entry is not None
    assert (entry.session, entry.value, entry.lock_index, entry.modify_index) == ("", b"held", 1, machine.index)
    assert {"kv:l", "sessions", f"session:{SESSION}", "session-node:n1"} <= machine.topics


def test_a_deleting_session_takes_its_keys_with_it() -> None:
    machine = Machine()
    machine.register()
    machine(session(behavior="delete"))
    machine(c.KV("lock", b"l", session=SESSION))
    machine(c.SessionDestroy(SESSION))
    assert kv.get(machine.txn, b"l").value is None


@pytest.mark.parametrize(
    ("checks", "problem"),
    [(["none"], "Missing check 'none' registration"), (["bad"], "Check 'bad' is in critical state")],
)
def test_a_session_needs_checks_that_are_there_and_not_critical(checks: list[str], problem: str) -> None:
    machine = Machine()
    machine.register("n1", None, check("bad", "critical"))
    assert machine(session(checks=checks)) == c.Failed(problem)
    assert Machine()(session()) == c.Failed("Missing node registration")


def test_tags_and_metadata_narrow_and_names_have_no_case() -> None:
    machine = Machine()
    machine.register("n1", service("Web", tags=["Blue", "v1"]))
    assert len(catalog.service(machine.txn, "wEB", ["blue", "V1"]).value) == 1
    assert catalog.service(machine.txn, "web", ["blue", "v2"]).value == []
    assert catalog.service(machine.txn, "web", options=ReadOptions(node_meta={"no": "key"})).value == []
    assert catalog.services(machine.txn).value == {"Web": ["Blue", "v1"]}


def test_a_name_with_odd_bytes_stays_one_name() -> None:
    machine = Machine()
    machine.register("a\0b", service("web\0x\1", "i\0d"), check("c\0", service_id="i\0d", node="a\0b"))
    machine.register("a", service("web"))
    (found,) = health.service(machine.txn, "web\0x\1").value
    assert (found.node.node, [row.check_id for row in found.checks]) == ("a\0b", ["c\0"])
    assert len(health.service(machine.txn, "web").value) == 1


def test_only_instances_whose_every_check_passes_are_passing() -> None:
    machine = Machine()
    machine.register("n1", service("web"), check("nodewide", "critical"), check("own", "passing", "web"))
    assert health.service(machine.txn, "web", passing=True).value == []
    machine.register("n1", None, check("nodewide", "passing"))
    (found,) = health.service(machine.txn, "web", passing=True).value
    assert [row.check_id for row in found.checks] == ["nodewide", "own"]
