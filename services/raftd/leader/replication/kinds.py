"""The kinds of objects that a secondary datacenter takes over, and what each of them needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from lictor.state import keys
from lictor.state.commands import (
    AnyCommand,
    ConfigReplicate,
    IntentionReplicate,
    PolicyDelete,
    PolicySet,
    RoleDelete,
    RoleSet,
    TokenDelete,
    TokenSet,
)
from lictor.state.machine.acl import ANONYMOUS_ACCESSOR_ID, MANAGEMENT_POLICY_ID
from lictor.state.rows import (
    ACLPolicy,
    ACLRole,
    ACLToken,
    ConfigEntry,
    Intention,
    decode_config_entry,
    decode_intention,
    decode_policy,
    decode_role,
    decode_token,
    encode,
)
from lictor.state.store import ReadTxn
from raftd.leader.replication.plan import Step
from raftd.leader.replication.status import POLICIES, ROLES, TOKENS

CONFIG_ENTRIES, INTENTIONS = "config-entries", "intentions"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `name` is the path under which the primary datacenter lists it.

    With `detailed` the list holds what a fingerprint needs, the rest is asked for by key. Fingerprints are over what a
    command takes over, so that a row that was set compares equal. `together`: one command both removes and sets.
    """

    name: str
    singular: str
    plural: str
    decode: Callable[[bytes], list[Any]]
    key: Callable[[Any], Any]
    fingerprint: Callable[[Any], object]
    stored: Callable[[ReadTxn], list[Any]]
    command: Callable[[Step], AnyCommand]
    detailed: bool = False
    together: bool = False
    permanent: frozenset[str] = frozenset()
    """Keys that are never removed."""
    fetch_series: str = ""
    apply_series: str = ""
    """The open part of `leader.replication.<replicator>.…`; empty: not measured."""

    def is_acl(self) -> bool:
        """Whether it needs a replication token and counts in the status of access control."""
        return self.name.startswith("acl-")


def row_bytes(row: Any) -> int:
    """Estimated size of a row in a command."""
    return len(encode(row))


def _config_entries(txn: ReadTxn) -> list[ConfigEntry]:
    return [decode_config_entry(raw) for _, raw in txn.scan(b"E")]


def _intentions(txn: ReadTxn) -> list[Intention]:
    return [decode_intention(raw) for _, raw in txn.scan(keys.intention(""))]


def _policies(txn: ReadTxn) -> list[ACLPolicy]:
    return [decode_policy(raw) for _, raw in txn.scan(keys.policy(""))]


def _roles(txn: ReadTxn) -> list[ACLRole]:
    return [decode_role(raw) for _, raw in txn.scan(keys.role(""))]


def _global_tokens(txn: ReadTxn) -> list[ACLToken]:
    """Expired ones, too: they go when the primary datacenter removes them."""
    rows = (decode_token(raw) for _, raw in txn.scan(keys.token("")))
    return [row for row in rows if row.accessor_id and not row.local]


def _intention_fingerprint(row: Intention) -> object:
    """All but the times and numbers that the state sets itself."""
    names = (row.source_ns, row.source_name, row.destination_ns, row.destination_name)
    rest = (row.description, row.source_type, row.action, row.meta or {}, row.default_addr, row.default_port)
    return (*names, *rest, row.updated_at_ns, row.hash)


def _token_command(step: Step) -> AnyCommand:
    if step.deletes:
        return TokenDelete(list(step.deletes))
    return TokenSet(list(step.rows), allow_missing_links=True)


def _policy_command(step: Step) -> AnyCommand:
    return PolicyDelete(list(step.deletes)) if step.deletes else PolicySet(list(step.rows))


def _role_command(step: Step) -> AnyCommand:
    return RoleDelete(list(step.deletes)) if step.deletes else RoleSet(list(step.rows), allow_missing_links=True)


CONFIG_ENTRY_KIND = Kind(
    CONFIG_ENTRIES,
    "config entry",
    "config entries",
    msgspec.msgpack.Decoder(list[ConfigEntry]).decode,
    lambda row: (row.kind, row.name),
    lambda row: row.body,
    _config_entries,
    lambda step: ConfigReplicate(list(step.deletes), list(step.rows)),
    together=True,
    fetch_series="config-entries",
    apply_series="config",
)
INTENTION_KIND = Kind(
    INTENTIONS,
    "intention",
    "intentions",
    msgspec.msgpack.Decoder(list[Intention]).decode,
    lambda row: row.id,
    _intention_fingerprint,
    _intentions,
    lambda step: IntentionReplicate(list(step.deletes), list(step.rows)),
    together=True,
)
POLICY_KIND = Kind(
    POLICIES,
    "policy",
    "policies",
    msgspec.msgpack.Decoder(list[ACLPolicy]).decode,
    lambda row: row.id,
    lambda row: row.hash,
    _policies,
    _policy_command,
    detailed=True,
    permanent=frozenset((MANAGEMENT_POLICY_ID,)),
    fetch_series="acl.policy",
    apply_series="acl.policy",
)
ROLE_KIND = Kind(
    ROLES,
    "role",
    "roles",
    msgspec.msgpack.Decoder(list[ACLRole]).decode,
    lambda row: row.id,
    lambda row: row.hash,
    _roles,
    _role_command,
    fetch_series="acl.role",
    apply_series="acl.role",
)
TOKEN_KIND = Kind(
    TOKENS,
    "token",
    "tokens",
    msgspec.msgpack.Decoder(list[ACLToken]).decode,
    lambda row: row.accessor_id,
    lambda row: row.hash,
    _global_tokens,
    _token_command,
    detailed=True,
    permanent=frozenset((ANONYMOUS_ACCESSOR_ID,)),
    fetch_series="acl.token",
    apply_series="acl.token",
)
