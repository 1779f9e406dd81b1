"""What each token may do as the replicated state has it, remembered until an access control record changes.

Used by every process that reads the state. Pure: transactions and the time are given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lictor.acl.authorizer import Authorizer
from lictor.acl.defaults import Fixed
from lictor.acl.resolve import authorizer_for, resolve
from lictor.state import keys
from lictor.state.rows import ACLPolicy, ACLRole, ACLToken, decode_policy, decode_role, decode_token
from lictor.state.store import ReadTxn

MAX_GRANTS = 4096
_INDEXES = tuple(keys.index(name) for name in ("acl-tokens", "acl-policies", "acl-roles"))


@dataclass(frozen=True, slots=True, eq=False)
class Grant:
    """What a secret may do; `token` is None where no token stands behind it. Expires when the token does."""

    token: ACLToken | None
    authorizer: Authorizer

    def expired(self, now_ns: int) -> bool:
        """Whether the token's time is over (Unix time in nanoseconds)."""
        token = self.token
        return token is not None and bool(token.expiration_time_ns) and (token.expiration_time_ns or 0) < now_ns


class LocalGrants:
    """Grants by secret, of one datacenter with one default policy."""

    def __init__(
        self, datacenter: str, default: Fixed, wrap: Callable[[Authorizer], Authorizer] = lambda authorizer: authorizer
    ) -> None:
        """`wrap` may put something around every authorizer."""
        self._datacenter = datacenter
        self._default = default
        self._wrap = wrap
        self._indexes: tuple[bytes | None, ...] = ()
        self._grants: dict[str, Grant] = {}

    def __len__(self) -> int:
        return len(self._grants)

    def clear(self) -> None:
        """Forget everything: the state is another one."""
        self._indexes = ()
        self._grants.clear()

    def look(self, txn: ReadTxn) -> None:
        """Forget what is remembered if any access control record changed."""
        indexes = tuple(txn.get(key) for key in _INDEXES)
        if indexes != self._indexes:
            self._indexes = indexes
            self._grants.clear()

    def known(self, secret_id: str) -> Grant | None:
        """What is remembered; only good while nothing changed since the last `look`."""
        return self._grants.get(secret_id)

    def find(self, txn: ReadTxn, secret_id: str) -> Grant | None:
        """What the secret's token may do, expired or not; None when there is no such token. Raises RulesError."""
        self.look(txn)
        grant = self._grants.get(secret_id)
        if grant is not None:
            return grant
        token = token_of(txn, secret_id)
        return None if token is None else self._remember(Grant(token, self._by_state(txn, token)))

    def of_token(self, txn: ReadTxn, token: ACLToken, spare: Callable[[], Sequence[ACLPolicy]]) -> Grant:
        """What a token from elsewhere may do by this state's policies and roles; while it has none, by `spare`.

        Raises RulesError.
        """
        self.look(txn)
        if holds_policies(txn):
            return self._remember(Grant(token, self._by_state(txn, token)))
        return Grant(token, self._wrap(authorizer_for(spare(), self._default)))

    def _by_state(self, txn: ReadTxn, token: ACLToken) -> Authorizer:
        authorizer = resolve(
            token,
            lambda policy_id: policy_of(txn, policy_id),
            lambda role_id: role_of(txn, role_id),
            self._datacenter,
            self._default,
        )
        return self._wrap(authorizer)

    def _remember(self, grant: Grant) -> Grant:
        assert grant.token is not None
        if len(self._grants) >= MAX_GRANTS:
            del self._grants[next(iter(self._grants))]
        self._grants[grant.token.secret_id] = grant
        return grant


def token_of(txn: ReadTxn, secret_id: str) -> ACLToken | None:
    """The token with this secret."""
    folded = txn.get(keys.token_by_secret(secret_id))
    raw = None if folded is None else txn.get(b"at" + folded)
    token = None if raw is None else decode_token(raw)
    # The records are found in any case; a secret is only itself.
    return token if token is not None and token.secret_id == secret_id else None


def policy_of(txn: ReadTxn, policy_id: str) -> ACLPolicy | None:
    """The policy with this ID."""
    raw = txn.get(keys.policy(policy_id))
    return None if raw is None else decode_policy(raw)


def role_of(txn: ReadTxn, role_id: str) -> ACLRole | None:
    """The role with this ID."""
    raw = txn.get(keys.role(role_id))
    return None if raw is None else decode_role(raw)


def holds_tokens(txn: ReadTxn) -> bool:
    """Whether there ever was a token in this state."""
    return txn.get(_INDEXES[0]) is not None


def holds_policies(txn: ReadTxn) -> bool:
    """Whether there ever was a policy in this state."""
    return txn.get(_INDEXES[1]) is not None
