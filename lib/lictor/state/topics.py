"""Names of what can change, and who waits for it.

Applying a command gives the topics it changed; a query gives the topics to wait on. Both are short texts, so that
they travel as they are:

    nodes services checks sessions coordinates queries config intentions ca-roots ca-config autopilot
    acl-tokens acl-policies acl-roles acl-binding-rules acl-auth-methods        whole tables
    node:<name>  service:<name>  connect:<name>  checks:<name>  session:<id>  session-node:<node>   one thing (folded)
    health-node:<node>  state:<status>                                           checks of a node, in a state
    kv:<key>                                                                     one key
    kv-prefix:<prefix>     as waited on: any key under the prefix; as changed: a recursive delete of the prefix
    *                      everything: a snapshot was restored

In KV topics each character is one byte of the key (Latin-1), so that prefixes are cut at bytes. A waiter
on `kv:` or `kv-prefix:` is also woken by the recursive delete of a prefix that covers it or lies under it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

EVERYTHING = "*"
NODES = "nodes"
SERVICES = "services"
CHECKS = "checks"
SESSIONS = "sessions"
COORDINATES = "coordinates"
QUERIES = "queries"
CONFIG = "config"
INTENTIONS = "intentions"
CA_ROOTS = "ca-roots"
CA_CONFIG = "ca-config"
AUTOPILOT = "autopilot"
ACL_TOKENS = "acl-tokens"
ACL_POLICIES = "acl-policies"
ACL_ROLES = "acl-roles"
ACL_BINDING_RULES = "acl-binding-rules"
ACL_AUTH_METHODS = "acl-auth-methods"

KV_KEY = "kv:"
KV_PREFIX = "kv-prefix:"


def key_text(key: bytes) -> str:
    """A KV key as text, one character per byte."""
    return key.decode("latin-1")


def key_bytes(text: str) -> bytes:
    return text.encode("latin-1")


def kv(key: bytes) -> str:
    return KV_KEY + key_text(key)


def kv_prefix(prefix: bytes) -> str:
    return KV_PREFIX + key_text(prefix)


def node(name: str) -> str:
    return "node:" + name.lower()


def service(name: str) -> str:
    """Instances of the name, their nodes and their checks."""
    return "service:" + name.lower()


def connect(name: str) -> str:
    """Connect-capable instances for the name, their nodes and their checks."""
    return "connect:" + name.lower()


def service_checks(name: str) -> str:
    """Checks that belong to the service name."""
    return "checks:" + name.lower()


def node_checks(name: str) -> str:
    """Checks on the node."""
    return "health-node:" + name.lower()


def state(status: str) -> str:
    """Checks in the state."""
    return "state:" + status.lower()


def session(session_id: str) -> str:
    return "session:" + session_id.lower()


def sessions_of_node(name: str) -> str:
    return "session-node:" + name.lower()


Waiter = TypeVar("Waiter", bound=Hashable)


class Waiters(Generic[Waiter]):
    """Who waits on which topics; finds whom a set of changed topics wakes, at a cost of the changes, not the waiters.

    A recursive delete looks at every KV topic waited on; everything else is a few dictionary look-ups.
    """

    def __init__(self) -> None:
        self._exact: dict[str, set[Waiter]] = {}
        self._prefix_lengths: dict[int, int] = {}
        self._topics: dict[Waiter, tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._topics)

    def add(self, waiter: Waiter, topics: Iterable[str]) -> None:
        """Waits on the topics until removed. A waiter is added once."""
        assert waiter not in self._topics, "this waiter already waits"
        chosen = self._topics[waiter] = tuple(dict.fromkeys(topics))
        for topic in chosen:
            waiting = self._exact.get(topic)
            if waiting is None:
                waiting = self._exact[topic] = set()
                if topic.startswith(KV_PREFIX):
                    length = len(topic) - len(KV_PREFIX)
                    self._prefix_lengths[length] = self._prefix_lengths.get(length, 0) + 1
            waiting.add(waiter)

    def remove(self, waiter: Waiter) -> None:
        """Waits no more; unknown waiters are ignored (they were already woken and removed)."""
        for topic in self._topics.pop(waiter, ()):
            waiting = self._exact[topic]
            waiting.discard(waiter)
            if not waiting:
                del self._exact[topic]
                if topic.startswith(KV_PREFIX):
                    length = len(topic) - len(KV_PREFIX)
                    self._prefix_lengths[length] -= 1
                    if not self._prefix_lengths[length]:
                        del self._prefix_lengths[length]

    def woken(self, changed: Iterable[str]) -> set[Waiter]:
        """Whom these changes wake; they stay added."""
        found: set[Waiter] = set()
        for topic in changed:
            if topic == EVERYTHING:
                return set(self._topics)
            waiting = self._exact.get(topic)
            if waiting is not None:
                found |= waiting
            if topic.startswith(KV_KEY):
                self._wake_prefixes(topic[len(KV_KEY) :], found)
            elif topic.startswith(KV_PREFIX):
                self._wake_under(topic[len(KV_PREFIX) :], found)
        return found

    def _wake_prefixes(self, key: str, found: set[Waiter]) -> None:
        for length in self._prefix_lengths:
            if length <= len(key):
                waiting = self._exact.get(KV_PREFIX + key[:length])
                if waiting is not None:
                    found |= waiting

    def _wake_under(self, prefix: str, found: set[Waiter]) -> None:
        for topic, waiting in self._exact.items():
            if topic.startswith(KV_KEY):
                if topic.startswith(prefix, len(KV_KEY)):
                    found |= waiting
            elif topic.startswith(KV_PREFIX):
                watched = topic[len(KV_PREFIX) :]
                if watched.startswith(prefix) or prefix.startswith(watched):
                    found |= waiting
