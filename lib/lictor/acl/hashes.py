"""Content hashes of tokens, policies and roles (BLAKE2b, 256 bits): replication compares them.

What never changes, such as IDs, and indexes take no part.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from lictor.state.rows import ACLPolicy, ACLRole, ACLToken, Link, ServiceIdentity

DIGEST_BYTES = 32


def token_hash(token: ACLToken) -> bytes:
    """The hash of what can be set of a token."""
    scope = "local" if token.local else "global"
    links = [*_ids(token.policies), *_ids(token.roles)]
    return _hash([token.description, token.type, token.rules, scope, *links, *_names(token.service_identities)])


def policy_hash(policy: ACLPolicy) -> bytes:
    """The hash of what can be set of a policy."""
    return _hash([policy.name, policy.description, policy.rules, *(policy.datacenters or ())])


def role_hash(role: ACLRole) -> bytes:
    """The hash of what can be set of a role."""
    return _hash([role.name, role.description, *_ids(role.policies), *_names(role.service_identities)])


def _ids(links: Iterable[Link]) -> list[str]:
    return [link.id for link in links]


def _names(identities: Iterable[ServiceIdentity]) -> list[str]:
    return [part for one in identities for part in (one.service_name, *(one.datacenters or ()))]


def _hash(parts: Iterable[str]) -> bytes:
    found = blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        found.update(part.encode("utf-8", "surrogateescape"))
    return found.digest()
