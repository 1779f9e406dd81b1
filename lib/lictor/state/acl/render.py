"""Access control records as the HTTP API shows them: Consul's names, order and omissions."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from lictor.state.render import time_text
from lictor.state.rows import (
    ACLAuthMethod,
    ACLBindingRule,
    ACLPolicy,
    ACLRole,
    ACLToken,
    Link,
    ServiceIdentity,
)

ZERO_TIME = "0001-01-01T00:00:00Z"
HIDDEN = "<hidden>"
Shown = dict[str, Any]


def moment(nanoseconds: int) -> str:
    """A time since 1970 as Go writes it; 0 is its zero time."""
    return time_text(nanoseconds) if nanoseconds > 0 else ZERO_TIME


def _hash(raw: bytes) -> str | None:
    return base64.b64encode(raw).decode() if raw else None


def _indexes(row: ACLToken | ACLPolicy | ACLRole | ACLBindingRule | ACLAuthMethod) -> Shown:
    return {"CreateIndex": row.create_index, "ModifyIndex": row.modify_index}


def _links(links: Sequence[Link]) -> list[Shown]:
    return [{"ID": link.id, "Name": link.name} for link in links]


def _identities(identities: Sequence[ServiceIdentity]) -> list[Shown]:
    return [
        {"ServiceName": identity.service_name} | ({"Datacenters": identity.datacenters} if identity.datacenters else {})
        for identity in identities
    ]


def _grants(row: ACLToken | ACLRole) -> Shown:
    """What a token or role is linked to, as far as there is any."""
    shown: Shown = {}
    if row.policies:
        shown["Policies"] = _links(row.policies)
    if isinstance(row, ACLToken) and row.roles:
        shown["Roles"] = _links(row.roles)
    if row.service_identities:
        shown["ServiceIdentities"] = _identities(row.service_identities)
    return shown


def _life(row: ACLToken) -> Shown:
    """Where a token counts, where it comes from and how long it lives."""
    shown: Shown = {"Local": row.local}
    if row.auth_method:
        shown["AuthMethod"] = row.auth_method
    if row.expiration_time_ns is not None:
        shown["ExpirationTime"] = time_text(row.expiration_time_ns)
    shown["CreateTime"] = moment(row.create_time_ns)
    shown["Hash"] = _hash(row.hash)
    return shown | _indexes(row)


def token(row: ACLToken, show_secret: bool = True) -> Shown:
    """A whole token; the secret is only for those who may write tokens, or have it."""
    shown: Shown = {
        "AccessorID": row.accessor_id,
        "SecretID": row.secret_id if show_secret else HIDDEN,
        "Description": row.description,
        **_grants(row),
    }
    if row.rules:
        shown["Rules"] = row.rules
    return shown | _life(row)


def token_stub(row: ACLToken) -> Shown:
    """A token in a list: no secret, no rules."""
    shown = {"AccessorID": row.accessor_id, "Description": row.description, **_grants(row), **_life(row)}
    if row.rules:
        shown["Legacy"] = True
    return shown


def bootstrap_token(row: ACLToken) -> Shown:
    return {"ID": row.secret_id, **token(row)}


def legacy_token(row: ACLToken) -> Shown:
    """A token as the legacy endpoints show it."""
    return {
        "ID": row.secret_id,
        "Name": row.description,
        "Type": row.type,
        "Rules": row.rules,
        **_indexes(row),
    }


def policy(row: ACLPolicy) -> Shown:
    shown: Shown = {"ID": row.id, "Name": row.name, "Description": row.description, "Rules": row.rules}
    if row.datacenters:
        shown["Datacenters"] = row.datacenters
    return {**shown, "Hash": _hash(row.hash), **_indexes(row)}


def policy_stub(row: ACLPolicy) -> Shown:
    """A policy in a list: no rules, and always its datacenters."""
    return {
        "ID": row.id,
        "Name": row.name,
        "Description": row.description,
        "Datacenters": row.datacenters,
        "Hash": _hash(row.hash),
        **_indexes(row),
    }


def role(row: ACLRole) -> Shown:
    return {
        "ID": row.id,
        "Name": row.name,
        "Description": row.description,
        **_grants(row),
        "Hash": _hash(row.hash),
        **_indexes(row),
    }


def binding_rule(row: ACLBindingRule) -> Shown:
    return {
        "ID": row.id,
        "Description": row.description,
        "AuthMethod": row.auth_method,
        "Selector": row.selector,
        "BindType": row.bind_type,
        "BindName": row.bind_name,
        **_indexes(row),
    }


def auth_method(row: ACLAuthMethod) -> Shown:
    return {
        "Name": row.name,
        "Type": row.type,
        "Description": row.description,
        "Config": _sorted(row.config),
        **_indexes(row),
    }


def _sorted(value: Any) -> Any:
    """Maps in the order of their keys, as Go prints them."""
    if isinstance(value, Mapping):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def auth_method_stub(row: ACLAuthMethod) -> Shown:
    """A method in a list: no configuration."""
    return {"Name": row.name, "Description": row.description, "Type": row.type, **_indexes(row)}
