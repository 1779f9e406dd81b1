"""Registration, cascades, and which index moves with what (Consul 1.7: what bumps what)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from msgspec.structs import replace

from lictor.state import canonical, prepare, render
from lictor.state import commands as c
from lictor.state.queries import catalog, health, internal, kv
from lictor.state.queries import session as sessions
from lictor.state.queries.read import ReadOptions
from lictor.state.rows import Check, Node
from lictor.state.writer import Refused, read_index
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


def test_what_a_node_says_of_itself_outlives_the_leader_that_has_not_seen_it_yet() -> None:
    machine = Machine()
    said = Node(IDS[0], "n1", "10.0.0.1", "dc1", {"wan": "198.51.100.1"}, {"rack": "a"})
    bare = Node(IDS[0], "n1", "10.0.0.1", "dc1")
    machine(c.Register(said))
    machine(c.Register(bare, None, [check("serfHealth")], keep_node_details=True))
    found = catalog.find_node(machine.txn, "n1")
    assert found is not None
    assert (found.tagged_addresses, found.meta) == ({"wan": "198.51.100.1"}, {"rack": "a"})
    machine(c.Register(bare))
    forgotten = catalog.find_node(machine.txn, "n1")
    assert forgotten is not None and forgotten.tagged_addresses is None


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


def test_an_instance_or_a_check_without_an_id_is_refused() -> None:
    machine = Machine()
    no_service = replace(service("x"), id="", service="")
    assert machine.register("n1", no_service) == c.Failed(
        "failed inserting service: failed inserting service: object missing primary index"
    )
    assert machine.register("n1", None, check("")) == c.Failed(
        'failed inserting check: failed inserting check: object missing primary index on node "n1"'
    )


@pytest.mark.parametrize(
    ("given", "kept"),
    [((0, 0), (1, 1)), ((0, 5), (1, 1)), ((3, -1), (1, 1)), ((65536, 1), (1, 1)), ((65535, 0), (65535, 0))],
)
def test_weights_that_cannot_be_right_count_as_not_given(given: tuple[int, int], kept: tuple[int, int]) -> None:
    machine = Machine()
    machine.register("n1", service("web", weights=given))
    (found,) = catalog.service(machine.txn, "web").value
    assert found.service.weights == kept


def test_a_node_without_services_has_no_list_of_them_unless_they_are_filtered() -> None:
    machine = Machine()
    machine.register("n1")
    plain = catalog.node_services(machine.txn, "n1").value
    filtered = catalog.node_services(machine.txn, "n1", ReadOptions(filter=lambda row: True)).value
    assert render.node_service_list(plain).endswith(b',"Services":null}')
    assert render.node_service_list(filtered).endswith(b',"Services":[]}')
    assert render.node_services(plain).endswith(b',"Services":{}}')


def test_a_summary_names_a_node_for_each_instance_and_tags_as_they_come() -> None:
    machine = Machine()
    machine.register("n1", service("web", "2", tags=["b"]))
    machine.register("n1", service("web", "1", tags=["z", "a"]))
    machine.register("n1", service("db"))
    bare, summary = (json.loads(render.service_summaries([row])) for row in internal.services(machine.txn).value)
    assert bare[0]["Tags"] is None
    assert (summary[0]["Nodes"], summary[0]["Tags"]) == (["n1", "n1"], ["z", "a", "b"])


@pytest.mark.parametrize(
    ("node_id", "problem"),
    [
        ("x", "uuid string is wrong length"),
        ("40e4a748.2192-161a-0510-9bf59fe950b5", "uuid is improperly formatted"),
        ("40e4a748-2192-161a-0510-9bf59fe950bg", "encoding/hex: invalid byte: U+0067 'g'"),
    ],
)
def test_a_node_id_that_is_none_is_refused(node_id: str, problem: str) -> None:
    with pytest.raises(Refused, match=re.escape(f"Bad node ID: {problem}")):
        prepare.register(c.Register(Node(node_id, "n1", "10.0.0.1", "dc1"), None, []))


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "[::]"])
def test_an_instance_has_no_address_that_means_any(address: str) -> None:
    with pytest.raises(Refused, match="Invalid service address"):
        prepare.service(service("web", address=address))


@pytest.mark.parametrize(
    ("proxy", "problem"),
    [
        ({"Expose": {"Paths": [{"Path": "/x"}]}}, "expose.paths: invalid listener port: 0"),
        ({"Expose": {"Paths": [{"ListenerPort": 1}]}}, "expose.paths: empty path exposed"),
        (
            {"Expose": {"Paths": [{"Path": "/x", "ListenerPort": 1}, {"Path": "/y", "ListenerPort": 1}]}},
            "expose.paths: duplicate listener ports exposed",
        ),
        (
            {"Upstreams": [{"DestinationName": "u", "LocalBindPort": port} for port in (1, 2)]},
            'upstreams cannot contain duplicates of [type="", name="u", namespace="", datacenter=""]',
        ),
    ],
)
def test_what_a_proxy_exposes_and_reaches_is_checked(proxy: dict[str, Any], problem: str) -> None:
    row = service("p", kind="connect-proxy", port=1, proxy=canonical.proxy({"DestinationServiceName": "web", **proxy}))
    with pytest.raises(Refused, match=re.escape(problem)):
        prepare.service(row)


def test_tags_do_not_narrow_what_takes_connect_traffic() -> None:
    machine = Machine()
    proxy = service("p", kind="connect-proxy", port=1, proxy=canonical.proxy({"DestinationServiceName": "web"}))
    machine.register("n1", proxy)
    assert len(catalog.service(machine.txn, "web", ["none"], connect=True).value) == 1
    assert len(health.service(machine.txn, "web", ["none"], connect=True).value) == 1
    assert catalog.service(machine.txn, "p", ["none"]).value == []


def test_checks_are_found_by_the_exact_state_and_those_of_a_node_whatever_its_meta() -> None:
    machine = Machine()
    machine.register("n1", None, check("c1"))
    assert len(health.state(machine.txn, "passing").value) == 1
    assert health.state(machine.txn, "Passing").value == []
    assert len(health.node_checks(machine.txn, "n1", ReadOptions(node_meta={"zone": "a"})).value) == 1
    assert health.state(machine.txn, "any", ReadOptions(node_meta={"zone": "a"})).value == []


def test_the_id_of_a_name_taken_over_by_a_renamed_node_is_free_again() -> None:
    machine = Machine()
    machine.register("old", node_id=IDS[0])
    machine.register("taken", node_id=IDS[1], address="10.0.0.2")
    machine.register("taken", node_id=IDS[0])
    machine.register("other", node_id=IDS[1])
    assert [node.node for node in catalog.nodes(machine.txn).value] == ["other", "taken"]


def test_of_the_passing_instances_the_last_takes_the_place_of_one_that_goes() -> None:
    machine = Machine()
    for node, status in (("n1", "critical"), ("n2", "passing"), ("n3", "passing"), ("n4", "warning")):
        machine.register(node, service("web"), check("c", status, service_id="web", node=node))
    found = health.service(machine.txn, "web", passing=True).value
    assert [item.node.node for item in found] == ["n3", "n2"]


def test_names_that_differ_in_case_share_an_index() -> None:
    machine = Machine()
    machine.register("n1", service("web", "1"))
    machine.register("n2", service("Web", "2"))
    machine.register("n3")
    for name in ("web", "Web", "WEB"):
        assert (catalog.service(machine.txn, name).index, health.service(machine.txn, name).index) == (11, 11)


def test_checks_by_node_metadata_report_the_index_of_the_checks() -> None:
    machine = Machine()
    machine.register("n1", service("web"), check("c1", service_id="web"))
    machine.register("n2")
    narrowed = ReadOptions(node_meta={"a": "1"})
    assert health.state(machine.txn, "any", narrowed).index == 10
    assert health.service_checks(machine.txn, "web", narrowed).index == 10
    assert health.service_checks(machine.txn, "none", narrowed).index == 11


def test_an_instance_keeps_the_name_its_node_had_when_it_was_registered() -> None:
    machine = Machine()
    machine.register("n1", service("web"))
    machine.register("N1", address="10.0.0.2")
    assert json.loads(render.service_nodes(catalog.service(machine.txn, "web").value))[0]["Node"] == "n1"
    (found,) = health.service(machine.txn, "web").value
    assert found.node.node == "N1"


def test_a_check_of_another_type_is_stored_without_a_new_index() -> None:
    machine = Machine()
    machine.register("n1", None, check("c1"))
    machine.register("n1", None, replace(check("c1"), type="ttl"))
    (found,) = health.node_checks(machine.txn, "n1").value
    assert (found.type, found.modify_index) == ("ttl", 10)
