"""The records that every cluster with access control has."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.acl.hashes import policy_hash, token_hash
from lictor.state.machine.acl import ANONYMOUS_ACCESSOR_ID, MANAGEMENT_POLICY_ID, MANAGEMENT_RULES
from lictor.state.rows import ACLPolicy, ACLToken, Link

__all__ = [
    "ANONYMOUS_ACCESSOR_ID",
    "ANONYMOUS_SECRET",
    "MANAGEMENT_POLICY_ID",
    "MANAGEMENT_RULES",
    "RESERVED_PREFIX",
    "anonymous_token",
    "management_policy",
    "management_token",
]

ANONYMOUS_SECRET = "anonymous"
RESERVED_PREFIX = "00000000-0000-0000-0000-0000000000"
"""No record made by a user may have an ID that begins so."""


def management_policy() -> ACLPolicy:
    """The policy that grants everything, as it is first made; its name and description may be changed later."""
    policy = ACLPolicy(
        MANAGEMENT_POLICY_ID,
        "global-management",
        "Builtin Policy that grants unlimited access",
        MANAGEMENT_RULES,
    )
    return replace(policy, hash=policy_hash(policy))


def anonymous_token(created_ns: int) -> ACLToken:
    """The token that requests without a token have, as it is first made: without rights of its own."""
    token = ACLToken(ANONYMOUS_ACCESSOR_ID, ANONYMOUS_SECRET, "Anonymous Token", create_time_ns=created_ns)
    return _hashed(token)


def management_token(accessor_id: str, secret_id: str, description: str, created_ns: int) -> ACLToken:
    """A token that grants everything, as those that a cluster begins with do."""
    token = ACLToken(
        accessor_id,
        secret_id,
        description,
        policies=[Link(MANAGEMENT_POLICY_ID, "global-management")],
        type="management",
        create_time_ns=created_ns,
    )
    return _hashed(token)


def _hashed(token: ACLToken) -> ACLToken:
    return replace(token, hash=token_hash(token))
