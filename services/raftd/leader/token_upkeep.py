"""Which tokens need the leader: those that have expired, and those of before Consul 1.4, which have no accessor ID."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from lictor.acl.builtin import ANONYMOUS_ACCESSOR_ID, ANONYMOUS_SECRET, MANAGEMENT_POLICY_ID
from lictor.acl.hashes import token_hash
from lictor.acl.resolve import is_expired
from lictor.state.rows import ACLToken, Link

DELETIONS_MAX = 4096
"""Tokens deleted by one command."""
UPGRADES_MAX = 128
"""Tokens upgraded by one command."""


class Expiry:
    """Finds expired tokens, and looks at them again only when one has changed or the next one expires.

    `is_local`: this datacenter's own tokens; otherwise those that hold in all of them.
    """

    def __init__(self, is_local: bool) -> None:
        self._is_local = is_local
        self._seen_index = -1
        self._next_ns: int | None = None

    def is_worth_looking(self, index: int, now_ns: int) -> bool:
        """Whether there may be expired tokens; `index` is that of the tokens' table."""
        return index != self._seen_index or (self._next_ns is not None and self._next_ns < now_ns)

    def expired(self, tokens: Iterable[ACLToken], index: int, now_ns: int) -> list[str]:
        """Accessor IDs of expired tokens, at most DELETIONS_MAX."""
        expiring = [token for token in tokens if token.local == self._is_local and token.expiration_time_ns]
        self._seen_index = index
        self._next_ns = min((token.expiration_time_ns or 0 for token in expiring), default=None)
        return [token.accessor_id for token in expiring if is_expired(token, now_ns)][:DELETIONS_MAX]


def upgraded(tokens: Iterable[ACLToken], new_id: Callable[[], str]) -> list[ACLToken]:
    """Legacy tokens as they are stored from now on, at most UPGRADES_MAX: with an accessor ID, those for management
    with the policy that grants everything."""
    found: list[ACLToken] = []
    for token in tokens:
        if token.accessor_id or len(found) == UPGRADES_MAX:
            continue
        accessor_id = ANONYMOUS_ACCESSOR_ID if token.secret_id == ANONYMOUS_SECRET else new_id()
        policies = token.policies
        if token.type == "management" and not (policies or token.roles or token.service_identities):
            policies = [Link(MANAGEMENT_POLICY_ID, "")]
        token = replace(token, accessor_id=accessor_id, policies=policies)
        found.append(replace(token, hash=token_hash(token)))
    return found
