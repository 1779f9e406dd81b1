"""Several policies made one: for the same resource, name and form, deny beats write, write list, list read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lictor.acl.rules import DENY, KINDS, LIST, READ, WRITE, Rule, Rules

_PRECEDENCE = {DENY: 4, WRITE: 3, LIST: 2, READ: 1}
"""Only lower-case words take part; another spelling never replaces what is there."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What several policies grant together; rules by kind and by name."""

    acl: str
    keyring: str
    operator: str
    exact: dict[str, dict[str, Rule]]
    prefix: dict[str, dict[str, Rule]]


def merge(policies: Iterable[Rules]) -> Merged:
    """The rules of all of them; the same for any order but for ways of spelling levels."""
    acl = keyring = operator = ""
    exact: dict[str, dict[str, Rule]] = {kind.word: {} for kind in KINDS}
    prefix: dict[str, dict[str, Rule]] = {kind.word: {} for kind in KINDS}
    for rules in policies:
        acl = _stronger(rules.acl, acl)
        keyring = _stronger(rules.keyring, keyring)
        operator = _stronger(rules.operator, operator)
        for kind in KINDS:
            _add(exact[kind.word], rules.exact.get(kind.word, ()))
            _add(prefix[kind.word], rules.prefix.get(kind.word, ()))
    return Merged(acl, keyring, operator, exact, prefix)


def _stronger(new: str, old: str) -> str:
    return new if _PRECEDENCE.get(new, 0) > _PRECEDENCE.get(old, 0) else old


def _add(found: dict[str, Rule], rules: Iterable[Rule]) -> None:
    for rule in rules:
        old = found.get(rule.name)
        if old is None:
            found[rule.name] = rule
        else:
            intentions = _stronger(rule.intentions, old.intentions)
            found[rule.name] = Rule(rule.name, _stronger(rule.level, old.level), intentions)
