"""Questions to an authorizer by words: resource, name, level (Consul 1.7: acl.Enforce)."""

from __future__ import annotations

from collections.abc import Callable

from lictor.acl.authorizer import Authorizer
from lictor.state.gotext import quote


class UnknownQuestion(ValueError):
    """No such resource, or none with such a level; the text is Consul's."""


_Answer = Callable[[Authorizer, str], bool]
_QUESTIONS: dict[str, dict[str, _Answer]] = {
    "acl": {"read": lambda may, _: may.acl_read(), "write": lambda may, _: may.acl_write()},
    "agent": {"read": lambda may, name: may.agent_read(name), "write": lambda may, name: may.agent_write(name)},
    "event": {"read": lambda may, name: may.event_read(name), "write": lambda may, name: may.event_write(name)},
    "intention": {
        "read": lambda may, name: may.intention_read(name),
        "write": lambda may, name: may.intention_write(name),
    },
    "key": {
        "read": lambda may, key: may.key_read(key),
        "list": lambda may, prefix: may.key_list(prefix),
        "write": lambda may, key: may.key_write(key),
        "write-prefix": lambda may, prefix: may.key_write_prefix(prefix),
    },
    "keyring": {"read": lambda may, _: may.keyring_read(), "write": lambda may, _: may.keyring_write()},
    "node": {"read": lambda may, name: may.node_read(name), "write": lambda may, name: may.node_write(name)},
    "operator": {"read": lambda may, _: may.operator_read(), "write": lambda may, _: may.operator_write()},
    "query": {"read": lambda may, name: may.query_read(name), "write": lambda may, name: may.query_write(name)},
    "service": {"read": lambda may, name: may.service_read(name), "write": lambda may, name: may.service_write(name)},
    "session": {"read": lambda may, node: may.session_read(node), "write": lambda may, node: may.session_write(node)},
}


def answer(authorizer: Authorizer, resource: str, name: str, access: str) -> bool:
    """Whether the authorizer allows it; the level in any case. Errors: UnknownQuestion."""
    levels = _QUESTIONS.get(resource)
    if levels is None:
        raise UnknownQuestion(f"Invalid ACL resource requested: {quote(resource)}")
    ask = levels.get(access.lower())
    if ask is None:
        raise UnknownQuestion(f"Invalid access level for {resource} resource: {access}")
    return ask(authorizer, name)
