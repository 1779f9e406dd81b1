"""Access control records: tokens, policies, roles, binding rules, auth methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import Done, Result, TokenBootstrap, TokenSet
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
    encode,
)
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused, Writer

MANAGEMENT_POLICY_ID = "00000000-0000-0000-0000-000000000001"
MANAGEMENT_RULES = """
acl = "write"
agent_prefix "" {
	policy = "write"
}
event_prefix "" {
	policy = "write"
}
key_prefix "" {
	policy = "write"
}
keyring = "write"
node_prefix "" {
	policy = "write"
}
operator = "write"
query_prefix "" {
	policy = "write"
}
service_prefix "" {
	policy = "write"
	intentions = "write"
}
session_prefix "" {
	policy = "write"
}"""
"""The rules of that policy: they may not be changed."""
BOOTSTRAP_INDEX = "acl-token-bootstrap"
ANONYMOUS_ACCESSOR_ID = "00000000-0000-0000-0000-000000000002"

Indexed = TypeVar("Indexed", ACLToken, ACLPolicy, ACLRole, ACLBindingRule, ACLAuthMethod)


def _indexed(writer: Writer, wanted: Indexed, existing: Indexed | None) -> Indexed:
    return replace(
        wanted,
        create_index=existing.create_index if existing else writer.index,
        modify_index=writer.index,
    )


# ---------------------------------------------------------------------------------------------------- tokens


def find_token(writer: Writer, accessor_id: str) -> ACLToken | None:
    raw = writer.get(keys.token(accessor_id))
    return None if raw is None else decode_token(raw)


def find_token_by_secret(writer: Writer, secret_id: str) -> ACLToken | None:
    folded = writer.get(keys.token_by_secret(secret_id))
    raw = None if folded is None else writer.get(b"at" + folded)
    return None if raw is None else decode_token(raw)


def set_tokens(writer: Writer, command: TokenSet) -> Result:
    for token in command.tokens:
        if not token.accessor_id:
            raise Refused("Missing ACL Token AccessorID")
        if not token.secret_id:
            raise Refused("Missing ACL Token SecretID")
        existing = find_token_by_secret(writer, token.secret_id) or find_token(writer, token.accessor_id)
        if command.cas and (existing.modify_index if existing else 0) != token.modify_index:
            continue
        if existing is not None and existing.secret_id != token.secret_id:
            raise Refused("The ACL Token SecretID field is immutable")
        if existing is not None and existing.accessor_id and existing.accessor_id != token.accessor_id:
            raise Refused("The ACL Token AccessorID field is immutable")
        if existing is not None and not existing.accessor_id:
            _delete_token(writer, existing)
        token = _with_links(writer, token, command.allow_missing_links)
        if token.auth_method and writer.get(keys.auth_method(token.auth_method)) is None and existing is None:
            raise Refused(f"No such auth method with Name: {token.auth_method}")
        if command.prohibit_unprivileged and not _has_rights(token):
            raise Refused("token has no roles, policies or service identities", "denied")
        insert_token(writer, _indexed(writer, token, existing))
        writer.bump("acl-tokens")
    return Done()


def _has_rights(token: ACLToken) -> bool:
    """Links that lead nowhere, which have no name, give none."""
    return any(link.name for link in (*token.policies, *token.roles)) or bool(token.service_identities)


def _with_links(writer: Writer, token: ACLToken, allow_missing: bool) -> ACLToken:
    return replace(
        token,
        policies=_links(writer, token.policies, "policy", allow_missing),
        roles=_links(writer, token.roles, "role", allow_missing),
    )


def _links(writer: Writer, links: Sequence[Link], kind: str, allow_missing: bool) -> list[Link]:
    """Links with the names their targets have now."""
    resolved = []
    for link in links:
        if not link.id:
            raise Refused(f"Encountered a Token with {kind} links that have no id")
        raw = writer.get(keys.policy(link.id) if kind == "policy" else keys.role(link.id))
        if raw is None:
            if not allow_missing:
                problem = check_uuid(link.id)
                raise Refused(
                    f"failed acl {kind} lookup: {problem}" if problem else f"No such {kind} with ID: {link.id}"
                )
            resolved.append(link)
            continue
        name = decode_policy(raw).name if kind == "policy" else decode_role(raw).name
        resolved.append(Link(link.id, name))
    return resolved


def _token_key(token: ACLToken) -> bytes:
    return keys.token(token.accessor_id) if token.accessor_id else keys.token_without_accessor(token.secret_id)


def insert_token(writer: Writer, token: ACLToken) -> None:
    """The record and what finds it."""
    record = _token_key(token)
    writer.put(record, encode(token))
    writer.put(keys.token_by_secret(token.secret_id), record.removeprefix(b"at"))
    writer.changed(topics.ACL_TOKENS)


def delete_tokens(writer: Writer, accessor_ids: Sequence[str]) -> Result:
    for accessor_id in accessor_ids:
        token = find_token(writer, accessor_id)
        if token is None:
            continue
        if token.accessor_id == ANONYMOUS_ACCESSOR_ID:
            raise Refused("Deletion of the builtin anonymous token is not permitted")
        _delete_token(writer, token)
    return Done()


def _delete_token(writer: Writer, token: ACLToken) -> None:
    writer.delete(_token_key(token))
    writer.delete(keys.token_by_secret(token.secret_id))
    writer.bump("acl-tokens")
    writer.changed(topics.ACL_TOKENS)


def bootstrap(writer: Writer, command: TokenBootstrap) -> Result:
    """Only once; again only with the index that it was done at."""
    index = writer.index_of(BOOTSTRAP_INDEX)
    if index:
        if command.reset_index == 0:
            raise Refused(f"ACL bootstrap no longer allowed (reset index: {index})", "denied")
        if command.reset_index != index:
            raise Refused(
                f"Invalid bootstrap reset index (specified {command.reset_index}, reset index: {index})", "denied"
            )
    set_tokens(writer, TokenSet([command.token]))
    mark_bootstrapped(writer)
    return Done()


def mark_bootstrapped(writer: Writer) -> None:
    writer.bump(BOOTSTRAP_INDEX)


# ---------------------------------------------------------------------------------------------------- policies, roles


def set_policies(writer: Writer, policies: Sequence[ACLPolicy]) -> Result:
    """Policies of one command may exchange their names."""
    for policy in policies:
        if (raw := writer.get(keys.policy(policy.id))) is not None:
            writer.delete(keys.policy_by_name(decode_policy(raw).name))
    for policy in policies:
        if not policy.id:
            raise Refused("Missing ACL Policy ID")
        if not policy.name:
            raise Refused("Missing ACL Policy Name")
        raw = writer.get(keys.policy(policy.id))
        existing = None if raw is None else decode_policy(raw)
        if existing is not None and policy.id == MANAGEMENT_POLICY_ID:
            # A newer program may know more kinds of rules: what it has built in is right, whatever is stored.
            if policy.rules != MANAGEMENT_RULES:
                raise Refused("Changing the Rules for the builtin global-management policy is not permitted")
            if policy.datacenters:
                raise Refused("Changing the Datacenters of the builtin global-management policy is not permitted")
        holder = writer.get(keys.policy_by_name(policy.name))
        if holder is not None and holder != keys.fold(policy.id):
            raise Refused(f'A policy with name "{policy.name}" already exists')
        if existing is not None:
            _free_name(writer, keys.policy_by_name(existing.name), policy.id)
        insert_policy(writer, _indexed(writer, policy, existing))
        writer.bump("acl-policies")
    return Done()


def _free_name(writer: Writer, name_key: bytes, object_id: str) -> None:
    """A name that is given up; another object of the same command may have it already."""
    if writer.get(name_key) == keys.fold(object_id):
        writer.delete(name_key)


def insert_policy(writer: Writer, policy: ACLPolicy) -> None:
    writer.put(keys.policy(policy.id), encode(policy))
    writer.put(keys.policy_by_name(policy.name), keys.fold(policy.id))
    writer.changed(topics.ACL_POLICIES)


def delete_policies(writer: Writer, policy_ids: Sequence[str]) -> Result:
    for policy_id in policy_ids:
        raw = writer.get(keys.policy(policy_id))
        if raw is None:
            continue
        policy = decode_policy(raw)
        if policy.id == MANAGEMENT_POLICY_ID:
            raise Refused("Deletion of the builtin global-management policy is not permitted")
        writer.delete(keys.policy(policy.id))
        writer.delete(keys.policy_by_name(policy.name))
        writer.bump("acl-policies")
        writer.changed(topics.ACL_POLICIES)
    return Done()


def set_roles(writer: Writer, roles: Sequence[ACLRole], allow_missing_links: bool) -> Result:
    """Roles of one command may exchange their names."""
    for role in roles:
        if (raw := writer.get(keys.role(role.id))) is not None:
            writer.delete(keys.role_by_name(decode_role(raw).name))
    for role in roles:
        if not role.id:
            raise Refused("Missing ACL Role ID")
        if not role.name:
            raise Refused("Missing ACL Role Name")
        raw = writer.get(keys.role(role.id))
        existing = None if raw is None else decode_role(raw)
        holder = writer.get(keys.role_by_name(role.name))
        if holder is not None and holder != keys.fold(role.id):
            raise Refused(f'A role with name "{role.name}" already exists')
        role = replace(role, policies=_links(writer, role.policies, "policy", allow_missing_links))
        if existing is not None:
            _free_name(writer, keys.role_by_name(existing.name), role.id)
        insert_role(writer, _indexed(writer, role, existing))
        writer.bump("acl-roles")
    return Done()


def insert_role(writer: Writer, role: ACLRole) -> None:
    writer.put(keys.role(role.id), encode(role))
    writer.put(keys.role_by_name(role.name), keys.fold(role.id))
    writer.changed(topics.ACL_ROLES)


def delete_roles(writer: Writer, role_ids: Sequence[str]) -> Result:
    for role_id in role_ids:
        raw = writer.get(keys.role(role_id))
        if raw is not None:
            role = decode_role(raw)
            writer.delete(keys.role(role.id))
            writer.delete(keys.role_by_name(role.name))
            writer.bump("acl-roles")
            writer.changed(topics.ACL_ROLES)
    return Done()


# ---------------------------------------------------------------------------------------------------- auth methods


def set_binding_rules(writer: Writer, rules: Sequence[ACLBindingRule]) -> Result:
    for rule in rules:
        if not rule.id:
            raise Refused("Missing ACL Binding Rule ID")
        if not rule.auth_method:
            raise Refused("Missing ACL Binding Rule Auth Method")
        if writer.get(keys.auth_method(rule.auth_method)) is None:
            raise Refused("failed inserting acl binding rule: auth method not found")
        raw = writer.get(keys.binding_rule(rule.id))
        existing = None if raw is None else decode_binding_rule(raw)
        insert_binding_rule(writer, _indexed(writer, rule, existing))
        writer.bump("acl-binding-rules")
    return Done()


def insert_binding_rule(writer: Writer, rule: ACLBindingRule) -> None:
    writer.put(keys.binding_rule(rule.id), encode(rule))
    writer.changed(topics.ACL_BINDING_RULES)


def delete_binding_rules(writer: Writer, rule_ids: Sequence[str]) -> Result:
    for rule_id in rule_ids:
        if writer.get(keys.binding_rule(rule_id)) is not None:
            writer.delete(keys.binding_rule(rule_id))
            writer.bump("acl-binding-rules")
            writer.changed(topics.ACL_BINDING_RULES)
    return Done()


def set_auth_methods(writer: Writer, methods: Sequence[ACLAuthMethod]) -> Result:
    for method in methods:
        if not method.name:
            raise Refused("Missing ACL Auth Method Name")
        if not method.type:
            raise Refused("Missing ACL Auth Method Type")
        raw = writer.get(keys.auth_method(method.name))
        existing = None if raw is None else decode_auth_method(raw)
        insert_auth_method(writer, _indexed(writer, method, existing))
        writer.bump("acl-auth-methods")
    return Done()


def insert_auth_method(writer: Writer, method: ACLAuthMethod) -> None:
    writer.put(keys.auth_method(method.name), encode(method))
    writer.changed(topics.ACL_AUTH_METHODS)


def delete_auth_methods(writer: Writer, names: Sequence[str]) -> Result:
    """Its binding rules and the tokens made through it go with it."""
    for name in names:
        raw = writer.get(keys.auth_method(name))
        if raw is None:
            continue
        method = decode_auth_method(raw)
        delete_binding_rules(
            writer,
            [
                rule.id
                for rule in (decode_binding_rule(value) for _, value in writer.scan(keys.binding_rule("")))
                if rule.auth_method.lower() == method.name.lower()
            ],
        )
        for _, value in writer.scan(keys.token("")):
            token = decode_token(value)
            if token.auth_method == method.name:
                _delete_token(writer, token)
        writer.delete(keys.auth_method(name))
        writer.bump("acl-auth-methods")
        writer.changed(topics.ACL_AUTH_METHODS)
    return Done()
