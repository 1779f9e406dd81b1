"""Merged rules as an authorizer that answers in about a microsecond.

A name's exact rule decides; without one, the longest prefix rule that the name begins with; without any, the default
policy. A rule that denies is an answer, it never falls through to the default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lictor.acl.authorizer import Authorizer
from lictor.acl.merge import Merged
from lictor.acl.rules import DENY, KINDS, LEVELS, READ, WRITE, Rule

_READ, _LIST, _WRITE = LEVELS["read"], LEVELS["list"], LEVELS["write"]


class RuleTable:
    """The rules for one kind of resource: levels by name."""

    __slots__ = ("_exact", "_lengths", "_prefixes")

    def __init__(self, exact: dict[str, int], prefixes: dict[str, int]) -> None:
        self._exact = exact
        self._prefixes = prefixes
        self._lengths = sorted({len(prefix) for prefix in prefixes}, reverse=True)

    def level(self, name: str) -> int:
        """The level for a name; 0 if no rule covers it."""
        level = self._exact.get(name)
        if level is not None:
            return level
        prefixes = self._prefixes
        for length in self._lengths:
            level = prefixes.get(name[:length])
            if level is not None:
                return level
        return 0

    def prefix_level(self, prefix: str) -> int:
        """The level that prefix rules alone give to what begins with this; 0 if none covers it."""
        for length in self._lengths:
            level = self._prefixes.get(prefix[:length])
            if level is not None:
                return level
        return 0

    def levels_below(self, prefix: str) -> Iterator[int]:
        """The levels of all rules whose own name begins with the prefix."""
        for table in (self._exact, self._prefixes):
            for name, level in table.items():
                if name.startswith(prefix):
                    yield level

    def empty_prefix(self) -> int:
        """The level of the rule for every name; 0 without one."""
        return self._prefixes.get("", 0)

    def grants_everything(self) -> bool:
        """Whether every name may be written."""
        return self.empty_prefix() == _WRITE and all(level == _WRITE for level in self.levels_below(""))


def _levels(rules: Iterable[Rule]) -> dict[str, int]:
    return {rule.name: LEVELS[rule.level.lower()] for rule in rules}


def _intention_levels(rules: Iterable[Rule]) -> dict[str, int]:
    """Where a service rule says nothing of intentions, they may be read by whoever may read the service."""
    return {
        rule.name: LEVELS[(rule.intentions or (READ if rule.level in (READ, WRITE) else DENY)).lower()]
        for rule in rules
    }


class RuleAuthorizer:
    """What rules grant, with a default for what they do not speak of."""

    __slots__ = (
        "_acl",
        "_agent",
        "_default",
        "_event",
        "_intention",
        "_key",
        "_keyring",
        "_node",
        "_operator",
        "_query",
        "_service",
        "_session",
        "allows_all",
    )

    allows_all: bool
    """Whether every answer but `intention_default_allow`, which is always the default's, is yes."""

    def __init__(self, rules: Merged, default: Authorizer) -> None:
        tables = {
            kind.word: RuleTable(_levels(rules.exact[kind.word].values()), _levels(rules.prefix[kind.word].values()))
            for kind in KINDS
        }
        self._default = default
        self._acl = LEVELS.get(rules.acl, 0)
        self._keyring = LEVELS.get(rules.keyring, 0)
        self._operator = LEVELS.get(rules.operator, 0)
        self._agent = tables["agent"]
        self._event = tables["event"]
        self._key = tables["key"]
        self._node = tables["node"]
        self._query = tables["query"]
        self._service = tables["service"]
        self._session = tables["session"]
        self._intention = RuleTable(
            _intention_levels(rules.exact["service"].values()), _intention_levels(rules.prefix["service"].values())
        )
        self.allows_all = self._acl == self._keyring == self._operator == _WRITE and all(
            table.grants_everything() for table in (*tables.values(), self._intention)
        )

    def acl_read(self) -> bool:
        return self._acl >= _READ if self._acl else self._default.acl_read()

    def acl_write(self) -> bool:
        return self._acl >= _WRITE if self._acl else self._default.acl_write()

    def snapshot(self) -> bool:
        return self._acl >= _WRITE if self._acl else self._default.snapshot()

    def agent_read(self, node: str) -> bool:
        level = self._agent.level(node)
        return level >= _READ if level else self._default.agent_read(node)

    def agent_write(self, node: str) -> bool:
        level = self._agent.level(node)
        return level >= _WRITE if level else self._default.agent_write(node)

    def event_read(self, name: str) -> bool:
        level = self._event.level(name)
        return level >= _READ if level else self._default.event_read(name)

    def event_write(self, name: str) -> bool:
        level = self._event.level(name)
        return level >= _WRITE if level else self._default.event_write(name)

    def intention_default_allow(self) -> bool:
        return self._default.intention_default_allow()

    def intention_read(self, name: str) -> bool:
        """For `*`: whether any rule lets intentions be read."""
        if name == "*":
            if any(level >= _READ for level in self._intention.levels_below("")):
                return True
            return False if self._intention.empty_prefix() else self._default.intention_read(name)
        level = self._intention.level(name)
        return level >= _READ if level else self._default.intention_read(name)

    def intention_write(self, name: str) -> bool:
        """For `*`: whether all rules let intentions be written."""
        if name == "*":
            if any(level < _WRITE for level in self._intention.levels_below("")):
                return False
            return True if self._intention.empty_prefix() else self._default.intention_write(name)
        level = self._intention.level(name)
        return level >= _WRITE if level else self._default.intention_write(name)

    def key_list(self, prefix: str) -> bool:
        level = self._key.level(prefix)
        return level >= _LIST if level else self._default.key_list(prefix)

    def key_read(self, key: str) -> bool:
        level = self._key.level(key)
        return level >= _READ if level else self._default.key_read(key)

    def key_write(self, key: str) -> bool:
        level = self._key.level(key)
        return level >= _WRITE if level else self._default.key_write(key)

    def key_write_prefix(self, prefix: str) -> bool:
        """Whether everything below may be written: no rule there, and none that covers it, gives less."""
        base = self._key.prefix_level(prefix)
        if base and base != _WRITE:
            return False
        if any(level != _WRITE for level in self._key.levels_below(prefix)):
            return False
        return True if base else self._default.key_write_prefix(prefix)

    def keyring_read(self) -> bool:
        return self._keyring >= _READ if self._keyring else self._default.keyring_read()

    def keyring_write(self) -> bool:
        return self._keyring >= _WRITE if self._keyring else self._default.keyring_write()

    def node_read(self, name: str) -> bool:
        level = self._node.level(name)
        return level >= _READ if level else self._default.node_read(name)

    def node_write(self, name: str) -> bool:
        level = self._node.level(name)
        return level >= _WRITE if level else self._default.node_write(name)

    def operator_read(self) -> bool:
        return self._operator >= _READ if self._operator else self._default.operator_read()

    def operator_write(self) -> bool:
        return self._operator >= _WRITE if self._operator else self._default.operator_write()

    def query_read(self, prefix: str) -> bool:
        level = self._query.level(prefix)
        return level >= _READ if level else self._default.query_read(prefix)

    def query_write(self, prefix: str) -> bool:
        level = self._query.level(prefix)
        return level >= _WRITE if level else self._default.query_write(prefix)

    def service_read(self, name: str) -> bool:
        level = self._service.level(name)
        return level >= _READ if level else self._default.service_read(name)

    def service_write(self, name: str) -> bool:
        level = self._service.level(name)
        return level >= _WRITE if level else self._default.service_write(name)

    def session_read(self, node: str) -> bool:
        level = self._session.level(node)
        return level >= _READ if level else self._default.session_read(node)

    def session_write(self, node: str) -> bool:
        level = self._session.level(node)
        return level >= _WRITE if level else self._default.session_write(node)
