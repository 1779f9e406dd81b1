"""What a request may do: one question per kind of access, asked by every query and every proposal.

The names are those of Consul's rule language (`key`, `node`, `service`, …). An answer is final: default policy and
rule precedence are the authorizer's business.
"""

from __future__ import annotations

from typing import Protocol


class Authorizer(Protocol):
    def acl_read(self) -> bool: ...
    def acl_write(self) -> bool: ...
    def agent_read(self, node: str) -> bool: ...
    def agent_write(self, node: str) -> bool: ...
    def event_read(self, name: str) -> bool: ...
    def event_write(self, name: str) -> bool: ...
    def intention_default_allow(self) -> bool: ...
    def intention_read(self, name: str) -> bool: ...
    def intention_write(self, name: str) -> bool: ...
    def key_list(self, prefix: str) -> bool: ...
    def key_read(self, key: str) -> bool: ...
    def key_write(self, key: str) -> bool: ...
    def key_write_prefix(self, prefix: str) -> bool: ...
    def keyring_read(self) -> bool: ...
    def keyring_write(self) -> bool: ...
    def node_read(self, name: str) -> bool: ...
    def node_write(self, name: str) -> bool: ...
    def operator_read(self) -> bool: ...
    def operator_write(self) -> bool: ...
    def query_read(self, prefix: str) -> bool: ...
    def query_write(self, prefix: str) -> bool: ...
    def service_read(self, name: str) -> bool: ...
    def service_write(self, name: str) -> bool: ...
    def session_read(self, node: str) -> bool: ...
    def session_write(self, node: str) -> bool: ...
    def snapshot(self) -> bool: ...

    @property
    def allows_all(self) -> bool:
        """True when every answer is yes, so that filters can be skipped."""
        ...


class AllowAll:
    """Access control off: everything is allowed."""

    allows_all = True

    def acl_read(self) -> bool:
        return True

    def acl_write(self) -> bool:
        return True

    def agent_read(self, node: str) -> bool:
        return True

    def agent_write(self, node: str) -> bool:
        return True

    def event_read(self, name: str) -> bool:
        return True

    def event_write(self, name: str) -> bool:
        return True

    def intention_default_allow(self) -> bool:
        return True

    def intention_read(self, name: str) -> bool:
        return True

    def intention_write(self, name: str) -> bool:
        return True

    def key_list(self, prefix: str) -> bool:
        return True

    def key_read(self, key: str) -> bool:
        return True

    def key_write(self, key: str) -> bool:
        return True

    def key_write_prefix(self, prefix: str) -> bool:
        return True

    def keyring_read(self) -> bool:
        return True

    def keyring_write(self) -> bool:
        return True

    def node_read(self, name: str) -> bool:
        return True

    def node_write(self, name: str) -> bool:
        return True

    def operator_read(self) -> bool:
        return True

    def operator_write(self) -> bool:
        return True

    def query_read(self, prefix: str) -> bool:
        return True

    def query_write(self, prefix: str) -> bool:
        return True

    def service_read(self, name: str) -> bool:
        return True

    def service_write(self, name: str) -> bool:
        return True

    def session_read(self, node: str) -> bool:
        return True

    def session_write(self, node: str) -> bool:
        return True

    def snapshot(self) -> bool:
        return True


ALLOW_ALL = AllowAll()


def enforced(authorizer: Authorizer) -> bool:
    """Whether access control is on. A token that may do everything is not the same: some refusals are for all."""
    return authorizer is not ALLOW_ALL


def by_rules(authorizer: Authorizer) -> Authorizer:
    """The rights by the rules alone, without what `acl_enforce_version_8 = false` adds: transactions ask for those."""
    inner: Authorizer = getattr(authorizer, "inner", authorizer)
    return inner
