"""Policies: what may be created, changed and deleted (Consul 1.7: acl_endpoint.go, PolicySet)."""

from __future__ import annotations

import re

from msgspec.structs import replace

from lictor.acl import hashes
from lictor.acl.errors import RulesError
from lictor.acl.rules import CURRENT, parse
from lictor.state.acl.links import Fields
from lictor.state.gotext import quote
from lictor.state.machine.acl import MANAGEMENT_POLICY_ID
from lictor.state.queries import acl
from lictor.state.rows import ACLPolicy
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid, is_uuid
from lictor.state.writer import Refused

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,128}")


def prepared(txn: ReadTxn, fields: Fields, fresh_id: str) -> ACLPolicy:
    """The policy that these fields ask for: a new one unless they name an ID. Errors: Refused."""
    name, policy_id = fields.get("Name", ""), fields.get("ID", "")
    if not name:
        raise Refused("Invalid Policy: no Name is set")
    if _NAME.fullmatch(name) is None:
        raise Refused("Invalid Policy: invalid Name. Only alphanumeric characters, '-' and '_' are allowed")
    if policy_id and not is_uuid(policy_id):
        raise Refused("Policy ID invalid UUID")
    row = ACLPolicy(
        id=policy_id or fresh_id,
        name=name,
        description=fields.get("Description", ""),
        rules=fields.get("Rules", ""),
        datacenters=fields.get("Datacenters"),
        syntax=CURRENT,
    )
    holder = acl.policy_by_name(txn, name).value
    if not policy_id:
        if holder is not None:
            raise Refused(f"Invalid Policy: A Policy with Name {quote(name)} already exists")
    else:
        existing = acl.policy(txn, policy_id).value
        if existing is None:
            raise Refused(f"cannot find policy {policy_id}")
        if existing.name != name and holder is not None:
            raise Refused(f"Invalid Policy: A policy with name {quote(name)} already exists")
        if policy_id == MANAGEMENT_POLICY_ID:
            _check_builtin(row, existing, "Datacenters" in fields)
    try:
        parse(row.rules, CURRENT)
    except RulesError as error:
        raise Refused(str(error)) from None
    return replace(row, hash=hashes.policy_hash(row))


def _check_builtin(row: ACLPolicy, existing: ACLPolicy, datacenters_given: bool) -> None:
    if datacenters_given:
        raise Refused("Changing the Datacenters of the builtin global-management policy is not permitted")
    if row.rules != existing.rules:
        raise Refused("Changing the Rules for the builtin global-management policy is not permitted")


def to_delete(txn: ReadTxn, policy_id: str) -> ACLPolicy | None:
    """The policy of this ID, None when there is none. Errors: Refused."""
    if problem := check_uuid(policy_id):
        raise Refused(f"failed acl policy lookup: {problem}")
    row = acl.policy(txn, policy_id).value
    if row is not None and row.id == MANAGEMENT_POLICY_ID:
        raise Refused("Delete operation not permitted on the builtin global-management policy")
    return row
