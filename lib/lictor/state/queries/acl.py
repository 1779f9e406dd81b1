"""Access control records. Lists are by table index; links to deleted policies and roles are dropped when read."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.machine.acl import BOOTSTRAP_INDEX
from lictor.state.queries.read import QueryError, Read, max_index
from lictor.state.rows import (
    ACLAuthMethod,
    ACLBindingRule,
    ACLPolicy,
    ACLRole,
    ACLToken,
    Link,
    decode_auth_method,
    decode_binding_rule,
    decode_policy,
    decode_role,
    decode_token,
)
from lictor.state.store import ReadTxn
from lictor.state.writer import read_index

_TOKENS = (topics.ACL_TOKENS, topics.ACL_POLICIES, topics.ACL_ROLES)


def _with_live_links(txn: ReadTxn, token: ACLToken) -> ACLToken:
    return replace(token, policies=_policies(txn, token.policies), roles=_roles(txn, token.roles))


def _policies(txn: ReadTxn, links: list[Link]) -> list[Link]:
    found = []
    for link in links:
        raw = txn.get(keys.policy(link.id))
        if raw is not None:
            found.append(Link(link.id, decode_policy(raw).name))
    return found


def _roles(txn: ReadTxn, links: list[Link]) -> list[Link]:
    found = []
    for link in links:
        raw = txn.get(keys.role(link.id))
        if raw is not None:
            found.append(Link(link.id, decode_role(raw).name))
    return found


def tokens(txn: ReadTxn, policy: str = "", role: str = "", auth_method: str = "") -> Read[list[ACLToken]]:
    """By their secrets; those of a policy, a role or an auth method (one of the three; IDs and name as stored).

    Errors: QueryError. A link to what is deleted still counts until the token is changed.
    """
    if sum(map(bool, (policy, role, auth_method))) > 1:
        raise QueryError("can only filter by one of policy, role, or methodName at a time")
    rows = (decode_token(raw) for _, raw in txn.scan(keys.token("")))
    if policy:
        rows = (row for row in rows if any(link.id == policy for link in row.policies))
    elif role:
        rows = (row for row in rows if any(link.id == role for link in row.roles))
    elif auth_method:
        rows = (row for row in rows if row.auth_method == auth_method)
    by_secret = sorted(rows, key=lambda row: row.secret_id)
    return Read([_with_live_links(txn, row) for row in by_secret], max_index(txn, "acl-tokens"), _TOKENS)


def token(txn: ReadTxn, accessor_id: str) -> Read[ACLToken | None]:
    raw = txn.get(keys.token(accessor_id))
    found = None if raw is None else _with_live_links(txn, decode_token(raw))
    return Read(found, max_index(txn, "acl-tokens"), _TOKENS)


def token_by_secret(txn: ReadTxn, secret_id: str) -> Read[ACLToken | None]:
    folded = txn.get(keys.token_by_secret(secret_id))
    raw = None if folded is None else txn.get(b"at" + folded)
    found = None if raw is None else _with_live_links(txn, decode_token(raw))
    return Read(found, max_index(txn, "acl-tokens"), _TOKENS)


def policies(txn: ReadTxn) -> Read[list[ACLPolicy]]:
    rows = [decode_policy(raw) for _, raw in txn.scan(keys.policy(""))]
    return Read(rows, max_index(txn, "acl-policies"), (topics.ACL_POLICIES,))


def policy(txn: ReadTxn, policy_id: str) -> Read[ACLPolicy | None]:
    raw = txn.get(keys.policy(policy_id))
    found = None if raw is None else decode_policy(raw)
    return Read(found, max_index(txn, "acl-policies"), (topics.ACL_POLICIES,))


def policy_by_name(txn: ReadTxn, name: str) -> Read[ACLPolicy | None]:
    folded = txn.get(keys.policy_by_name(name))
    raw = None if folded is None else txn.get(b"ap" + folded)
    found = None if raw is None else decode_policy(raw)
    return Read(found, max_index(txn, "acl-policies"), (topics.ACL_POLICIES,))


def roles(txn: ReadTxn, policy: str = "") -> Read[list[ACLRole]]:
    """By ID; with `policy` those that are linked to it, even if it is deleted."""
    stored = (decode_role(raw) for _, raw in txn.scan(keys.role("")))
    rows = [_live_role(txn, row) for row in stored if not policy or any(link.id == policy for link in row.policies)]
    return Read(rows, max_index(txn, "acl-roles"), (topics.ACL_ROLES, topics.ACL_POLICIES))


def _live_role(txn: ReadTxn, row: ACLRole) -> ACLRole:
    return replace(row, policies=_policies(txn, row.policies))


def role(txn: ReadTxn, role_id: str) -> Read[ACLRole | None]:
    raw = txn.get(keys.role(role_id))
    found = None if raw is None else _live_role(txn, decode_role(raw))
    return Read(found, max_index(txn, "acl-roles"), (topics.ACL_ROLES, topics.ACL_POLICIES))


def role_by_name(txn: ReadTxn, name: str) -> Read[ACLRole | None]:
    folded = txn.get(keys.role_by_name(name))
    raw = None if folded is None else txn.get(b"ar" + folded)
    found = None if raw is None else _live_role(txn, decode_role(raw))
    return Read(found, max_index(txn, "acl-roles"), (topics.ACL_ROLES, topics.ACL_POLICIES))


def binding_rules(txn: ReadTxn, auth_method: str = "") -> Read[list[ACLBindingRule]]:
    rows = (decode_binding_rule(raw) for _, raw in txn.scan(keys.binding_rule("")))
    found = [row for row in rows if not auth_method or row.auth_method.lower() == auth_method.lower()]
    return Read(found, max_index(txn, "acl-binding-rules"), (topics.ACL_BINDING_RULES,))


def binding_rule(txn: ReadTxn, rule_id: str) -> Read[ACLBindingRule | None]:
    raw = txn.get(keys.binding_rule(rule_id))
    found = None if raw is None else decode_binding_rule(raw)
    return Read(found, max_index(txn, "acl-binding-rules"), (topics.ACL_BINDING_RULES,))


def auth_methods(txn: ReadTxn) -> Read[list[ACLAuthMethod]]:
    rows = [decode_auth_method(raw) for _, raw in txn.scan(keys.auth_method(""))]
    return Read(rows, max_index(txn, "acl-auth-methods"), (topics.ACL_AUTH_METHODS,))


def auth_method(txn: ReadTxn, name: str) -> Read[ACLAuthMethod | None]:
    raw = txn.get(keys.auth_method(name))
    found = None if raw is None else decode_auth_method(raw)
    return Read(found, max_index(txn, "acl-auth-methods"), (topics.ACL_AUTH_METHODS,))


def bootstrap_index(txn: ReadTxn) -> int:
    """The index at which the first management token was made; 0: not yet."""
    return read_index(txn, BOOTSTRAP_INDEX)
