"""Legacy tokens: a secret with rules of its own (Consul 1.7: acl_endpoint_legacy.go)."""

from __future__ import annotations

from lictor.acl.errors import RulesError
from lictor.acl.rules import LEGACY, parse
from lictor.state.acl.links import Fields
from lictor.state.acl.tokens import ROOT_NAMES, hashed
from lictor.state.machine.acl import MANAGEMENT_POLICY_ID
from lictor.state.queries import acl
from lictor.state.rows import ACLToken, Link
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

CLIENT, MANAGEMENT = "client", "management"
NOT_LEGACY = "Cannot use legacy endpoint to modify a non-legacy token"


def prepared(txn: ReadTxn, fields: Fields, accessor_id: str, secret_id: str) -> ACLToken:
    """The legacy token that these fields ask for; it replaces the legacy token of its secret. Errors: Refused.

    `accessor_id` and `secret_id` are unused UUIDs for what the fields do not name and no token has yet.
    """
    secret_id, kind, rules = fields.get("ID", "") or secret_id, fields.get("Type", CLIENT), fields.get("Rules", "")
    if kind not in (CLIENT, MANAGEMENT):
        raise Refused("Invalid ACL Type")
    existing = acl.token_by_secret(txn, secret_id).value
    if existing is not None and uses_new_fields(existing):
        raise Refused(NOT_LEGACY)
    if secret_id in ROOT_NAMES:
        raise Refused("Permission denied: Cannot modify root ACL", "denied")
    try:
        parse(rules, LEGACY)
    except RulesError as error:
        raise Refused(f"ACL rule compilation failed: {error}") from None
    return hashed(
        ACLToken(
            accessor_id=accessor_id if existing is None else existing.accessor_id,
            secret_id=secret_id,
            description=fields.get("Name", ""),
            policies=[Link(MANAGEMENT_POLICY_ID, "")] if kind == MANAGEMENT else [],
            type=kind,
            rules=rules,
            create_time_ns=0 if existing is None else existing.create_time_ns,
        )
    )


def uses_new_fields(row: ACLToken) -> bool:
    """Whether the legacy endpoints must leave it alone."""
    return bool(
        row.policies
        or row.service_identities
        or row.roles
        or not row.type
        or row.expiration_time_ns is not None
        or row.auth_method
    )


def to_delete(txn: ReadTxn, secret_id: str) -> ACLToken | None:
    """The token of this secret, None when there is none. Errors: Refused."""
    if secret_id == "anonymous":
        raise Refused("Permission denied: Cannot delete anonymous token", "denied")
    return acl.token_by_secret(txn, secret_id).value
