"""What servers said about tokens, policies and roles, for as long as it may be believed.

Consul 1.7: agent/consul/acl.go. Pure: the time is given, asking is somebody else's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

import msgspec

from lictor.acl.resolve import effective_policies
from lictor.state.rows import ACLPolicy, ACLRole, ACLToken

MAX_TOKENS = 10_240
MAX_RECORDS = 1024

Value = TypeVar("Value")


class Resolved(msgspec.Struct, frozen=True):
    """A server's answer about one token: itself, its roles, and the policies of both; what is gone is left out."""

    token: ACLToken
    roles: list[ACLRole] = []
    policies: list[ACLPolicy] = []


class Age(IntEnum):
    """How good what is remembered is; of several the greatest counts."""

    FRESH = 0
    STALE = 1
    MISSING = 2


@dataclass(frozen=True, slots=True)
class Look:
    """What is remembered of a token, None if it is known not to exist, and the policies that hold for it."""

    age: Age
    token: ACLToken | None = None
    policies: tuple[ACLPolicy, ...] = ()


class Remembered(Generic[Value]):
    """Answers by name, None for what does not exist; the oldest makes room."""

    def __init__(self, ttl_s: float, maximum: int) -> None:
        self._ttl_s = ttl_s
        self._maximum = maximum
        self._found: dict[str, tuple[Value | None, float]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def get(self, name: str, now_s: float) -> tuple[Age, Value | None]:
        found = self._found.get(name)
        if found is None:
            return Age.MISSING, None
        value, at_s = found
        return (Age.FRESH if now_s - at_s < self._ttl_s else Age.STALE), value

    def put(self, name: str, value: Value | None, now_s: float) -> None:
        self._found.pop(name, None)
        if len(self._found) >= self._maximum:
            del self._found[next(iter(self._found))]
        self._found[name] = (value, now_s)

    def extend(self, name: str, now_s: float) -> None:
        """Believe what is known as if it had just been said."""
        found = self._found.get(name)
        if found is not None:
            self.put(name, found[0], now_s)


class RememberedTokens:
    """What is known of tokens, with each part believed for its own time (`token_ttl`, `policy_ttl`, `role_ttl`)."""

    def __init__(self, datacenter: str, token_ttl_s: float, policy_ttl_s: float, role_ttl_s: float) -> None:
        self._datacenter = datacenter
        self._tokens: Remembered[ACLToken] = Remembered(token_ttl_s, MAX_TOKENS)
        self._policies: Remembered[ACLPolicy] = Remembered(policy_ttl_s, MAX_RECORDS)
        self._roles: Remembered[ACLRole] = Remembered(role_ttl_s, MAX_RECORDS)

    def token(self, secret_id: str, now_s: float) -> Look:
        """The token alone."""
        return Look(*self._tokens.get(secret_id, now_s))

    def look(self, secret_id: str, now_s: float) -> Look:
        """The token with all that decides what it may do."""
        age, token = self._tokens.get(secret_id, now_s)
        if token is None:
            return Look(age)
        ages = [age]

        def policy(policy_id: str) -> ACLPolicy | None:
            age, found = self._policies.get(policy_id, now_s)
            ages.append(age)
            return found

        def role(role_id: str) -> ACLRole | None:
            age, found = self._roles.get(role_id, now_s)
            ages.append(age)
            return found

        policies = effective_policies(token, policy, role, self._datacenter)
        return Look(max(ages), token, tuple(policies))

    def learn(self, answer: Resolved, now_s: float) -> None:
        """A server said so."""
        token = answer.token
        self._tokens.put(token.secret_id, token, now_s)
        roles = {role.id: role for role in answer.roles}
        policies = {policy.id: policy for policy in answer.policies}
        for role_id in {link.id for link in token.roles}:
            self._roles.put(role_id, roles.get(role_id), now_s)
        links = [*token.policies, *(link for role in answer.roles for link in role.policies)]
        for policy_id in {link.id for link in links}:
            self._policies.put(policy_id, policies.get(policy_id), now_s)

    def learn_none(self, secret_id: str, now_s: float) -> None:
        """A server said that there is no such token, or none could be asked about a token that nobody knows."""
        self._tokens.put(secret_id, None, now_s)

    def extend(self, secret_id: str, now_s: float) -> None:
        """No server can be asked: what is known of the token goes on."""
        _, token = self._tokens.get(secret_id, now_s)
        self._tokens.extend(secret_id, now_s)
        if token is None:
            return
        links = list(token.policies)
        for link in token.roles:
            self._roles.extend(link.id, now_s)
            _, role = self._roles.get(link.id, now_s)
            links += role.policies if role is not None else []
        for link in links:
            self._policies.extend(link.id, now_s)
