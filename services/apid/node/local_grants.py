"""What tokens may do by a server's own state.

A warm answer costs a dictionary lookup: grants are remembered until an access control record changes, and whether any
did is only looked up after the state moved on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apid.core.errors import NoLeader
from apid.core.remembered import Look, Resolved
from apid.node.state import StateReader
from lictor.state.grants import Grant, LocalGrants, holds_policies, holds_tokens, policy_of, role_of, token_of
from lictor.state.rows import ACLPolicy, ACLToken
from lictor.state.store import ReadTxn


class StateGrants:
    """Grants from the state file. While there is none to read, no token is known."""

    def __init__(self, state: StateReader, grants: LocalGrants) -> None:
        self._state = state
        self._grants = grants
        self._applied = -1
        self._generation = -1
        self._had_tokens = False

    def of_secret(self, secret_id: str) -> Grant | None:
        """What the secret's token may do as of now, expired or not; None when there is no such token."""
        try:
            self._look()
            grant = self._grants.known(secret_id)
            if grant is not None:
                return grant
            with self._state.read() as txn:
                return self._grants.find(txn, secret_id)
        except NoLeader:
            return None

    def of_look(self, look: Look, spare: Callable[[], Sequence[ACLPolicy]]) -> Grant | None:
        """What a token that others told of may do by this state's policies and roles; while it has none, by `spare`."""
        token = look.token
        if token is None:
            return None
        try:
            self._look()
            grant = self._grants.known(token.secret_id)
            if grant is not None and grant.token is token:
                return grant
            with self._state.read() as txn:
                return self._grants.of_token(txn, token, spare)
        except NoLeader:
            return None

    def knows_tokens(self) -> bool:
        """Whether the state has ever held a token."""
        try:
            self._look()
            if not self._had_tokens:
                with self._state.read() as txn:
                    self._had_tokens = holds_tokens(txn)
        except NoLeader:
            return False
        return self._had_tokens

    def resolved(self, secret_id: str) -> Resolved | None:
        """The token with its roles and policies, for another agent; None when there is none."""
        try:
            with self._state.read() as txn:
                token = token_of(txn, secret_id)
                return None if token is None else _gathered(txn, token)
        except NoLeader:
            return None

    def localized(self, answer: Resolved) -> Resolved:
        """Another datacenter's answer with this state's roles and policies, unless it has none yet."""
        try:
            with self._state.read() as txn:
                return _gathered(txn, answer.token) if holds_policies(txn) else answer
        except NoLeader:
            return answer

    def _look(self) -> None:
        """Errors: NoLeader."""
        raft = self._state.raft()
        if raft.applied_index == self._applied and raft.generation == self._generation:
            return
        if raft.generation != self._generation:
            self._grants.clear()
            self._had_tokens = False
        with self._state.read() as txn:
            self._grants.look(txn)
        # Read before the records: what was applied in between is looked at the next time.
        self._applied, self._generation = raft.applied_index, raft.generation


def _gathered(txn: ReadTxn, token: ACLToken) -> Resolved:
    roles = [role for link in token.roles if (role := role_of(txn, link.id)) is not None]
    links = [*token.policies, *(link for role in roles for link in role.policies)]
    ids = dict.fromkeys(link.id for link in links)
    return Resolved(token, roles, [policy for each in ids if (policy := policy_of(txn, each)) is not None])
