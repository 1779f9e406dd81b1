"""The rule language: what a policy's text grants, in HCL 1 or JSON, in the present or the legacy syntax.

The legacy syntax knows no `acl` rule, and each of its rules covers every name that begins with the rule's name.
Unknown names are passed over, as Consul does; a wrong level is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lictor.acl.decode import RuleRow, decode_rows, decode_string
from lictor.acl.errors import RulesError
from lictor.hcl import HclError
from lictor.hcl import parse as parse_hcl
from lictor.hcl.tree import Members
from lictor.state.gotext import quote

CURRENT = 0
"""A policy's `syntax`: the language since Consul 1.4."""
LEGACY = 1
"""A policy's `syntax`: the language before Consul 1.4."""

DENY, READ, LIST, WRITE = "deny", "read", "list", "write"
LEVELS = {DENY: 1, READ: 2, LIST: 3, WRITE: 4}
"""Each level grants those below it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource with named rules, and how Go prints such a rule."""

    word: str
    go_type: str
    go_name: str
    is_extended: bool = False
    """Whether the printed rule shows the empty part of the Enterprise edition."""


KINDS = (
    Kind("agent", "AgentRule", "Node"),
    Kind("key", "KeyRule", "Prefix", is_extended=True),
    Kind("node", "NodeRule", "Name", is_extended=True),
    Kind("service", "ServiceRule", "Name", is_extended=True),
    Kind("session", "SessionRule", "Node"),
    Kind("event", "EventRule", "Event"),
    Kind("query", "PreparedQueryRule", "Prefix"),
)
"""In the order in which they are checked, so that of several mistakes the same one is told."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One named rule; levels as written, `intentions` only for services and often empty."""

    name: str
    level: str
    intentions: str = ""


Named = dict[str, tuple[Rule, ...]]
"""Rules by the word of their kind."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What one policy's text says. A level of "" means that it does not speak of the resource."""

    acl: str = ""
    keyring: str = ""
    operator: str = ""
    exact: Named = field(default_factory=dict)
    prefix: Named = field(default_factory=dict)


EMPTY = Rules()


def parse(text: str, syntax: int = CURRENT) -> Rules:
    """The rules of a policy.

    Raises RulesError, worded as Consul words it.
    """
    if not text:
        return EMPTY
    try:
        members = parse_hcl(text).members
        rules = _legacy(members) if syntax == LEGACY else _current(members)
    except HclError as error:
        raise RulesError(f"Failed to parse ACL rules: {error}") from None
    _check(rules, syntax)
    return rules


def _current(members: Members) -> Rules:
    decode_string(members, "id", "root")
    if members.named("revision").items:
        _refuse_revision(members)
    acl = decode_string(members, "acl", "root")
    exact: Named = {}
    prefix: Named = {}
    for kind in KINDS:
        exact[kind.word] = _rules(members, kind, kind.word)
        prefix[kind.word] = _rules(members, kind, f"{kind.word}_prefix")
    keyring = decode_string(members, "keyring", "root")
    return Rules(acl, keyring, decode_string(members, "operator", "root"), exact, prefix)


def _refuse_revision(members: Members) -> None:
    """`revision` is a number that nothing may set."""
    found = members.named("revision")
    place = found.labelled().place if found.labelled().items else found.plain().items[0].value.place
    raise HclError(f"At {place}: root.revision: unknown kind to decode into: uint64")


def _legacy(members: Members) -> Rules:
    prefix = {kind.word: _rules(members, kind, kind.word) for kind in KINDS}
    keyring = decode_string(members, "keyring", "root")
    return Rules("", keyring, decode_string(members, "operator", "root"), {}, prefix)


def _rules(members: Members, kind: Kind, word: str) -> tuple[Rule, ...]:
    fields = ("Policy", "Intentions") if kind.word == "service" else ("Policy",)
    return tuple(_rule(row) for row in decode_rows(members, word, kind.go_name, fields))


def _rule(row: RuleRow) -> Rule:
    return Rule(row.name, row.values[0], row.values[1] if len(row.values) > 1 else "")


# ------------------------------------------------------------------------------------------------------- checks


def _check(rules: Rules, syntax: int) -> None:
    if rules.acl and not _is_level(rules.acl):
        raise RulesError(f"Invalid acl policy: {quote(rules.acl)}")
    for kind in KINDS:
        for rule in rules.exact.get(kind.word, ()):
            _check_rule(kind, kind.word, rule)
        word = kind.word if syntax == LEGACY else f"{kind.word}_prefix"
        for rule in rules.prefix.get(kind.word, ()):
            _check_rule(kind, word, rule)
    if rules.keyring and not _is_level(rules.keyring):
        raise RulesError(f"Invalid keyring policy: {quote(rules.keyring)}")
    if rules.operator and not _is_level(rules.operator):
        raise RulesError(f"Invalid operator policy: {quote(rules.operator)}")


def _is_level(text: str, with_list: bool = False) -> bool:
    level = text.lower()
    return level in LEVELS and (with_list or level != LIST)


def _check_rule(kind: Kind, word: str, rule: Rule) -> None:
    if not _is_level(rule.level, with_list=kind.word == "key"):
        raise RulesError(f"Invalid {word} policy: {_printed(kind, rule)}")
    if rule.intentions and not _is_level(rule.intentions):
        raise RulesError(f"Invalid {word} intentions policy: {_printed(kind, rule)}")


def _printed(kind: Kind, rule: Rule) -> str:
    parts = [f"{kind.go_name}:{quote(rule.name)}", f"Policy:{quote(rule.level)}"]
    if kind.word == "service":
        parts.append(f"Intentions:{quote(rule.intentions)}")
    if kind.is_extended:
        parts.append("EnterpriseRule:acl.EnterpriseRule{}")
    return f"&acl.{kind.go_type}{{{', '.join(parts)}}}"
