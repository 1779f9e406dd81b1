"""What rule texts mean, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from lictor.acl.errors import RulesError
from lictor.acl.rules import LEGACY, Rule, parse


@pytest.mark.parametrize(
    "text",
    [
        'key "a/b" { policy = "read" }',
        'key "a/b" { policy = "read" } # why\n',
        'KEY "a/b" { Policy = "read" }',
        'key { "a/b" { policy = "read" } }',
        'key = { "a/b" = { policy = "read" } }',
        '{"key": {"a/b": {"policy": "read"}}}',
        '{"key": [{"a/b": [{"policy": "read"}]}]}',
        '{"key": {"a/b": {"policy": "read"}}',
        'key "a/b" { policy = "write" policy = "read" }',
    ],
)
def test_the_same_rule_can_be_written_in_many_ways(text: str) -> None:
    rules = parse(text)
    assert rules.exact["key"] == (Rule("a/b", "read"),)
    assert rules.prefix["key"] == ()


def test_all_kinds_of_rules_are_read_in_both_forms() -> None:
    kinds = ["agent", "key", "node", "service", "session", "event", "query"]
    text = 'acl = "read"\nkeyring = "write"\noperator = "deny"\n' + "\n".join(
        f'{kind} "x" {{ policy = "read" }}\n{kind}_prefix "y" {{ policy = "write" }}' for kind in kinds
    )
    rules = parse(text)
    assert (rules.acl, rules.keyring, rules.operator) == ("read", "write", "deny")
    assert rules.exact == {kind: (Rule("x", "read"),) for kind in kinds}
    assert rules.prefix == {kind: (Rule("y", "write"),) for kind in kinds}


def test_every_legacy_rule_covers_a_prefix_and_knows_no_acl_rule() -> None:
    rules = parse('acl = "nonsense" key "a" { policy = "write" } key_prefix "b" { policy = "x" }', LEGACY)
    assert rules.prefix["key"] == (Rule("a", "write"),)
    assert (rules.acl, rules.exact) == ("", {})


def test_unknown_names_and_an_empty_text_are_accepted() -> None:
    assert parse("").prefix == {}
    assert parse('namespace "x" { policy = "y" } thing = [1, {}]').acl == ""


def test_a_key_in_a_json_document_without_its_last_braces_still_counts() -> None:
    assert parse('{"acl": "write", "operator": ').acl == "write"


EXTENDED = ", EnterpriseRule:acl.EnterpriseRule{}}"
WRONG = [
    ('acl = "list"', 'Invalid acl policy: "list"'),
    ('keyring = "x"', 'Invalid keyring policy: "x"'),
    ('operator = "x"', 'Invalid operator policy: "x"'),
    ('agent "a" {}', 'Invalid agent policy: &acl.AgentRule{Node:"a", Policy:""}'),
    ('agent_prefix "a" { policy = "list" }', 'Invalid agent_prefix policy: &acl.AgentRule{Node:"a", Policy:"list"}'),
    ('key "\\t" { policy = "x" }', 'Invalid key policy: &acl.KeyRule{Prefix:"\\t", Policy:"x"' + EXTENDED),
    ('node_prefix "" {}', 'Invalid node_prefix policy: &acl.NodeRule{Name:"", Policy:""' + EXTENDED),
    (
        'service "s" { policy = "read" intentions = "list" }',
        'Invalid service intentions policy: &acl.ServiceRule{Name:"s", Policy:"read", Intentions:"list"' + EXTENDED,
    ),
    ('session "s" {}', 'Invalid session policy: &acl.SessionRule{Node:"s", Policy:""}'),
    ('event "e" {}', 'Invalid event policy: &acl.EventRule{Event:"e", Policy:""}'),
    ('query_prefix "q" {}', 'Invalid query_prefix policy: &acl.PreparedQueryRule{Prefix:"q", Policy:""}'),
    ("acl = true", "Failed to parse ACL rules: At 1:7: root.acl: unknown type for string *ast.LiteralType"),
    ('agent = "x"', "Failed to parse ACL rules: At 1:9: unknown slice type: *ast.LiteralType"),
    (
        'agent = [{ policy = "read" }]',
        "Failed to parse ACL rules: At 1:12: root.agent[0]: Node asked for 'key', impossible",
    ),
    (
        'key { a = ["b"] }',
        "Failed to parse ACL rules: At 1:11: root.key[0]: not an object type for struct (*ast.ListType)",
    ),
    ("revision = 4", "Failed to parse ACL rules: At 1:12: root.revision: unknown kind to decode into: uint64"),
    (
        "nope",
        "Failed to parse ACL rules: At 1:6: key 'nope' expected start of object ('{') or assignment ('=')",
    ),
    ('acl = "write', "Failed to parse ACL rules: At 1:13: literal not terminated"),
    ('{"acl": bad}', "Failed to parse ACL rules: 1:11: illegal char"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_text_is_refused_with_the_place_of_the_mistake(text: str, message: str) -> None:
    with pytest.raises(RulesError) as refused:
        parse(text)
    assert str(refused.value) == message


def test_deep_nesting_is_refused_instead_of_exhausting_the_stack() -> None:
    for text in ("a { " * 5000, "a = " + "[" * 5000, '{"a":' * 5000):
        with pytest.raises(RulesError, match="nested more than 100 deep"):
            parse(text)
