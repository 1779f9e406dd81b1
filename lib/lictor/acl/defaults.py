"""The built-in sets of rights: what holds where no rule speaks."""

from __future__ import annotations


class Fixed:
    """One answer for everything, but for access control itself and snapshots, which have their own."""

    __slots__ = ("_allow", "_manage", "allows_all")

    def __init__(self, allow: bool, manage: bool) -> None:
        self._allow = allow
        self._manage = manage
        self.allows_all = allow and manage

    def acl_read(self) -> bool:
        return self._manage

    def acl_write(self) -> bool:
        return self._manage

    def agent_read(self, node: str) -> bool:
        return self._allow

    def agent_write(self, node: str) -> bool:
        return self._allow

    def event_read(self, name: str) -> bool:
        return self._allow

    def event_write(self, name: str) -> bool:
        return self._allow

    def intention_default_allow(self) -> bool:
        return self._allow

    def intention_read(self, name: str) -> bool:
        return self._allow

    def intention_write(self, name: str) -> bool:
        return self._allow

    def key_list(self, prefix: str) -> bool:
        return self._allow

    def key_read(self, key: str) -> bool:
        return self._allow

    def key_write(self, key: str) -> bool:
        return self._allow

    def key_write_prefix(self, prefix: str) -> bool:
        return self._allow

    def keyring_read(self) -> bool:
        return self._allow

    def keyring_write(self) -> bool:
        return self._allow

    def node_read(self, name: str) -> bool:
        return self._allow

    def node_write(self, name: str) -> bool:
        return self._allow

    def operator_read(self) -> bool:
        return self._allow

    def operator_write(self) -> bool:
        return self._allow

    def query_read(self, prefix: str) -> bool:
        return self._allow

    def query_write(self, prefix: str) -> bool:
        return self._allow

    def service_read(self, name: str) -> bool:
        return self._allow

    def service_write(self, name: str) -> bool:
        return self._allow

    def session_read(self, node: str) -> bool:
        return self._allow

    def session_write(self, node: str) -> bool:
        return self._allow

    def snapshot(self) -> bool:
        return self._manage


ALLOW = Fixed(allow=True, manage=False)
"""Everything but access control itself and snapshots."""
DENY = Fixed(allow=False, manage=False)
MANAGE = Fixed(allow=True, manage=True)
ROOTS: dict[str, Fixed] = {"allow": ALLOW, "deny": DENY, "manage": MANAGE}
"""By the names that policies in the configuration have, and that no token may have."""
