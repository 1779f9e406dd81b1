"""Rights that depend on what a change would overwrite: catalog, transactions, configuration entries."""

from __future__ import annotations

import pytest

from lictor.acl.defaults import DENY
from lictor.acl.enforce import RuleAuthorizer
from lictor.acl.merge import merge
from lictor.acl.rules import parse
from lictor.state import commands as c
from lictor.state import rights
from lictor.state.rows import Check, ConfigEntry, Node
from lictor.state.writer import Refused
from tests.state.builders import Machine, check, service

DENIED = "Permission denied"
PROXY = {"kind": "connect-proxy", "proxy": {"DestinationServiceName": "web"}}


def token(*writable: str, node: str = "", **levels: str) -> RuleAuthorizer:
    """Write to services of these names, to the node, and more by kind: `key="a/"` lets write under a prefix."""
    rules = [f'service "{name}" {{ policy = "write" }}' for name in writable]
    rules += [f'node "{node}" {{ policy = "write" }}'] if node else []
    rules += [f'{kind}_prefix "{prefix}" {{ policy = "write" }}' for kind, prefix in levels.items()]
    return RuleAuthorizer(merge([parse("\n".join(rules), 2)]), DENY)


@pytest.fixture
def machine() -> Machine:
    """n1 with the services web (w1) and db, web's check `up` and the node's check `disk`."""
    machine = Machine()
    machine.register(service=service("web", "w1"))
    machine.register("n1", service("db"), check("up", service_id="w1"), check("disk"))
    return machine


def register(
    name: str = "", service_id: str = "", *checks: Check, node: str = "n1", address: str = "10.0.0.1", **more: object
) -> c.Register:
    wanted = service(name, service_id, **more) if name else None
    return c.Register(Node("", node, address, "dc1"), wanted, list(checks))


def refusal(machine: Machine, authorizer: RuleAuthorizer, command: c.Register | c.Deregister) -> str:
    """Why the token may not make the change; empty when it may."""
    try:
        if isinstance(command, c.Register):
            rights.require_register(machine.txn, authorizer, command)
        else:
            rights.require_deregister(machine.txn, authorizer, command)
    except Refused as refused:
        return refused.text
    return ""


@pytest.mark.parametrize(
    ("command", "enough", "lacking"),
    [
        (register(node="n2"), token(node="n2"), token("web", node="n1")),
        (register(address="10.0.0.2"), token(node="n1"), token("web")),
        (register("web", "w1"), token("web"), token("db", node="n1")),
        (register("web", "w1", address="10.0.0.2"), token("web", node="n1"), token("web")),
        (register("api", "w1"), token("api", "web"), token("api")),
        (register("px", "", **PROXY), token("px", "web"), token("px")),
        (register("", "", check("load")), token(node="n1"), token("web")),
        (register("", "", check("port", service_id="w1")), token("web"), token("db")),
        (register("web", "w9", check("port", service_id="w9")), token("web"), token("db")),
        (register("api", "", check("port", service_id="db")), token("api", "db"), token("api")),
    ],
)
def test_a_registration_needs_what_it_makes_and_what_it_overwrites(
    machine: Machine, command: c.Register, enough: RuleAuthorizer, lacking: RuleAuthorizer
) -> None:
    assert refusal(machine, enough, command) == ""
    assert refusal(machine, lacking, command) == DENIED


def test_a_registration_that_leaves_the_node_alone_does_not_need_it(machine: Machine) -> None:
    other_case = register("web", "w1", node="N1")
    assert refusal(machine, token("web"), other_case) == DENIED
    skipping = c.Register(Node("", "n1", "", "dc1", meta={"a": "b"}), service("web", "w1"), [], True)
    assert refusal(machine, token("web"), skipping) == ""


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        ([check("up", node="n2")], "Node 'n2' for check 'up' doesn't match register request node 'n1'"),
        ([check("up", service_id="none")], "Unknown service 'none' for check 'up'"),
    ],
)
def test_under_access_control_a_check_of_something_else_is_an_error_for_all(
    machine: Machine, checks: list[Check], text: str
) -> None:
    everything = token(node="n1", service="", key="")
    assert refusal(machine, everything, register("", "", *checks)) == text


@pytest.mark.parametrize(
    ("command", "enough", "lacking", "text"),
    [
        (c.Deregister("n1"), token(node="n1"), token("web", "db"), DENIED),
        (c.Deregister("n1", "w1"), token("web"), token("db"), DENIED),
        (c.Deregister("n1", "w1", "disk"), token("web"), token("db"), DENIED),
        (c.Deregister("n1", "none"), token(node="n1"), token("web"), "Unknown service 'none'"),
        (c.Deregister("n1", "", "up"), token("web"), token("db"), DENIED),
        (c.Deregister("n1", "", "disk"), token(node="n1"), token("web"), DENIED),
        (c.Deregister("n1", "", "none"), token(node="n1"), token("web"), "Unknown check 'none'"),
    ],
)
def test_who_may_write_the_node_may_remove_all_of_it_others_their_services(
    machine: Machine, command: c.Deregister, enough: RuleAuthorizer, lacking: RuleAuthorizer, text: str
) -> None:
    assert refusal(machine, enough, command) == ""
    assert refusal(machine, lacking, command) == text


def test_operations_of_a_transaction_are_refused_one_by_one() -> None:
    authorizer = token("web", node="n1", key="a/")
    allowed: list[c.TxnOp] = [
        c.TxnKV("set", b"a/b"),
        c.TxnKV("delete-tree", b"a/"),
        c.TxnKV("get", b"z"),
        c.TxnKV("get-tree", b""),
        c.TxnKV("check-index", b"a/b"),
        c.TxnNode("set", Node("", "n1", "", "dc1")),
        c.TxnNode("get", Node("", "n2", "", "dc1")),
        c.TxnService("set", "n2", service("web")),
        c.TxnService("get", "n2", service("db")),
        c.TxnCheck("set", check("disk")),
        c.TxnCheck("get", check("disk", node="n2")),
    ]
    denied: list[c.TxnOp] = [
        c.TxnKV("set", b"b"),
        c.TxnKV("delete-tree", b""),
        c.TxnKV("check-session", b"z"),
        c.TxnKV("check-not-exists", b"z"),
        c.TxnNode("delete", Node("", "n2", "", "dc1")),
        c.TxnService("set", "n1", service("db")),
        c.TxnCheck("set", check("disk", node="n2")),
        # The service's right is asked by the name that the check states, and it states none.
        c.TxnCheck("set", check("up", service_id="w1")),
    ]
    errors = rights.denied_operations([*allowed, *denied], authorizer)
    assert [error.op_index for error in errors] == [len(allowed) + number for number in range(len(denied))]
    assert {error.what for error in errors} == {DENIED}


@pytest.mark.parametrize(
    ("entry", "related"),
    [
        (ConfigEntry("service-defaults", "web", {}), []),
        (ConfigEntry("service-router", "web", {"Routes": [{"Destination": {"Service": "db"}}, {}]}), ["db"]),
        (ConfigEntry("service-splitter", "web", {"Splits": [{"Weight": 50}, {"Service": "db"}]}), ["db"]),
        (ConfigEntry("service-resolver", "web", {"Redirect": {"Service": "db"}}), ["db"]),
        (ConfigEntry("service-resolver", "web", {"Failover": {"*": {"Service": "db"}, "v": {}}}), ["db"]),
    ],
)
def test_an_entry_needs_its_service_and_sight_of_those_it_leads_to(entry: ConfigEntry, related: list[str]) -> None:
    readers = [f'service "{name}" {{ policy = "read" }}' for name in related]
    writer = 'service "web" { policy = "write" }'
    enough = RuleAuthorizer(merge([parse("\n".join([writer, *readers]), 2)]), DENY)
    assert rights.may_write_entry(enough, entry)
    assert not rights.may_write_entry(token("db"), entry)
    assert rights.may_write_entry(token("web"), entry) is not bool(related)


def test_defaults_of_all_proxies_are_the_operators() -> None:
    entry = ConfigEntry("proxy-defaults", "global", {})
    operator = RuleAuthorizer(merge([parse('operator = "write"', 2)]), DENY)
    assert rights.may_write_entry(operator, entry)
    assert not rights.may_write_entry(token("global", service=""), entry)
