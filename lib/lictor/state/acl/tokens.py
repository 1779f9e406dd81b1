"""Tokens: what may be created, changed, cloned and deleted (Consul 1.7: acl_endpoint.go, tokenSetInternal)."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from lictor.acl import hashes
from lictor.state.acl.links import Fields, policy_links, role_links, service_identities
from lictor.state.gotext import format_duration, quote
from lictor.state.machine.acl import ANONYMOUS_ACCESSOR_ID
from lictor.state.queries import acl
from lictor.state.rows import ACLToken
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid, is_uuid
from lictor.state.writer import Refused

RESERVED_PREFIX = "00000000-0000-0000-0000-0000000000"
LIFETIME_MIN_NS = 60 * 10**9
LIFETIME_MAX_NS = 24 * 3600 * 10**9
ROOT_NAMES = frozenset(("allow", "deny", "manage"))
"""Secrets that would name a built-in authorizer."""
NOT_FOUND = "ACL not found"
LOCAL_DISABLED = "Local tokens are disabled"


class Fresh(NamedTuple):
    """What a new token needs that only its proposer can give: two unused UUIDs and the time."""

    accessor_id: str
    secret_id: str
    now_ns: int


def is_expired(token: ACLToken, now_ns: int) -> bool:
    return token.expiration_time_ns is not None and token.expiration_time_ns < now_ns


def is_unused(txn: ReadTxn, candidate: str) -> bool:
    """Whether a UUID names no token, neither as accessor nor as secret."""
    return acl.token(txn, candidate).value is None and acl.token_by_secret(txn, candidate).value is None


def created(txn: ReadTxn, fields: Fields, fresh: Fresh) -> ACLToken:
    """The new token that these fields ask for. Errors: Refused."""
    accessor_id = fields.get("AccessorID", "")
    if accessor_id and (problem := check_uuid(accessor_id)):
        raise Refused(f"Failed acl token lookup by accessor: failed acl token lookup: {problem}")
    secret_id = fields.get("SecretID", "")
    if accessor_id:
        _check_own_id(txn, accessor_id, "AccessorID")
    if secret_id:
        _check_own_id(txn, secret_id, "SecretID")
    if fields.get("AuthMethod"):
        raise Refused("AuthMethod field is disallowed outside of Login")
    row = ACLToken(
        accessor_id=accessor_id or fresh.accessor_id,
        secret_id=secret_id or fresh.secret_id,
        local=fields.get("Local", False),
        expiration_time_ns=_expiration(fields, fresh.now_ns),
        create_time_ns=fresh.now_ns,
    )
    return _filled(txn, row, fields)


def _check_own_id(txn: ReadTxn, given: str, field: str) -> None:
    if not is_uuid(given):
        raise Refused(f"Invalid Token: {field} is not a valid UUID")
    if not is_unused(txn, given):
        raise Refused(f"Invalid Token: {field} is already in use")
    if given.startswith(RESERVED_PREFIX):
        raise Refused(f"Invalid Token: UUIDs with the prefix {quote(RESERVED_PREFIX)} are reserved")


def _expiration(fields: Fields, now_ns: int) -> int | None:
    expiration_ns: int | None = fields.get("ExpirationTime")
    if lifetime_ns := fields.get("ExpirationTTL", 0):
        if lifetime_ns < 0:
            raise Refused(f"Token Expiration TTL '{format_duration(lifetime_ns)}' should be > 0")
        if expiration_ns is not None:
            raise Refused("Token Expiration TTL and Expiration Time cannot both be set")
        expiration_ns = now_ns + lifetime_ns
    if expiration_ns is not None:
        check_expiration(expiration_ns, now_ns)
    return expiration_ns


def check_expiration(expiration_ns: int, now_ns: int) -> None:
    """Errors: Refused."""
    if expiration_ns < now_ns:
        raise Refused("ExpirationTime cannot be before CreateTime")
    lifetime_ns = expiration_ns - now_ns
    for bound, limit_ns, beyond in (
        ("more", LIFETIME_MAX_NS, lifetime_ns > LIFETIME_MAX_NS),
        ("less", LIFETIME_MIN_NS, lifetime_ns < LIFETIME_MIN_NS),
    ):
        if beyond:
            raise Refused(
                f"ExpirationTime cannot be {bound} than {format_duration(limit_ns)} in the future "
                f"(was {format_duration(lifetime_ns)})"
            )


def updated(txn: ReadTxn, fields: Fields, now_ns: int) -> ACLToken:
    """The token named by AccessorID, with these fields instead of its own. Errors: Refused."""
    accessor_id = fields["AccessorID"]
    if problem := check_uuid(accessor_id):
        raise Refused(f"Failed acl token lookup by accessor: failed acl token lookup: {problem}")
    if not is_uuid(accessor_id):
        raise Refused("AccessorID is not a valid UUID")
    secret_id = fields.get("SecretID", "")
    if secret_id in ROOT_NAMES:
        raise Refused("Permission denied: Cannot modify root ACL", "denied")
    existing = acl.token(txn, accessor_id).value
    if existing is None or is_expired(existing, now_ns):
        raise Refused(f"Cannot find token {quote(accessor_id)}")
    if secret_id not in ("", existing.secret_id):
        raise Refused("Changing a tokens SecretID is not permitted")
    if fields.get("Local", False) != existing.local:
        raise Refused(f"cannot toggle local mode of {accessor_id}")
    if fields.get("AuthMethod", "") not in ("", existing.auth_method):
        raise Refused(f"Cannot change AuthMethod of {accessor_id}")
    if fields.get("ExpirationTTL") or fields.get("ExpirationTime") not in (None, existing.expiration_time_ns):
        raise Refused(f"Cannot change expiration time of {accessor_id}")
    return _filled(txn, replace(existing, accessor_id=accessor_id), fields)


def _filled(txn: ReadTxn, row: ACLToken, fields: Fields) -> ACLToken:
    """The row with everything that an update may change."""
    policies = policy_links(txn, fields.get("Policies", ()))
    roles = role_links(txn, fields.get("Roles", ()))
    identities = service_identities(fields.get("ServiceIdentities", ()), "token", row.local)
    if fields.get("Rules"):
        raise Refused("Rules cannot be specified for this token")
    return hashed(
        replace(
            row,
            description=fields.get("Description", ""),
            policies=policies,
            roles=roles,
            service_identities=identities,
            type="",
            rules="",
        )
    )


def hashed(row: ACLToken) -> ACLToken:
    """The token with the hash of its contents."""
    return replace(row, hash=hashes.token_hash(row))


def to_clone(txn: ReadTxn, accessor_id: str, now_ns: int) -> ACLToken:
    """The token that is to be cloned. Errors: Refused."""
    if problem := check_uuid(accessor_id):
        raise Refused(f"failed acl token lookup: {problem}")
    row = acl.token(txn, accessor_id).value
    if row is None or is_expired(row, now_ns):
        raise Refused(NOT_FOUND, "denied")
    return row


def cloned(row: ACLToken, description: str, fresh: Fresh) -> ACLToken:
    """A new token with the same rights as far as a clone takes them over (roles are not). Errors: Refused."""
    if row.auth_method:
        raise Refused("Cannot clone a token created from an auth method")
    if row.rules:
        raise Refused("Cannot clone a legacy ACL with this endpoint")
    if row.expiration_time_ns is not None:
        check_expiration(row.expiration_time_ns, fresh.now_ns)
    return hashed(
        ACLToken(
            accessor_id=fresh.accessor_id,
            secret_id=fresh.secret_id,
            description=description or row.description,
            policies=row.policies,
            service_identities=row.service_identities,
            local=row.local,
            expiration_time_ns=row.expiration_time_ns,
            create_time_ns=fresh.now_ns,
        )
    )


def check_deletion(accessor_id: str) -> None:
    """Errors: Refused."""
    if not is_uuid(accessor_id):
        raise Refused("Accessor ID is missing or an invalid UUID")
    if accessor_id == ANONYMOUS_ACCESSOR_ID:
        raise Refused("Delete operation not permitted on the anonymous token")
