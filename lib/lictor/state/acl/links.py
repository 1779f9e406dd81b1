"""What tokens and roles are made of: links to policies and roles, service identities."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lictor.state.gotext import quote
from lictor.state.queries import acl
from lictor.state.rows import Link, ServiceIdentity
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused

SERVICE_IDENTITY_NAME_MAX = 256
_SERVICE_IDENTITY_NAME = re.compile(r"[a-z0-9]([a-z0-9\-_]*[a-z0-9])?")

Fields = Mapping[str, Any]
"""A decoded JSON object."""


def policy_links(txn: ReadTxn, given: Iterable[Fields], check_ids: bool = True) -> list[Link]:
    """Links by ID, from links by ID or name, each once. Errors: Refused.

    Without `check_ids`, IDs are left for the state machine to look up.
    """
    return _links(txn, given, "policy", check_ids)


def role_links(txn: ReadTxn, given: Iterable[Fields]) -> list[Link]:
    """The same for roles."""
    return _links(txn, given, "role", True)


def _links(txn: ReadTxn, given: Iterable[Fields], kind: str, check_ids: bool) -> list[Link]:
    found: dict[str, Link] = {}
    for link in given:
        link_id = link.get("ID", "")
        if not link_id:
            link_id = _id_of(txn, link.get("Name", ""), kind)
        elif check_ids:
            _check_id(txn, link_id, kind)
        found.setdefault(link_id, Link(link_id, ""))
    return list(found.values())


def _id_of(txn: ReadTxn, name: str, kind: str) -> str:
    row = acl.policy_by_name(txn, name).value if kind == "policy" else acl.role_by_name(txn, name).value
    if row is None:
        raise Refused(f"No such ACL {kind} with name {quote(name)}")
    return row.id


def _check_id(txn: ReadTxn, link_id: str, kind: str) -> None:
    if problem := check_uuid(link_id):
        raise Refused(f"Error looking up {kind} for id {quote(link_id)}: failed acl {kind} lookup: {problem}")
    row = acl.policy(txn, link_id).value if kind == "policy" else acl.role(txn, link_id).value
    if row is None:
        raise Refused(f"No such ACL {kind} with ID {quote(link_id)}")


def is_service_identity_name(name: str) -> bool:
    """Narrower than the names that the catalog takes."""
    return len(name) <= SERVICE_IDENTITY_NAME_MAX and _SERVICE_IDENTITY_NAME.fullmatch(name) is not None


def service_identities(given: Iterable[Fields], holder: str, local: bool = False) -> list[ServiceIdentity]:
    """Service identities of a `holder` ("token" or "role"), each name once. Errors: Refused."""
    wanted = []
    for identity in given:
        name, datacenters = identity.get("ServiceName", ""), identity.get("Datacenters")
        if not name:
            raise Refused(f"Service identity is missing the service name field on this {holder}")
        if local and datacenters:
            raise Refused(f"Service identity {quote(name)} cannot specify a list of datacenters on a local token")
        if not is_service_identity_name(name):
            raise Refused(
                f"Service identity {quote(name)} has an invalid name. "
                "Only alphanumeric characters, '-' and '_' are allowed"
            )
        wanted.append(ServiceIdentity(name, datacenters or None))
    return merged_identities(wanted)


def merged_identities(given: Sequence[ServiceIdentity]) -> list[ServiceIdentity]:
    """By name; of several with one name the widest scope, datacenters united."""
    if len(given) < 2:
        return list(given)
    merged: dict[str, ServiceIdentity] = {}
    for identity in sorted(given, key=lambda one: one.service_name):
        known = merged.get(identity.service_name)
        if known is None:
            merged[identity.service_name] = identity
        elif known.datacenters and identity.datacenters:
            united = sorted({*known.datacenters, *identity.datacenters})
            merged[identity.service_name] = ServiceIdentity(identity.service_name, united)
        else:
            merged[identity.service_name] = ServiceIdentity(identity.service_name)
    return list(merged.values())
