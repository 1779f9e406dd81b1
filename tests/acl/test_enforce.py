"""What merged rules answer, compared with a slow model and with the cases that matter."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.acl.agent import master_authorizer
from lictor.acl.builtin import management_policy
from lictor.acl.defaults import ALLOW, DENY, MANAGE
from lictor.acl.enforce import RuleAuthorizer
from lictor.acl.merge import merge
from lictor.acl.resolve import authorizer_for
from lictor.acl.rules import parse
from tests.acl.naive import Line, decide, decide_tree

NAMES = st.text(alphabet="ab/", max_size=5)
LEVELS = st.sampled_from(["deny", "read", "list", "write"])
PLAIN_LEVELS = st.sampled_from(["deny", "read", "write"])
POLICIES = st.lists(st.lists(st.builds(Line, NAMES, st.booleans(), LEVELS), max_size=6), max_size=4)
PLAIN_POLICIES = st.lists(st.lists(st.builds(Line, NAMES, st.booleans(), PLAIN_LEVELS), max_size=6), max_size=4)


def written(kind: str, lines: Sequence[Line], field: str = "policy") -> str:
    return "\n".join(
        f'{kind}{"_prefix" if line.is_prefix else ""} "{line.name}" {{ {field} = "{line.level}" }}' for line in lines
    )


def authorizer(*texts: str, default: str = "deny") -> RuleAuthorizer:
    return RuleAuthorizer(merge(parse(text) for text in texts), ALLOW if default == "allow" else DENY)


@given(POLICIES, NAMES, st.sampled_from(["allow", "deny"]))
def test_a_key_may_be_accessed_as_the_slow_model_says(policies: list[list[Line]], name: str, default: str) -> None:
    rights = authorizer(*(written("key", lines) for lines in policies), default=default)
    lines = [line for policy in policies for line in policy]
    otherwise = default == "allow"
    assert rights.key_read(name) == decide(lines, name, "read", otherwise)
    assert rights.key_list(name) == decide(lines, name, "list", otherwise)
    assert rights.key_write(name) == decide(lines, name, "write", otherwise)
    assert rights.key_write_prefix(name) == decide_tree(lines, name, otherwise)


@given(PLAIN_POLICIES, NAMES, st.sampled_from(["agent", "node", "service", "session", "event", "query"]))
def test_every_kind_of_named_rule_is_looked_up_alike(policies: list[list[Line]], name: str, kind: str) -> None:
    rights = authorizer(*(written(kind, lines) for lines in policies))
    lines = [line for policy in policies for line in policy]
    assert getattr(rights, f"{kind}_read")(name) == decide(lines, name, "read", False)
    assert getattr(rights, f"{kind}_write")(name) == decide(lines, name, "write", False)


@given(st.permutations([("a", "read"), ("a", "write"), ("ab", "deny"), ("b", "list")]))
def test_the_order_of_policies_does_not_matter(order: list[tuple[str, str]]) -> None:
    rights = authorizer(*(f'key_prefix "{name}" {{ policy = "{level}" }}' for name, level in order))
    assert (rights.key_write("ax"), rights.key_read("abx"), rights.key_list("bx"), rights.key_write("bx")) == (
        True,
        False,
        True,
        False,
    )


def test_an_exact_rule_wins_over_a_stronger_prefix_rule() -> None:
    rights = authorizer('service "web" { policy = "read" } service_prefix "web" { policy = "write" }')
    assert rights.service_read("web") and not rights.service_write("web")
    assert rights.service_write("web-2")


@pytest.mark.parametrize("default", ["allow", "deny"])
def test_a_denial_never_falls_through_to_the_default(default: str) -> None:
    rights = authorizer('acl = "deny" operator = "deny" keyring = "deny" node "n" { policy = "deny" }', default=default)
    assert not any(
        (rights.acl_read(), rights.snapshot(), rights.operator_read(), rights.keyring_read(), rights.node_read("n"))
    )
    assert rights.node_read("m") == (default == "allow")


def test_allowing_by_default_covers_neither_access_control_nor_snapshots() -> None:
    rights = authorizer("", default="allow")
    assert rights.key_write("k") and rights.operator_write() and rights.intention_default_allow()
    assert not any((rights.acl_read(), rights.acl_write(), rights.snapshot()))
    assert MANAGE.acl_write() and MANAGE.snapshot() and not DENY.node_read("n")


@pytest.mark.parametrize(
    ("rules", "read", "write"),
    [
        ("", False, False),
        ('service "a" { policy = "read" }', True, False),
        ('service "a" { policy = "deny" }', False, False),
        ('service_prefix "" { policy = "write" }', True, False),
        ('service_prefix "" { policy = "read" intentions = "write" }', True, True),
        ('service_prefix "" { policy = "read" intentions = "write" } service "a" { policy = "read" }', True, False),
        ('service_prefix "" { policy = "deny" } service "a" { policy = "deny" intentions = "read" }', True, False),
        ('service "a" { policy = "read" intentions = "write" }', True, False),
    ],
)
def test_intentions_of_any_service_need_one_rule_to_read_and_all_to_write(rules: str, read: bool, write: bool) -> None:
    rights = authorizer(rules)
    assert (rights.intention_read("*"), rights.intention_write("*")) == (read, write)


@pytest.mark.parametrize(
    ("rule", "read", "write"),
    [
        ('policy = "read"', True, False),
        ('policy = "write"', True, False),
        ('policy = "deny"', False, False),
        ('policy = "deny" intentions = "write"', True, True),
        ('policy = "write" intentions = "deny"', False, False),
    ],
)
def test_intentions_follow_the_service_level_unless_they_have_their_own(rule: str, read: bool, write: bool) -> None:
    rights = authorizer(f'service "web" {{ {rule} }}')
    assert (rights.intention_read("web"), rights.intention_write("web")) == (read, write)


def test_only_rules_that_grant_everything_let_filters_be_skipped() -> None:
    assert authorizer_for([management_policy()], DENY).allows_all
    assert not authorizer('node_prefix "" { policy = "write" }', default="allow").allows_all
    assert not authorizer(management_policy().rules, 'key "secret" { policy = "read" }').allows_all


def test_an_agents_master_token_is_for_that_agent_and_sees_all_nodes() -> None:
    rights = master_authorizer("n1")
    assert rights.agent_write("n1") and rights.node_read("other")
    assert not any((rights.agent_read("n2"), rights.node_write("n1"), rights.service_read("web"), rights.acl_read()))
