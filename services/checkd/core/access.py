"""Access control of changes: the core says which rights a change needs, whoever knows the tokens says whether it has
them (Consul 1.7: acl.go, the vet functions).

A change that needs a right which was not granted is refused with what it needs and changes nothing; asked again with
those granted it goes on from the start. What it needs is found out anew each time, so nothing slips in between.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from checkd.core.definitions import CheckDefinition, ServiceDefinition
from checkd.core.errors import LocalStateError
from checkd.core.local_state import LocalState
from lictor.service_faults import CONNECT_PROXY
from lictor.state.gotext import quote as go_quote


class Right(NamedTuple):
    """To write the services of a name, or the node when the name is empty; with another token than the change's own
    when one is given."""

    service: str
    token: str = ""


class RightsNeeded(LocalStateError):
    """The change needs rights that were not granted (yet)."""

    status = 403

    def __init__(self, rights: Collection[Right]) -> None:
        super().__init__("Permission denied")
        self.rights = rights


class Access:
    """What the token of one change may do. Only made while access control is on."""

    __slots__ = ("_everything", "_granted", "_unknown")

    def __init__(self, granted: Collection[Right] = (), everything: bool = False, unknown: str = "") -> None:
        self._granted = frozenset(granted)
        self._everything = everything
        self._unknown = unknown

    def resolve(self) -> None:
        """Where the token is looked up. Errors: LocalStateError when it is none."""
        if self._unknown:
            raise LocalStateError(self._unknown, 403)

    def require(self, *rights: Right) -> None:
        """Errors: RightsNeeded."""
        needed = [
            right for right in rights if right not in self._granted and not (self._everything and not right.token)
        ]
        if needed:
            raise RightsNeeded(needed)


def require_service(access: Access, state: LocalState, definition: ServiceDefinition, token: str = "") -> None:
    """The rights to a service to be registered, to the one that it replaces, and to the one whose traffic it takes."""
    names = [definition.name]
    replaced = state.service(definition.service_id or definition.name)
    if replaced is not None:
        names.append(replaced.service.name)
    if definition.kind == CONNECT_PROXY:
        names.append((definition.proxy or {}).get("DestinationServiceName", ""))
    access.require(*(Right(name, token) for name in names))


def require_check(access: Access, state: LocalState, definition: CheckDefinition) -> None:
    """The rights to a check to be registered: to its service, else the node, and to the check that it replaces."""
    owner = state.service(definition.service_id) if definition.service_id else None
    rights = [Right(owner.service.name if owner is not None else "")]
    replaced = state.check(definition.check_id or definition.name)
    if replaced is not None:
        rights.append(Right(replaced.check.service_name))
    access.require(*rights)


def require_registered_service(access: Access, state: LocalState, service_id: str) -> None:
    """The right to a service that must be there. Errors: RightsNeeded, LocalStateError."""
    access.resolve()
    entry = state.service(service_id)
    if entry is None:
        raise LocalStateError(f"Unknown service {{{go_quote(service_id)} {{}}}}")
    access.require(Right(entry.service.name))


def require_registered_check(access: Access, state: LocalState, check_id: str) -> None:
    """The right to a check that must be there: to its service, else the node. Errors: RightsNeeded, LocalStateError."""
    access.resolve()
    entry = state.check(check_id)
    if entry is None:
        raise LocalStateError(f"Unknown check {go_quote(check_id)}")
    access.require(Right(entry.check.service_name))
