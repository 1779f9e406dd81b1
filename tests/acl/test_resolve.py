"""From tokens to rights."""

from __future__ import annotations

from base64 import b64encode

import pytest

from lictor.acl.builtin import anonymous_token, management_policy, management_token
from lictor.acl.defaults import DENY
from lictor.acl.errors import RootDenied, RulesError, TokenNotFound
from lictor.acl.hashes import policy_hash, role_hash, token_hash
from lictor.acl.resolve import authorizer_for, effective_policies, refuse_root, resolve, usable
from lictor.state.rows import ACLPolicy, ACLRole, ACLToken, Link, ServiceIdentity

READ_WEB = ACLPolicy("p1", "web", rules='service "web" { policy = "read" }')
WRITE_DB = ACLPolicy("p2", "db", rules='service "db" { policy = "write" }', datacenters=["sh"])
POLICIES = {policy.id: policy for policy in (READ_WEB, WRITE_DB)}
ROLES = {
    "r1": ACLRole("r1", "both", policies=[Link("p1", "web"), Link("p2", "db"), Link("gone", "gone")]),
    "r2": ACLRole("r2", "identity", service_identities=[ServiceIdentity("api", ["bj"])]),
}


def policies_of(token: ACLToken, datacenter: str = "bj") -> list[str]:
    return [policy.name for policy in effective_policies(token, POLICIES.get, ROLES.get, datacenter)]


def test_a_token_has_the_policies_of_its_own_and_of_its_roles_once_each() -> None:
    token = ACLToken("a", "s", policies=[Link("p1", "web")], roles=[Link("r1", "both"), Link("gone", "")])
    assert policies_of(token, "sh") == ["web", "db"]


def test_a_policy_limited_to_other_datacenters_does_not_hold() -> None:
    token = ACLToken("a", "s", policies=[Link("p1", ""), Link("p2", "")])
    assert policies_of(token, "bj") == ["web"]


def test_a_service_identity_holds_wherever_one_of_its_mentions_does() -> None:
    token = ACLToken("a", "s", roles=[Link("r2", "")], service_identities=[ServiceIdentity("api", ["sh"])])
    assert policies_of(token, "bj") == policies_of(token, "sh") == ["synthetic-policy-api"]
    assert policies_of(token, "gz") == []


def test_a_service_identity_may_register_itself_and_its_proxy_and_discover_the_rest() -> None:
    token = ACLToken("a", "s", service_identities=[ServiceIdentity("api")])
    rights = resolve(token, POLICIES.get, ROLES.get, "bj", DENY)
    assert rights.service_write("api") and rights.service_write("api-sidecar-proxy")
    assert rights.service_read("web") and rights.node_read("n") and not rights.service_write("web")


def test_legacy_tokens_carry_their_own_rules_as_prefixes() -> None:
    client = ACLToken("a", "s", type="client", rules='key "a/" { policy = "read" }')
    assert resolve(client, POLICIES.get, ROLES.get, "bj", DENY).key_read("a/b")
    management = ACLToken("a", "s", type="management")
    assert resolve(management, POLICIES.get, ROLES.get, "bj", DENY).acl_write()
    assert effective_policies(ACLToken("a", "s"), POLICIES.get, ROLES.get, "bj") == []


def test_an_expired_token_is_none() -> None:
    token = ACLToken("a", "s", expiration_time_ns=100)
    assert usable(token, 100) is token
    for missing in (None, token):
        with pytest.raises(TokenNotFound, match="ACL not found"):
            usable(missing, 101)


@pytest.mark.parametrize("secret", ["allow", "deny", "manage"])
def test_the_names_of_built_in_rights_are_no_tokens(secret: str) -> None:
    with pytest.raises(RootDenied, match="Cannot resolve root ACL"):
        refuse_root(secret)


def test_equal_policies_are_compiled_once_and_changed_ones_again() -> None:
    first = authorizer_for([READ_WEB], DENY)
    assert authorizer_for([ACLPolicy("other", "web", rules=READ_WEB.rules)], DENY) is first
    assert authorizer_for([ACLPolicy("p1", "web", rules="")], DENY) is not first


def test_a_policy_that_cannot_be_read_is_named() -> None:
    with pytest.raises(RulesError) as refused:
        authorizer_for([ACLPolicy("p", 'od"d', rules="x")], DENY)
    assert str(refused.value).startswith('failed to parse the ACL policies: failed to parse "od\\"d": Failed to parse')


def test_hashes_cover_what_can_be_set_and_nothing_else() -> None:
    token = ACLToken("a", "s", "d", policies=[Link("p", "n")], service_identities=[ServiceIdentity("w", ["bj"])])
    assert token_hash(token) == token_hash(
        ACLToken("b", "t", "d", [Link("p", "m")], [], [ServiceIdentity("w", ["bj"])])
    )
    assert token_hash(token) != token_hash(ACLToken("a", "s", "d", local=True))
    assert policy_hash(READ_WEB) != policy_hash(WRITE_DB) and len(policy_hash(READ_WEB)) == 32
    assert role_hash(ROLES["r1"]) != role_hash(ROLES["r2"])


def test_a_first_token_has_every_right() -> None:
    token = management_token("a", "s", "Master Token", 1)
    policy = management_policy()
    assert resolve(token, {policy.id: policy}.get, ROLES.get, "bj", DENY).allows_all


@pytest.mark.parametrize(
    ("record", "digest"),
    [
        (management_policy(), "swIQt6up+s0cV4kePfJ2aRdKCLaQyykF4Hl1Nfdeumk="),
        (anonymous_token(1), "RNVFSWnfd5DUOuB8vplp+imivlIna3fKQVnkUHh21cA="),
        (management_token("a", "s", "Master Token", 1), "4H7ICbDZ4j6AdxBPps0g3c8dGOg5QUg7BfxngwA4i+c="),
    ],
)
def test_built_in_records_have_the_hashes_that_consul_gives_them(record: ACLToken | ACLPolicy, digest: str) -> None:
    assert b64encode(record.hash).decode() == digest
