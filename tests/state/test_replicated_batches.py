"""Commands that take records over from another datacenter: the result counts, not the order of the steps."""

from __future__ import annotations

from lictor.state import commands as c
from lictor.state import keys
from lictor.state.queries import acl, config, intention
from lictor.state.rows import ACLPolicy, ACLRole, CAProviderState, CARoot, ConfigEntry, Intention
from tests.state.builders import Machine

IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(4)]


def entry(kind: str, name: str, **body: object) -> ConfigEntry:
    return ConfigEntry(kind, name, dict(body))


def router(name: str) -> ConfigEntry:
    return entry("service-router", name, Routes=[{"Destination": {"Service": name, "Namespace": "default"}}])


def intention_row(number: int, source: str, destination: str, action: str = "allow") -> Intention:
    return Intention(IDS[number], "", "default", source, "default", destination, "consul", action, {}, 9, 1, 1)


def names(machine: Machine) -> list[tuple[str, str]]:
    return [(row.kind, row.name) for row in config.entries(machine.txn).value]


def test_entries_that_need_each_other_come_and_go_in_any_order() -> None:
    machine = Machine()
    http = entry("service-defaults", "web", Protocol="http")
    assert machine(c.ConfigReplicate([], [router("web"), http])) == c.Done()
    assert names(machine) == [("service-defaults", "web"), ("service-router", "web")]
    swapped = c.ConfigReplicate(
        [("service-defaults", "web"), ("service-router", "web")],
        [router("db"), entry("service-defaults", "db", Protocol="http")],
    )
    assert machine(swapped) == c.Done()
    assert names(machine) == [("service-defaults", "db"), ("service-router", "db")]
    assert config.entries(machine.txn).index == machine.index


def test_entries_that_would_break_a_chain_change_nothing() -> None:
    machine = Machine()
    machine(c.ConfigReplicate([], [entry("service-defaults", "web", Protocol="http"), router("web")]))
    before = machine.txn.get(keys.config_entry("service-router", "web"))
    refused = machine(c.ConfigReplicate([("service-defaults", "web")], [entry("service-defaults", "x")]))
    assert isinstance(refused, c.Failed)
    assert names(machine) == [("service-defaults", "web"), ("service-router", "web")]
    assert machine.txn.get(keys.config_entry("service-router", "web")) == before
    assert machine(c.ConfigReplicate([("service-defaults", "gone")], [])) == c.Done()


def test_intentions_exchange_their_names() -> None:
    machine = Machine()
    machine(c.IntentionReplicate([], [intention_row(0, "a", "b"), intention_row(1, "c", "d")]))
    swap = [intention_row(0, "c", "d"), intention_row(1, "a", "b", "deny")]
    assert machine(c.IntentionReplicate([IDS[2]], swap)) == c.Done()
    found = {row.id: (row.source_name, row.action) for row in intention.list_all(machine.txn).value}
    assert found == {IDS[0]: ("c", "allow"), IDS[1]: ("a", "deny")}
    twice = machine(c.IntentionSet(intention_row(2, "a", "b")))
    assert isinstance(twice, c.Failed) and twice.text.startswith("duplicate intention found")


def test_an_intention_that_is_removed_makes_room_for_another() -> None:
    machine = Machine()
    machine(c.IntentionSet(intention_row(0, "a", "b")))
    assert machine(c.IntentionReplicate([IDS[0]], [intention_row(1, "a", "b")])) == c.Done()
    assert [row.id for row in intention.list_all(machine.txn).value] == [IDS[1]]


def test_policies_and_roles_of_one_command_exchange_their_names() -> None:
    machine = Machine()
    machine(c.PolicySet([ACLPolicy(IDS[0], "x"), ACLPolicy(IDS[1], "y")]))
    assert machine(c.PolicySet([ACLPolicy(IDS[0], "y"), ACLPolicy(IDS[1], "x")])) == c.Done()
    for name, policy_id in (("x", IDS[1]), ("y", IDS[0])):
        policy = acl.policy_by_name(machine.txn, name).value
        assert policy is not None and policy.id == policy_id
    machine(c.RoleSet([ACLRole(IDS[0], "x"), ACLRole(IDS[1], "y")]))
    assert machine(c.RoleSet([ACLRole(IDS[0], "y"), ACLRole(IDS[1], "x")])) == c.Done()
    for name, role_id in (("x", IDS[1]), ("y", IDS[0])):
        role = acl.role_by_name(machine.txn, name).value
        assert role is not None and role.id == role_id


def test_a_name_is_still_taken_by_who_is_not_in_the_command() -> None:
    machine = Machine()
    machine(c.PolicySet([ACLPolicy(IDS[0], "x"), ACLPolicy(IDS[1], "y")]))
    assert machine(c.PolicySet([ACLPolicy(IDS[0], "y")])) == c.Failed('A policy with name "y" already exists')
    assert machine(c.PolicySet([ACLPolicy(IDS[0], "z"), ACLPolicy(IDS[0], "w")])) == c.Done()
    assert acl.policy_by_name(machine.txn, "z").value is None
    assert machine(c.PolicySet([ACLPolicy(IDS[2], "z")])) == c.Done()


def test_roots_and_the_key_that_goes_with_them_change_together() -> None:
    machine = Machine()
    root = CARoot("r", "R", 1, "", "c", 0, 1, "pem", None, "", "", True, None, "ec", 256)
    state = CAProviderState("s", "key", "pem", "intermediate")
    stale = c.CASetRoots(7, [root], provider_state=state)
    assert machine(stale) == c.Outcome(False)
    assert machine.txn.get(keys.ca_provider_state("s")) is None
    assert machine(c.CASetRoots(0, [root], provider_state=state)) == c.Outcome(True)
    assert machine.txn.get(keys.ca_provider_state("s")) is not None
