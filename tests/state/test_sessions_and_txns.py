"""What sessions hang on, and transactions that Consul carries out in ways of its own."""

from __future__ import annotations

import msgspec

from lictor.state import commands as c
from lictor.state import render
from lictor.state.queries import session as sessions
from lictor.state.rows import Node, Session
from tests.state.builders import SESSION, Machine, check, service, session


def txn(machine: Machine, *ops: c.TxnOp) -> c.TxnResult:
    result = machine(c.Txn(list(ops)))
    assert isinstance(result, c.TxnResult)
    return result


def test_checks_given_in_the_old_way_hold_a_session_beside_the_new_ones() -> None:
    machine = Machine()
    machine.register("n1", None, check("serfHealth"), check("old"))
    row = Session(SESSION, "", "n1", 0, "release", "", ["serfHealth"], checks=["old"])
    assert machine(c.SessionCreate(row)) == c.Name(SESSION)
    (found,) = sessions.list_all(machine.txn).value
    assert msgspec.json.decode(render.sessions([found]))[0]["Checks"] == ["old"]
    machine.register("n1", None, check("old", "critical"))
    assert sessions.list_all(machine.txn).value == []


def test_a_session_of_new_checks_alone_shows_no_old_ones() -> None:
    machine = Machine()
    machine.register("n1", None, check("serfHealth"))
    machine(session(checks=["serfHealth"]))
    assert b'"Checks"' not in render.sessions(sessions.list_all(machine.txn).value)


def test_a_service_that_cannot_be_set_gives_what_was_there_and_no_error() -> None:
    machine = Machine()
    nowhere = txn(machine, c.TxnService("cas", "nowhere", service("web")))
    assert (nowhere.results, nowhere.errors) == ([], [])
    machine.register("n1", service("web"))
    wrong = msgspec.structs.replace(service("web", meta={"": "no key"}), modify_index=machine.index)
    for verb in ("set", "cas"):
        (item,) = txn(machine, c.TxnService(verb, "n1", wrong)).results
        assert isinstance(item, c.TxnServiceResult) and item.service.meta is None


def test_a_check_set_on_a_condition_gives_what_was_there_and_no_error() -> None:
    machine = Machine()
    machine.register("n1", None, check("c1", output="before"))
    wrong = msgspec.structs.replace(check("c1", service_id="none"), modify_index=machine.index)
    (item,) = txn(machine, c.TxnCheck("cas", wrong)).results
    assert isinstance(item, c.TxnCheckResult) and item.check.output == "before"
    (error,) = txn(machine, c.TxnCheck("set", wrong)).errors
    assert error.what == "Missing service registration"


def test_a_node_is_looked_up_by_its_id_before_its_name() -> None:
    machine = Machine()
    node_id = "40e4a748-2192-161a-0510-9bf59fe950b5"
    machine.register("n1", node_id=node_id)
    machine.register("n2")
    (item,) = txn(machine, c.TxnNode("get", Node(node_id, "n2", "", ""))).results
    assert isinstance(item, c.TxnNodeResult) and item.node.node == "n1"
    (error,) = txn(machine, c.TxnNode("get", Node("x", "n2", "", ""))).errors
    assert error.what.startswith("node lookup by ID failed, wrong UUID: ")
