"""Roles: what may be created, changed and deleted (Consul 1.7: acl_endpoint.go, RoleSet)."""

from __future__ import annotations

import re

from msgspec.structs import replace

from lictor.acl import hashes
from lictor.state.acl.links import Fields, policy_links, service_identities
from lictor.state.gotext import quote
from lictor.state.queries import acl
from lictor.state.rows import ACLRole
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid, is_uuid
from lictor.state.writer import Refused

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")


def is_role_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def prepared(txn: ReadTxn, fields: Fields, fresh_id: str) -> ACLRole:
    """The role that these fields ask for: a new one unless they name an ID. Errors: Refused."""
    name, role_id = fields.get("Name", ""), fields.get("ID", "")
    if not name:
        raise Refused("Invalid Role: no Name is set")
    if not is_role_name(name):
        raise Refused("Invalid Role: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
    if not role_id:
        if acl.role_by_name(txn, name).value is not None:
            raise Refused(f"Invalid Role: A Role with Name {quote(name)} already exists")
    else:
        if not is_uuid(role_id):
            raise Refused("Role ID invalid UUID")
        existing = acl.role(txn, role_id).value
        if existing is None:
            raise Refused(f"cannot find role {role_id}")
        if existing.name != name and acl.role_by_name(txn, name).value is not None:
            raise Refused(f"Invalid Role: A role with name {quote(name)} already exists")
    row = ACLRole(
        id=role_id or fresh_id,
        name=name,
        description=fields.get("Description", ""),
        policies=policy_links(txn, fields.get("Policies", ()), check_ids=False),
        service_identities=service_identities(fields.get("ServiceIdentities", ()), "role"),
    )
    return replace(row, hash=hashes.role_hash(row))


def to_delete(txn: ReadTxn, role_id: str) -> ACLRole | None:
    """The role of this ID, None when there is none. Errors: Refused."""
    if problem := check_uuid(role_id):
        raise Refused(f"failed acl role lookup: {problem}")
    return acl.role(txn, role_id).value
