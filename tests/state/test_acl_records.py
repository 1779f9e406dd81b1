"""What may become of tokens, policies, roles and binding rules, and how they are shown."""

from __future__ import annotations

from typing import Any

import pytest

from lictor.acl import hashes
from lictor.acl.builtin import anonymous_token, management_policy, management_token
from lictor.state import commands as c
from lictor.state.acl import auth_methods, binding, legacy, links, policies, render, roles, tokens
from lictor.state.queries import acl
from lictor.state.queries.read import QueryError
from lictor.state.rows import ACLAuthMethod, ACLBindingRule, ACLPolicy, ACLRole, ACLToken, Link, ServiceIdentity
from lictor.state.writer import Refused
from tests.state.builders import Machine

MINUTE_NS = 60 * 10**9
NOW_NS = 1_600_000_000 * 10**9
ID, OTHER, THIRD, FOURTH = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "1234")
UNKNOWN = "e1d3b1a0-9d64-4f4c-8a44-3d5c3b3ef111"
MANAGEMENT = "00000000-0000-0000-0000-000000000001"
ANONYMOUS = "00000000-0000-0000-0000-000000000002"
MASTER, MASTER_SECRET = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "56")
FRESH = tokens.Fresh(ID, OTHER, NOW_NS)


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made(c.PolicySet([management_policy()]))
    made(c.TokenSet([anonymous_token(NOW_NS), management_token(MASTER, MASTER_SECRET, "Master Token", NOW_NS)]))
    return made


def _refusal(make: Any, *arguments: Any) -> str:
    with pytest.raises(Refused) as refused:
        make(*arguments)
    return refused.value.text


def test_a_new_token_gets_the_proposers_ids_time_and_hash(machine: Machine) -> None:
    row = tokens.created(machine.txn, {"Description": "d", "ExpirationTTL": 5 * MINUTE_NS}, FRESH)
    assert (row.accessor_id, row.secret_id, row.create_time_ns) == (ID, OTHER, NOW_NS)
    assert row.expiration_time_ns == NOW_NS + 5 * MINUTE_NS
    assert row.hash == hashes.token_hash(row)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"AccessorID": "x"}, "Failed acl token lookup by accessor: failed acl token lookup: "
         "index error: UUID must be 36 characters"),
        ({"AccessorID": MASTER}, "Invalid Token: AccessorID is already in use"),
        ({"AccessorID": MASTER_SECRET}, "Invalid Token: AccessorID is already in use"),
        ({"AccessorID": MANAGEMENT}, 'Invalid Token: UUIDs with the prefix "00000000-0000-0000-0000-0000000000" '
         "are reserved"),
        ({"SecretID": "x"}, "Invalid Token: SecretID is not a valid UUID"),
        ({"SecretID": MASTER_SECRET}, "Invalid Token: SecretID is already in use"),
        ({"SecretID": ANONYMOUS}, "Invalid Token: SecretID is already in use"),
        ({"AuthMethod": "k8s"}, "AuthMethod field is disallowed outside of Login"),
        ({"ExpirationTTL": -1}, "Token Expiration TTL '-1ns' should be > 0"),
        ({"ExpirationTTL": 1, "ExpirationTime": NOW_NS}, "Token Expiration TTL and Expiration Time cannot both be set"),
        ({"ExpirationTime": NOW_NS - 1}, "ExpirationTime cannot be before CreateTime"),
        ({"ExpirationTTL": 2 * 10**9}, "ExpirationTime cannot be less than 1m0s in the future (was 2s)"),
        ({"ExpirationTTL": 48 * 60 * MINUTE_NS}, "ExpirationTime cannot be more than 24h0m0s in the future "
         "(was 48h0m0s)"),
        ({"Policies": [{"Name": "none"}]}, 'No such ACL policy with name "none"'),
        ({"Policies": [{"ID": UNKNOWN}]}, f'No such ACL policy with ID "{UNKNOWN}"'),
        ({"Policies": [{"ID": "x"}]}, 'Error looking up policy for id "x": failed acl policy lookup: '
         "index error: UUID must be 36 characters"),
        ({"Roles": [{"Name": "none"}]}, 'No such ACL role with name "none"'),
        ({"ServiceIdentities": [{}]}, "Service identity is missing the service name field on this token"),
        ({"ServiceIdentities": [{"ServiceName": "A"}]}, 'Service identity "A" has an invalid name. '
         "Only alphanumeric characters, '-' and '_' are allowed"),
        ({"Local": True, "ServiceIdentities": [{"ServiceName": "a", "Datacenters": ["x"]}]},
         'Service identity "a" cannot specify a list of datacenters on a local token'),
        ({"Rules": "x"}, "Rules cannot be specified for this token"),
    ],
)  # fmt: skip
def test_what_no_new_token_may_be(machine: Machine, fields: dict[str, Any], text: str) -> None:
    assert _refusal(tokens.created, machine.txn, fields, FRESH) == text


def test_links_are_kept_by_id_and_once(machine: Machine) -> None:
    given = [{"ID": MANAGEMENT}, {"Name": "GLOBAL-management"}]
    assert links.policy_links(machine.txn, given) == [Link(MANAGEMENT, "")]


def test_of_service_identities_with_one_name_the_widest_remains() -> None:
    merged = links.merged_identities(
        [
            ServiceIdentity("c", ["z", "x"]),
            ServiceIdentity("a", ["x"]),
            ServiceIdentity("c", ["y"]),
            ServiceIdentity("a"),
        ]
    )
    assert merged == [ServiceIdentity("a"), ServiceIdentity("c", ["x", "y", "z"])]
    assert links.merged_identities([ServiceIdentity("c", ["z", "x"])]) == [ServiceIdentity("c", ["z", "x"])]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"SecretID": OTHER}, "Changing a tokens SecretID is not permitted"),
        ({"SecretID": "allow"}, "Permission denied: Cannot modify root ACL"),
        ({"Local": True}, f"cannot toggle local mode of {MASTER}"),
        ({"AuthMethod": "x"}, f"Cannot change AuthMethod of {MASTER}"),
        ({"ExpirationTTL": 1}, f"Cannot change expiration time of {MASTER}"),
        ({"ExpirationTime": NOW_NS}, f"Cannot change expiration time of {MASTER}"),
        ({"AccessorID": UNKNOWN}, f'Cannot find token "{UNKNOWN}"'),
    ],
)
def test_what_stays_of_a_token(machine: Machine, fields: dict[str, Any], text: str) -> None:
    assert _refusal(tokens.updated, machine.txn, {"AccessorID": MASTER, **fields}, NOW_NS) == text


def test_an_update_replaces_all_that_may_change(machine: Machine) -> None:
    row = tokens.updated(machine.txn, {"AccessorID": MASTER, "Description": "new"}, NOW_NS)
    assert (row.description, row.policies, row.type, row.secret_id) == ("new", [], "", MASTER_SECRET)


def test_an_expired_token_can_neither_be_changed_nor_cloned(machine: Machine) -> None:
    machine(c.TokenSet([ACLToken(ID, OTHER, expiration_time_ns=NOW_NS)]))
    assert _refusal(tokens.updated, machine.txn, {"AccessorID": ID}, NOW_NS + 1) == f'Cannot find token "{ID}"'
    assert _refusal(tokens.to_clone, machine.txn, ID, NOW_NS + 1) == "ACL not found"


def test_a_clone_takes_over_policies_but_no_roles(machine: Machine) -> None:
    original = ACLToken(
        THIRD, FOURTH, "d", [Link(MANAGEMENT, "")], [Link(ID, "")], [ServiceIdentity("web")], local=True
    )
    clone = tokens.cloned(original, "", FRESH)
    assert (clone.accessor_id, clone.secret_id, clone.description, clone.local) == (ID, OTHER, "d", True)
    assert (clone.policies, clone.roles) == (original.policies, [])
    assert tokens.cloned(original, "other", FRESH).description == "other"


def test_a_token_of_a_login_and_one_with_rules_are_not_cloned() -> None:
    assert _refusal(tokens.cloned, ACLToken(ID, OTHER, auth_method="k"), "", FRESH) == (
        "Cannot clone a token created from an auth method"
    )
    assert _refusal(tokens.cloned, ACLToken(ID, OTHER, rules="k"), "", FRESH) == (
        "Cannot clone a legacy ACL with this endpoint"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "Invalid Policy: no Name is set"),
        ({"Name": "a b"}, "Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"),
        ({"Name": "a", "ID": "x"}, "Policy ID invalid UUID"),
        ({"Name": "a", "ID": UNKNOWN}, f"cannot find policy {UNKNOWN}"),
        ({"Name": "Global-Management"}, 'Invalid Policy: A Policy with Name "Global-Management" already exists'),
        ({"Name": "a", "ID": MANAGEMENT, "Datacenters": []},
         "Changing the Datacenters of the builtin global-management policy is not permitted"),
        ({"Name": "a", "ID": MANAGEMENT}, "Changing the Rules for the builtin global-management policy "
         "is not permitted"),
        ({"Name": "a", "Rules": 'key "x" {'}, "Failed to parse ACL rules: At 1:9: object expected closing RBRACE "
         "got: EOF"),
    ],
)  # fmt: skip
def test_what_no_policy_may_be(machine: Machine, fields: dict[str, Any], text: str) -> None:
    found = _refusal(policies.prepared, machine.txn, fields, ID)
    assert found.partition("At ")[0] == text.partition("At ")[0]


def test_the_builtin_policy_may_be_renamed_but_not_deleted(machine: Machine) -> None:
    fields = {"ID": MANAGEMENT, "Name": "root", "Rules": management_policy().rules}
    assert policies.prepared(machine.txn, fields, ID).name == "root"
    assert _refusal(policies.to_delete, machine.txn, MANAGEMENT).startswith("Delete operation not permitted")


def test_a_role_leaves_the_ids_of_its_policies_to_the_state_machine(machine: Machine) -> None:
    row = roles.prepared(machine.txn, {"Name": "r", "Policies": [{"ID": UNKNOWN}]}, ID)
    assert machine(c.RoleSet([row])) == c.Failed(f"No such policy with ID: {UNKNOWN}")
    row = roles.prepared(machine.txn, {"Name": "r", "Policies": [{"ID": "x"}]}, ID)
    assert machine(c.RoleSet([row])) == c.Failed("failed acl policy lookup: index error: UUID must be 36 characters")


def test_two_roles_of_one_name_cannot_be_whichever_is_proposed_first(machine: Machine) -> None:
    first = roles.prepared(machine.txn, {"Name": "r"}, ID)
    second = roles.prepared(machine.txn, {"Name": "R"}, OTHER)
    assert machine(c.RoleSet([first])) == c.Done()
    assert machine(c.RoleSet([second])) == c.Failed('A role with name "R" already exists')
    assert _refusal(roles.prepared, machine.txn, {"Name": "R"}, THIRD) == (
        'Invalid Role: A Role with Name "R" already exists'
    )


def test_a_login_whose_role_was_just_deleted_makes_no_token(machine: Machine) -> None:
    row = ACLToken(ID, OTHER, roles=[Link(UNKNOWN, "")])
    made = machine(c.TokenSet([row], allow_missing_links=True, prohibit_unprivileged=True))
    assert isinstance(made, c.Failed) and made.kind == "denied"


# ---------------------------------------------------------------------------------------------------- logging in

VERIFIED = {"serviceaccount.name": "web", "serviceaccount.namespace": "prod"}


def _method(txn: Any, name: str) -> binding.Method:
    return binding.Method(tuple(VERIFIED), lambda selector: "" if selector == "good" else "bad")


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"AuthMethod": ""}, "Invalid Binding Rule: no AuthMethod is set"),
        ({"ID": "x"}, "Binding Rule ID invalid UUID"),
        ({"ID": UNKNOWN}, f"cannot find binding rule {UNKNOWN}"),
        ({"Selector": "x"}, "invalid Binding Rule: Selector is invalid: bad"),
        ({"BindType": ""}, "Invalid Binding Rule: no BindType is set"),
        ({"BindType": "x"}, 'Invalid Binding Rule: unknown BindType "x"'),
        ({"BindName": ""}, "Invalid Binding Rule: no BindName is set"),
        ({"BindName": "A"}, "Invalid Binding Rule: invalid BindName"),
        ({"BindName": "${other}"}, "Invalid Binding Rule: invalid BindName: 1:3: unknown variable accessed: other"),
    ],
)
def test_what_no_binding_rule_may_be(machine: Machine, fields: dict[str, Any], text: str) -> None:
    good = {"AuthMethod": "k", "BindType": "service", "BindName": "svc", "Selector": "good"}
    assert binding.prepared(machine.txn, good, ID, _method).bind_name == "svc"
    assert _refusal(binding.prepared, machine.txn, {**good, **fields}, ID, _method) == text


def test_matching_binding_rules_give_identities_and_the_roles_that_there_are(machine: Machine) -> None:
    machine(c.AuthMethodSet([ACLAuthMethod("k", "kubernetes", "", {})]))
    machine(c.RoleSet([ACLRole(THIRD, "prod-role")]))
    rules = [
        ACLBindingRule(f"{number:08}-0000-4000-8000-000000000000", "", "K", selector, kind, name)
        for number, (selector, kind, name) in enumerate(
            [
                ("", "service", "${serviceaccount.name}-svc"),
                ("", "role", "${serviceaccount.namespace}-role"),
                ("", "role", "none"),
                ("other", "service", "never"),
            ]
        )
    ]
    machine(c.BindingRuleSet(rules))
    bound = binding.bound(machine.txn, "k", VERIFIED, lambda rule: rule.selector != "other")
    assert bound == binding.Bound([ServiceIdentity("web-svc")], [Link(THIRD, "")])
    shouting = {**VERIFIED, "serviceaccount.name": "WEB"}
    assert _refusal(binding.bound, machine.txn, "k", shouting, lambda rule: True) == (
        'computed "service" bind name for bind target is invalid: "WEB-svc"'
    )


def test_an_auth_method_keeps_its_type(machine: Machine) -> None:
    known = {"kubernetes": lambda row: "" if row.config else "Config.Host is required"}
    machine(c.AuthMethodSet([ACLAuthMethod("k", "kubernetes", "", {"Host": "h"})]))
    assert auth_methods.prepared(machine.txn, {"Name": "k", "Config": {"Host": "i"}}, known).type == "kubernetes"
    for fields, text in (
        ({"Name": "k", "Type": "x"}, "the Type field of an Auth Method is immutable"),
        ({"Name": "n"}, "Invalid Auth Method: Type should be one of: [kubernetes]"),
        ({"Name": "k"}, "Invalid Auth Method: Config.Host is required"),
        ({"Name": "a b"}, "Invalid Auth Method: invalid Name. Only alphanumeric characters, '-' and '_' are allowed"),
    ):
        assert _refusal(auth_methods.prepared, machine.txn, fields, known) == text


# ---------------------------------------------------------------------------------------------------- legacy tokens


def test_a_legacy_token_is_its_secret_with_rules_and_is_replaced_by_it(machine: Machine) -> None:
    rules = 'key "" { policy = "read" }'
    machine(c.TokenSet([legacy.prepared(machine.txn, {"ID": "foo", "Rules": rules}, ID, OTHER)]))
    replaced = legacy.prepared(machine.txn, {"ID": "foo", "Name": "n"}, THIRD, FOURTH)
    assert (replaced.accessor_id, replaced.description, replaced.rules, replaced.type) == (ID, "n", "", "client")
    assert legacy.prepared(machine.txn, {}, THIRD, FOURTH).secret_id == FOURTH
    assert legacy.prepared(machine.txn, {"Type": "management"}, THIRD, FOURTH).policies == [Link(MANAGEMENT, "")]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"Type": "x"}, "Invalid ACL Type"),
        ({"ID": "anonymous"}, "Cannot use legacy endpoint to modify a non-legacy token"),
        ({"ID": MASTER_SECRET}, "Cannot use legacy endpoint to modify a non-legacy token"),
        ({"ID": "manage"}, "Permission denied: Cannot modify root ACL"),
    ],
)
def test_what_the_legacy_endpoints_leave_alone(machine: Machine, fields: dict[str, Any], text: str) -> None:
    assert _refusal(legacy.prepared, machine.txn, fields, ID, OTHER) == text
    assert "Cannot delete anonymous token" in _refusal(legacy.to_delete, machine.txn, "anonymous")


# ---------------------------------------------------------------------------------------------------- reading


def test_secrets_that_differ_in_case_are_two(machine: Machine) -> None:
    machine(c.TokenSet([ACLToken(ID, "foo"), ACLToken(OTHER, "FOO")]))
    found = acl.token_by_secret(machine.txn, "FOO").value
    assert found is not None and found.accessor_id == OTHER
    assert acl.token_by_secret(machine.txn, "Foo").value is None


def test_tokens_are_listed_by_secret_and_by_one_of_what_they_have(machine: Machine) -> None:
    machine(c.PolicySet([ACLPolicy(THIRD, "p")]))
    machine(c.TokenSet([ACLToken(ID, "zz", policies=[Link(THIRD, "")]), ACLToken(OTHER, "00")]))
    assert [row.secret_id for row in acl.tokens(machine.txn).value] == ["00", MASTER_SECRET, "anonymous", "zz"]
    machine(c.PolicyDelete([THIRD]))
    (linked,) = acl.tokens(machine.txn, policy=THIRD).value
    assert (linked.accessor_id, linked.policies) == (ID, [])
    with pytest.raises(QueryError):
        acl.tokens(machine.txn, policy=THIRD, role=THIRD)


def test_a_token_is_shown_without_what_it_has_not() -> None:
    row = ACLToken(ID, OTHER, create_time_ns=NOW_NS, create_index=3, modify_index=4)
    assert list(render.token(row)) == [
        "AccessorID", "SecretID", "Description", "Local", "CreateTime", "Hash", "CreateIndex", "ModifyIndex"
    ]  # fmt: skip
    assert render.token(row, show_secret=False)["SecretID"] == "<hidden>"
    assert "SecretID" not in render.token_stub(row)
    old = ACLToken(ID, "foo", rules="x", type="client")
    assert render.token(old)["CreateTime"] == "0001-01-01T00:00:00Z"
    assert render.token_stub(old)["Legacy"] is True


def test_a_policy_in_a_list_has_no_rules_and_always_datacenters() -> None:
    row = ACLPolicy(ID, "p", rules="x")
    assert "Datacenters" not in render.policy(row)
    assert render.policy_stub(row)["Datacenters"] is None
    assert "Rules" not in render.policy_stub(row)
