"""Binding rules: what may be created and changed, and what they give to somebody who logs in.

A bind name may hold `${…}` places for the fields that the auth method verified (Consul 1.7: acl_authmethod.go).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from lictor.state.acl.links import Fields, is_service_identity_name, merged_identities
from lictor.state.acl.roles import is_role_name
from lictor.state.gotext import quote
from lictor.state.queries import acl
from lictor.state.rows import ACLBindingRule, Link, ServiceIdentity
from lictor.state.store import ReadTxn
from lictor.state.templates import Scope, TemplateProblem, fill
from lictor.state.uuids import check_uuid, is_uuid
from lictor.state.writer import Refused

SERVICE, ROLE = "service", "role"
Verified = Mapping[str, str]
"""What an auth method found out about who logs in, by field name."""
CheckSelector = Callable[[str], str]
"""What is wrong with a selector; empty when nothing is."""


class Method(NamedTuple):
    """What binding rules need to know of their auth method."""

    fields: tuple[str, ...]
    selector_problem: CheckSelector


def prepared(
    txn: ReadTxn, fields: Fields, fresh_id: str, method_of: Callable[[ReadTxn, str], Method]
) -> ACLBindingRule:
    """The rule that these fields ask for: a new one unless they name an ID. Errors: Refused.

    `method_of` gives the auth method of a name, or raises Refused.
    """
    rule_id, method_name = fields.get("ID", ""), fields.get("AuthMethod", "")
    if rule_id:
        if not is_uuid(rule_id):
            raise Refused("Binding Rule ID invalid UUID")
        existing = acl.binding_rule(txn, rule_id).value
        if existing is None:
            raise Refused(f"cannot find binding rule {rule_id}")
        if method_name not in ("", existing.auth_method):
            raise Refused("the AuthMethod field of an Binding Rule is immutable")
        method_name = existing.auth_method
    if not method_name:
        raise Refused("Invalid Binding Rule: no AuthMethod is set")
    method = method_of(txn, method_name)
    row = ACLBindingRule(
        id=rule_id or fresh_id,
        description=fields.get("Description", ""),
        auth_method=method_name,
        selector=fields.get("Selector", ""),
        bind_type=fields.get("BindType", ""),
        bind_name=fields.get("BindName", ""),
    )
    if row.selector and (problem := method.selector_problem(row.selector)):
        raise Refused(f"invalid Binding Rule: Selector is invalid: {problem}")
    _check_target(row, method.fields)
    return row


def _check_target(row: ACLBindingRule, available: Iterable[str]) -> None:
    if not row.bind_type:
        raise Refused("Invalid Binding Rule: no BindType is set")
    if not row.bind_name:
        raise Refused("Invalid Binding Rule: no BindName is set")
    if row.bind_type not in (SERVICE, ROLE):
        raise Refused(f"Invalid Binding Rule: unknown BindType {quote(row.bind_type)}")
    try:
        name = _bind_name(row, dict.fromkeys(available, "fake"))
    except TemplateProblem as problem:
        raise Refused(f"Invalid Binding Rule: invalid BindName: {problem}") from None
    if not _is_valid(row.bind_type, name):
        raise Refused("Invalid Binding Rule: invalid BindName")


def _bind_name(row: ACLBindingRule, verified: Verified) -> str:
    """Errors: TemplateProblem."""
    return fill(row.bind_name, Scope(verified, {})) if "${" in row.bind_name else row.bind_name


def _is_valid(bind_type: str, name: str) -> bool:
    return is_service_identity_name(name) if bind_type == SERVICE else is_role_name(name)


class Bound(NamedTuple):
    """What a login's token gets."""

    service_identities: list[ServiceIdentity]
    roles: list[Link]


def bound(txn: ReadTxn, method_name: str, verified: Verified, matches: Callable[[ACLBindingRule], bool]) -> Bound:
    """What the method's matching rules give together; roles that do not exist are passed over. Errors: Refused."""
    identities: list[ServiceIdentity] = []
    roles: dict[str, Link] = {}
    for row in acl.binding_rules(txn, method_name).value:
        if not matches(row):
            continue
        shown_type = quote(row.bind_type)
        try:
            name = _bind_name(row, verified)
        except TemplateProblem as problem:
            raise Refused(f"cannot compute {shown_type} bind name for bind target: {problem}") from None
        if not _is_valid(row.bind_type, name):
            raise Refused(f"computed {shown_type} bind name for bind target is invalid: {quote(name)}")
        if row.bind_type == SERVICE:
            identities.append(ServiceIdentity(name))
        elif (role := acl.role_by_name(txn, name).value) is not None:
            roles.setdefault(role.id, Link(role.id, ""))
    return Bound(merged_identities(identities), list(roles.values()))


def to_delete(txn: ReadTxn, rule_id: str) -> ACLBindingRule | None:
    """The rule of this ID, None when there is none. Errors: Refused."""
    if problem := check_uuid(rule_id):
        raise Refused(f"failed acl binding rule lookup: {problem}")
    return acl.binding_rule(txn, rule_id).value
