"""What every query takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from lictor.acl import ALLOW_ALL, Authorizer
from lictor.state.rows import Check, Node, Service
from lictor.state.store import ReadTxn
from lictor.state.writer import read_index

PASSING = "passing"

Value = TypeVar("Value")
Filter = Callable[[dict[str, Any]], bool]
"""A compiled filter expression: whether an element of the answer, as its JSON object, is to be kept."""


class Read(msgspec.Struct, Generic[Value], frozen=True):
    """An answer, the index to report with it (never 0), and what to wait on for the next one."""

    value: Value
    index: int
    topics: tuple[str, ...]


class ReadOptions(msgspec.Struct, frozen=True):
    """What narrows and orders an answer. Order: authorizer, node metadata, filter, near."""

    authorizer: Authorizer = ALLOW_ALL
    node_meta: Mapping[str, str] = {}
    near: str = ""
    """Name of the node to sort by distance from; empty: not sorted."""
    filter: Filter | None = None


NO_OPTIONS = ReadOptions()


class ServiceNode(NamedTuple):
    """An instance with its node."""

    node: Node
    service: Service


@dataclass(slots=True)
class Instance:
    """An instance with its node, the node's checks and its own. Not to be changed but for what is made of it."""

    node: Node
    service: Service
    checks: list[Check]
    rendered: bytes | None = field(default=None, compare=False, repr=False)
    """As health answers show it."""
    rendered_plain: bytes | None = field(default=None, compare=False, repr=False)
    """As catalog answers show it."""
    derived: Any = field(default=None, compare=False, repr=False)
    """What else its reader made of it."""

    def passes(self) -> bool:
        """Whether every check passes."""
        return all(check.status == PASSING for check in self.checks)


class NodeServices(NamedTuple):
    """`services` is None when there are none and nothing has been sorted out."""

    node: Node
    services: list[Service] | None


@dataclass(slots=True)
class NodeDump:
    """A node with everything on it. Not to be changed but for what is made of it."""

    node: Node
    services: list[Service]
    checks: list[Check]
    rendered: bytes | None = field(default=None, compare=False, repr=False)
    """As the web page's list shows it."""


class ServiceSummary(msgspec.Struct):
    """One line of the web page's list of services."""

    name: str
    kind: str
    tags: list[str]
    nodes: list[str]
    checks_passing: int
    checks_warning: int
    checks_critical: int
    external_sources: list[str]


class QueryError(Exception):
    """A question that cannot be answered: Consul's text, and how HTTP maps it."""

    def __init__(self, text: str, kind: str = "invalid") -> None:
        super().__init__(text)
        self.text = text
        self.kind = kind
        """As `commands.Failed.kind`."""


def max_index(txn: ReadTxn, *names: str) -> int:
    """The greatest of the named indexes; at least 1."""
    return max(1, *(read_index(txn, name) for name in names))


def meta_matches(wanted: Mapping[str, str], meta: Mapping[str, str] | None) -> bool:
    """Whether every wanted pair is there."""
    if not wanted:
        return True
    return meta is not None and all(meta.get(key) == value for key, value in wanted.items())
