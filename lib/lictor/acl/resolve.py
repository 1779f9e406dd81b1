"""From a token to what it may do: its policies, those of its roles, its identities, merged and compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from lictor.acl.authorizer import Authorizer
from lictor.acl.builtin import MANAGEMENT_RULES
from lictor.acl.defaults import ROOTS, Fixed
from lictor.acl.enforce import RuleAuthorizer
from lictor.acl.errors import RootDenied, RulesError, TokenNotFound
from lictor.acl.identities import distinct, service_rules
from lictor.acl.merge import merge
from lictor.acl.rules import CURRENT, LEGACY, Rules, parse
from lictor.state.gotext import quote
from lictor.state.rows import ACLPolicy, ACLRole, ACLToken

FindPolicy = Callable[[str], ACLPolicy | None]
"""A policy by its ID; None if there is none, whose links are then passed over."""
FindRole = Callable[[str], ACLRole | None]

COMPILED_MAX = 1024
"""Sets of policies whose compiled form is kept."""

Source = tuple[str, str, int]
"""A policy's name, text and syntax."""


def usable(token: ACLToken | None, now_ns: int) -> ACLToken:
    """The token, if there is one and it has not expired. Raises TokenNotFound."""
    if token is None or is_expired(token, now_ns):
        raise TokenNotFound
    return token


def is_expired(token: ACLToken, now_ns: int) -> bool:
    """Whether the token's time is over; an expired token counts as none at once, before it is deleted."""
    return bool(token.expiration_time_ns) and (token.expiration_time_ns or 0) < now_ns


def refuse_root(secret_id: str) -> None:
    """Raise RootDenied for the names of the built-in sets of rights."""
    if secret_id in ROOTS:
        raise RootDenied


def effective_policies(
    token: ACLToken, find_policy: FindPolicy, find_role: FindRole, datacenter: str
) -> list[ACLPolicy]:
    """All policies that hold for the token in this datacenter, those made for identities last."""
    if not (token.policies or token.roles or token.service_identities):
        legacy = legacy_policy(token)
        return [] if legacy is None else [legacy]
    owners: list[ACLToken | ACLRole] = [token]
    owners += [role for link in token.roles if (role := find_role(link.id)) is not None]
    policy_ids = {link.id for owner in owners for link in owner.policies}
    identities = distinct(one for owner in owners for one in owner.service_identities)
    policies = [policy for each in sorted(policy_ids) if (policy := find_policy(each)) is not None]
    policies += [
        ACLPolicy(
            f"service-identity-{identity.service_name}",
            f"synthetic-policy-{identity.service_name}",
            "synthetic policy",
            service_rules(identity.service_name),
            identity.datacenters,
        )
        for identity in identities
    ]
    return [policy for policy in policies if not policy.datacenters or datacenter in policy.datacenters]


def legacy_policy(token: ACLToken) -> ACLPolicy | None:
    """What a token of before Consul 1.4 grants by itself; None for others."""
    if token.type == "management":
        return ACLPolicy("legacy-management", "legacy-management", rules=MANAGEMENT_RULES)
    if token.rules or token.type == "client":
        return ACLPolicy("legacy-policy", "legacy-policy", rules=token.rules, syntax=LEGACY)
    return None


def authorizer_for(policies: Iterable[ACLPolicy], default: Fixed) -> Authorizer:
    """What the policies grant together; equal ones are compiled once.

    Raises RulesError when one of them cannot be read.
    """
    sources = tuple((policy.name, policy.rules, LEGACY if policy.syntax == LEGACY else CURRENT) for policy in policies)
    return _compiled(sources, default)


@lru_cache(maxsize=COMPILED_MAX)
def _compiled(sources: Sequence[Source], default: Fixed) -> Authorizer:
    return RuleAuthorizer(merge(_parsed(*source) for source in sources), default)


@lru_cache(maxsize=COMPILED_MAX)
def _parsed(name: str, text: str, syntax: int) -> Rules:
    try:
        return parse(text, syntax)
    except RulesError as error:
        raise RulesError(f"failed to parse the ACL policies: failed to parse {quote(name)}: {error}") from None


def resolve(
    token: ACLToken,
    find_policy: FindPolicy,
    find_role: FindRole,
    datacenter: str,
    default: Fixed,
) -> Authorizer:
    """What the token may do in this datacenter. Raises RulesError."""
    return authorizer_for(effective_policies(token, find_policy, find_role, datacenter), default)
