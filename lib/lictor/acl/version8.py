"""`acl_enforce_version_8 = false`: nodes, their sessions and the servers themselves are not guarded (deprecated)."""

from __future__ import annotations

from typing import Any, cast

from lictor.acl.authorizer import Authorizer

CONSUL = "consul"


class _Unguarded:
    """Everything but nodes and sessions is asked of another authorizer."""

    __slots__ = ("inner",)

    def __init__(self, inner: Authorizer) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def node_read(self, name: str) -> bool:
        return True

    def node_write(self, name: str) -> bool:
        return True

    def service_read(self, name: str) -> bool:
        return name == CONSUL or self.inner.service_read(name)

    def session_read(self, node: str) -> bool:
        return True

    def session_write(self, node: str) -> bool:
        return True


def unguarded(inner: Authorizer) -> Authorizer:
    """The same rights as agents had before Consul 0.8."""
    return cast(Authorizer, _Unguarded(inner))
