"""Prepared queries, intentions, transactions, coordinates and access control records."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lictor.acl import ALLOW_ALL
from lictor.state import canonical, prepare, render
from lictor.state import commands as c
from lictor.state.queries import acl, catalog, coordinate, intention, prepared
from lictor.state.queries import txn as txn_queries
from lictor.state.queries.read import QueryError, ReadOptions
from lictor.state.rows import ACLPolicy, ACLToken, Coordinate, Intention, Link, PreparedQuery
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused
from tests.state.builders import OTHER_SESSION, SESSION, Machine, check, service, session


def _query(name: str, query_id: str = SESSION, **fields: Any) -> PreparedQuery:
    return PreparedQuery(
        query_id,
        name,
        fields.get("session", ""),
        "",
        canonical.prepared_query_template(fields.get("template")),
        canonical.prepared_query_service(fields.get("service", {"Service": "web"})),
        fields.get("ttl", ""),
    )


POLICY = "33333333-0000-0000-0000-000000000000"
TEMPLATE = {"Type": "name_prefix_match", "Regexp": "^geo-(.*?)-([^\\-]+?)$"}


def test_a_template_is_filled_in_from_the_name_asked_for() -> None:
    machine = Machine()
    tags = ["${name.prefix}", "${name.suffix}", "${match(0)}", "${match(1)}", "${match(9)}", "$${name.full}"]
    query = _query(
        "geo-", template=TEMPLATE, service={"Service": "${name.full}-x", "Tags": tags, "Near": "${agent.segment}"}
    )
    machine(c.QuerySet(prepare.prepared_query(query)))
    machine(c.QuerySet(_query("geo-eu-", OTHER_SESSION, template={"Type": "name_prefix_match"})))
    found = prepared.resolve(machine.txn, "GEO-us-db")
    assert found is not None
    assert found.service["Service"] == "GEO-us-db-x"
    found = prepared.resolve(machine.txn, "geo-us-db")
    assert found is not None
    assert found.service["Tags"] == ["geo-", "us-db", "geo-us-db", "us", "", "${name.full}"]
    assert found.service["Near"] == ""
    longer = prepared.resolve(machine.txn, "geo-eu-db")
    assert longer is not None and longer.id == OTHER_SESSION
    assert prepared.resolve(machine.txn, "other") is None
    with pytest.raises(QueryError, match="prepared query templates can only be resolved up by name, not by ID"):
        prepared.resolve(machine.txn, SESSION)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (_query(""), "Invalid prepared query: Must be bound to a session"),
        (_query("q", service={}), "Invalid prepared query: Must provide a Service name to query"),
        (
            _query("q", service={"Service": "x", "Failover": {"NearestN": -1}}),
            "Invalid prepared query: Bad NearestN '-1', must be >= 0",
        ),
        (_query("q", ttl="-5s"), "Invalid prepared query: DNS TTL '-5000000000', must be >=0"),
        (_query("q", template={"Type": "x"}), "failed compiling template: Bad Template.Type 'x'"),
    ],
)
def test_a_query_that_cannot_be_right_is_refused(query: PreparedQuery, problem: str) -> None:
    with pytest.raises(Refused) as caught:
        prepare.prepared_query(query)
    assert caught.value.text == problem


def test_a_query_may_belong_to_nobody_where_that_is_not_asked_for() -> None:
    assert prepare.prepared_query(_query(""), needs_owner=False) == _query("")


def test_query_names_are_unique_and_a_bound_query_ends_with_its_session() -> None:
    machine = Machine()
    machine.register()
    machine(session())
    machine(c.QuerySet(_query("q", session=SESSION)))
    assert machine(c.QuerySet(_query("Q", OTHER_SESSION))) == c.Failed("name 'Q' aliases an existing query name")
    assert machine(c.QuerySet(_query(SESSION, OTHER_SESSION))) == c.Failed(
        f"name '{SESSION}' aliases an existing query ID"
    )
    machine(c.SessionDestroy(SESSION))
    assert prepared.list_all(machine.txn).value == []
    assert prepared.resolve(machine.txn, "q") is None


def test_a_query_keeps_the_instances_it_asks_for() -> None:
    machine = Machine()
    machine.register("n1", service("web", "1", tags=["A"]), check("c1", "passing", "1", "n1"))
    machine.register("n2", service("web", "2", tags=["a", "b"]), check("c2", "warning", "2", "n2"))
    machine.register("n3", service("web", "3", tags=["a"]), check("c3", "critical", "3", "n3"))

    def nodes(**fields: Any) -> list[str]:
        query = _query("q", service={"Service": "web", **fields})
        return [item.node.node for item in prepared.candidates(machine.txn, query)]

    assert nodes() == ["n1", "n2"]
    assert nodes(OnlyPassing=True) == ["n1"]
    assert nodes(IgnoreCheckIDs=["c3"]) == ["n1", "n2", "n3"]
    assert nodes(Tags=["a", "!B"]) == ["n1"]
    assert nodes(Connect=True) == []


def _intention(intention_id: str, source: str, destination: str, action: str = "deny") -> c.IntentionSet:
    return c.IntentionSet(
        Intention(intention_id, "", "default", source, "default", destination, "consul", action, None, 0, 1, 2)
    )


def test_the_most_precise_intention_decides() -> None:
    machine = Machine()
    machine(_intention(SESSION, "*", "db"))
    machine(_intention(OTHER_SESSION, "web", "db", "allow"))
    assert [row.precedence for row in intention.match(machine.txn, False, "db").value] == [9, 8]
    assert intention.decide(machine.txn, "web", "db", False) == (
        True,
        f"Matched intention: ALLOW default/web => default/db (ID: {OTHER_SESSION}, Precedence: 9)",
    )
    assert intention.decide(machine.txn, "zz", "db", True)[0] is False
    assert intention.decide(machine.txn, "zz", "other", True)[0] is True
    duplicate = "33333333-0000-0000-0000-000000000000"
    assert machine(_intention(duplicate, "web", "db")) == c.Failed(
        f"duplicate intention found: ALLOW default/web => default/db (ID: {OTHER_SESSION}, Precedence: 9)"
    )


def test_a_transaction_is_all_or_nothing_and_lists_every_failure() -> None:
    machine = Machine()
    failed = machine(
        c.Txn(
            [
                c.TxnKV("set", b"a", b"1"),
                c.TxnKV("get", b"missing"),
                c.TxnKV("cas", b"a", b"2", index=1),
                c.TxnKV("bogus", b"a"),
            ]
        )
    )
    assert isinstance(failed, c.TxnResult)
    assert [(error.op_index, error.what) for error in failed.errors] == [
        (1, 'key "missing" doesn\'t exist'),
        (2, 'failed to set key "a", index is stale'),
        (3, 'unknown KV verb "bogus"'),
    ]
    assert machine.txn.items() == []
    done = machine(c.Txn([c.TxnKV("set", b"a", b"1"), c.TxnKV("get-tree", b""), c.TxnKV("delete", b"a")]))
    assert isinstance(done, c.TxnResult)
    assert render.txn_result(done) == (
        b'{"Results":[{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":null,"CreateIndex":11,"ModifyIndex":11}},'
        b'{"KV":{"LockIndex":0,"Key":"a","Flags":0,"Value":"MQ==","CreateIndex":11,"ModifyIndex":11}}],"Errors":null}'
    )


def test_a_transaction_of_reads_needs_no_log() -> None:
    machine = Machine()
    machine(c.KV("set", b"a", b"1"))
    ops: list[c.TxnOp] = [c.TxnKV("check-index", b"a", index=10), c.TxnKV("check-not-exists", b"a")]
    assert txn_queries.is_read_only(ops)
    result = txn_queries.run(machine.txn, ops, ALLOW_ALL)
    assert [error.what for error in result.errors] == ['key "a" exists']


def test_a_service_set_in_a_transaction_loses_its_error() -> None:
    machine = Machine()
    assert machine(c.Txn([c.TxnService("set", "none", service("x"))])) == c.TxnResult([], [])
    refused = machine(c.Txn([c.TxnCheck("set", check("x", node="none"))]))
    assert refused == c.TxnResult([], [c.TxnError(0, "Missing node registration")])


def test_near_sorts_by_distance_with_unknown_nodes_last() -> None:
    machine = Machine()
    for name in ("far", "here", "near", "unknown"):
        machine.register(name)
    places = {"here": 0.0, "near": 0.01, "far": 0.2, "gone": 0.1}
    rows = [Coordinate(name, "", [place, *[0.0] * 7], 0.5, 0.0, 0.001) for name, place in places.items()]
    machine(c.CoordinateBatch(rows))
    found = catalog.nodes(machine.txn, ReadOptions(near="here")).value
    assert [row.node for row in found] == ["here", "near", "far", "unknown"]
    assert {row.node for row in coordinate.nodes(machine.txn).value} == {"here", "near", "far"}
    assert b'"Vec":[0,0,0,0,0,0,0,0],"Error":0.5,"Adjustment":0,' in render.coordinates(
        coordinate.node(machine.txn, "here").value
    )


def test_a_token_needs_its_policies_and_drops_links_to_deleted_ones_when_read() -> None:
    machine = Machine()
    token = ACLToken(SESSION, OTHER_SESSION, policies=[Link(POLICY, "")])
    assert machine(c.TokenSet([token])) == c.Failed(f"No such policy with ID: {POLICY}")
    machine(c.PolicySet([ACLPolicy(POLICY, "ro")]))
    machine(c.TokenSet([token]))
    found = acl.token_by_secret(machine.txn, OTHER_SESSION).value
    assert found is not None and found.policies == [Link(POLICY, "ro")]
    machine(c.PolicyDelete([POLICY]))
    found = acl.token(machine.txn, SESSION).value
    assert found is not None and found.policies == []


def test_bootstrapping_works_once_and_again_with_its_index() -> None:
    machine = Machine()
    token = ACLToken(SESSION, OTHER_SESSION)
    assert machine(c.TokenBootstrap(token)) == c.Done()
    assert acl.bootstrap_index(machine.txn) == 10
    assert machine(c.TokenBootstrap(token)) == c.Failed("ACL bootstrap no longer allowed (reset index: 10)", "denied")
    assert machine(c.TokenBootstrap(token, reset_index=10)) == c.Done()


@pytest.mark.parametrize(
    ("source", "destination", "action", "problem"),
    [
        (
            "",
            "",
            "",
            "3 errors occurred:\n\t* SourceName must be set\n\t* DestinationName must be set\n"
            "\t* Action must be set to 'allow' or 'deny'\n\n",
        ),
        ("a", "b", "maybe", "1 error occurred:\n\t* Action must be set to 'allow' or 'deny'\n\n"),
        (
            "a*",
            "b",
            "deny",
            "1 error occurred:\n\t* SourceName: wildcard character '*' cannot be used with partial values\n\n",
        ),
    ],
)
def test_an_intention_that_cannot_be_right_is_refused(source: str, destination: str, action: str, problem: str) -> None:
    with pytest.raises(Refused) as caught:
        prepare.intention(_intention(SESSION, source, destination, action).intention)
    assert caught.value.text == problem
    assert prepare.intention(_intention(SESSION, "a", "b").intention).hash


def test_changing_an_intention_that_is_not_there_says_so() -> None:
    machine = Machine()
    with pytest.raises(QueryError, match=f"Cannot delete non-existent intention: '{SESSION}'"):
        intention.find_for_change(machine.txn, SESSION, "delete")
    with pytest.raises(QueryError, match="Intention lookup failed: failed intention lookup: index error: UUID must be"):
        intention.find_for_change(machine.txn, "nosuch", "modify")


def test_intentions_match_names_in_any_case_and_keep_their_default_address() -> None:
    machine = Machine()
    row = _intention(SESSION, "A", "web").intention
    machine(c.IntentionSet(replace(row, default_addr="10.0.0.1", default_port=5)))
    (found,) = intention.match(machine.txn, True, "a").value
    shown = render.intention_dict(found)
    assert (shown["SourceName"], shown["DefaultAddr"], shown["DefaultPort"]) == ("A", "10.0.0.1", 5)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x", "UUID must be 36 characters"),
        ("1111-1111-1111-1111-1111-11111111-11", 'UUID should have maximum of 4 "-"; got 6'),
        ("11111111-1111-1111-1111111111111111x", "Input (without hyphens) must be even length"),
        ("11111111-1111-1111-1111-11111111111g", "Invalid UUID: encoding/hex: invalid byte: U+0067 'g'"),
    ],
)
def test_what_is_no_id_is_said_as_consul_does(text: str, problem: str) -> None:
    assert check_uuid(text) == f"index error: {problem}"
