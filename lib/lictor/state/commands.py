"""What the Raft log carries: one struct per command, one tagged union, msgpack.

A command holds everything its application needs: times and random IDs are chosen by the proposer, defaults that
depend on the clock or the configuration are filled in before. New fields go at the end with a default.
"""

from __future__ import annotations

import msgspec

from lictor.state.rows import (
    ACLAuthMethod,
    ACLBindingRule,
    ACLPolicy,
    ACLRole,
    ACLToken,
    AutopilotConfig,
    CAConfig,
    CAProviderState,
    CARoot,
    Check,
    ConfigEntry,
    Coordinate,
    Intention,
    Node,
    PreparedQuery,
    Service,
    Session,
)


class Command(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Something the replicated state is told to do."""


class Noop(Command, frozen=True):
    """A new leader's first entry, and barriers: takes an index, changes nothing."""


class Register(Command, frozen=True):
    """Node, then service, then checks; all or nothing. `service.node` may be left empty, `check.node` may not."""

    node: Node
    service: Service | None = None
    checks: list[Check] = []
    skip_node_update: bool = False
    keep_node_details: bool = False
    """Tagged addresses and metadata stay as they are: they are the agent's to say, not the leader's."""


class Deregister(Command, frozen=True):
    """With a service ID that service and its checks; else with a check ID that check; else the node and all of it."""

    node: str
    service_id: str = ""
    check_id: str = ""


class KV(Command, frozen=True):
    """One of `KV_VERBS` on one key.

    `index` is what cas and delete-cas compare with, `session` what lock and unlock act for. For delete-tree the key
    is the prefix.
    """

    verb: str
    key: bytes
    value: bytes | None = None
    flags: int = 0
    index: int = 0
    session: str = ""


KV_VERBS = frozenset({"set", "cas", "delete", "delete-cas", "delete-tree", "lock", "unlock"})


class SessionCreate(Command, frozen=True):
    session: Session


class SessionDestroy(Command, frozen=True):
    session_id: str


class TxnKV(msgspec.Struct, array_like=True, frozen=True, tag="kv"):
    verb: str
    key: bytes
    value: bytes | None = None
    flags: int = 0
    index: int = 0
    session: str = ""


class TxnNode(msgspec.Struct, array_like=True, frozen=True, tag="node"):
    """`node.modify_index` is what cas and delete-cas compare with; likewise below."""

    verb: str
    node: Node


class TxnService(msgspec.Struct, array_like=True, frozen=True, tag="service"):
    verb: str
    node: str
    service: Service


class TxnCheck(msgspec.Struct, array_like=True, frozen=True, tag="check"):
    verb: str
    check: Check


TxnOp = TxnKV | TxnNode | TxnService | TxnCheck


class Txn(Command, frozen=True):
    """All operations or none; the result lists every operation that failed."""

    ops: list[TxnOp]


class CoordinateBatch(Command, frozen=True):
    """Latest coordinate of up to 128 nodes; unknown nodes are skipped."""

    coordinates: list[Coordinate]


class QuerySet(Command, frozen=True):
    query: PreparedQuery


class QueryDelete(Command, frozen=True):
    query_id: str


class ConfigSet(Command, frozen=True):
    """Creates or replaces; with `cas_index` only if it is the entry's ModifyIndex (0: only if absent)."""

    entry: ConfigEntry
    cas_index: int | None = None


class ConfigDelete(Command, frozen=True):
    kind: str
    name: str


class IntentionSet(Command, frozen=True):
    """Creates or replaces by ID; refused when another intention has the same names."""

    intention: Intention


class IntentionDelete(Command, frozen=True):
    intention_id: str


class ConfigReplicate(Command, frozen=True):
    """Takes entries over from another datacenter: (kind, name) to remove and entries to set, all or nothing.

    Discovery chains are looked at when all is done: there need not be an order in which each step alone is sound.
    """

    deletes: list[tuple[str, str]]
    entries: list[ConfigEntry]


class IntentionReplicate(Command, frozen=True):
    """Takes intentions over from another datacenter: IDs to remove and intentions to set, all or nothing."""

    deletes: list[str]
    intentions: list[Intention]


class CASetConfig(Command, frozen=True):
    """With `cas_index`, only if it is the configuration's ModifyIndex."""

    config: CAConfig
    cas_index: int | None = None


class CASetRoots(Command, frozen=True):
    """Replaces all roots if `cas_index` is the table's index; exactly one is active. May set the config as well."""

    cas_index: int
    roots: list[CARoot]
    config: CAConfig | None = None
    config_cas_index: int = 0
    provider_state: CAProviderState | None = None
    """What the built-in provider keeps for these roots."""


class CASetProviderState(Command, frozen=True):
    state: CAProviderState


class CADeleteProviderState(Command, frozen=True):
    state_id: str


class CANextSerial(Command, frozen=True):
    """Takes the next certificate serial number, the result."""


class AutopilotSet(Command, frozen=True):
    config: AutopilotConfig
    cas_index: int | None = None


class TombstoneReap(Command, frozen=True):
    """Removes the tombstones of this index and before."""

    index: int


class TokenSet(Command, frozen=True):
    """Upserts tokens. `cas`: each must have the ModifyIndex of the stored one (0: absent), others are left alone."""

    tokens: list[ACLToken]
    cas: bool = False
    allow_missing_links: bool = False
    prohibit_unprivileged: bool = False


class TokenDelete(Command, frozen=True):
    accessor_ids: list[str]


class TokenBootstrap(Command, frozen=True):
    """The first management token; refused once done unless `reset_index` is the index it was done at."""

    token: ACLToken
    reset_index: int = 0


class PolicySet(Command, frozen=True):
    policies: list[ACLPolicy]


class PolicyDelete(Command, frozen=True):
    policy_ids: list[str]


class RoleSet(Command, frozen=True):
    roles: list[ACLRole]
    allow_missing_links: bool = False


class RoleDelete(Command, frozen=True):
    role_ids: list[str]


class BindingRuleSet(Command, frozen=True):
    rules: list[ACLBindingRule]


class BindingRuleDelete(Command, frozen=True):
    rule_ids: list[str]


class AuthMethodSet(Command, frozen=True):
    methods: list[ACLAuthMethod]


class AuthMethodDelete(Command, frozen=True):
    names: list[str]


AnyCommand = (
    Noop
    | Register
    | Deregister
    | KV
    | SessionCreate
    | SessionDestroy
    | Txn
    | CoordinateBatch
    | QuerySet
    | QueryDelete
    | ConfigSet
    | ConfigDelete
    | IntentionSet
    | IntentionDelete
    | CASetConfig
    | CASetRoots
    | CASetProviderState
    | CADeleteProviderState
    | CANextSerial
    | AutopilotSet
    | TombstoneReap
    | TokenSet
    | TokenDelete
    | TokenBootstrap
    | PolicySet
    | PolicyDelete
    | RoleSet
    | RoleDelete
    | BindingRuleSet
    | BindingRuleDelete
    | AuthMethodSet
    | AuthMethodDelete
    | ConfigReplicate
    | IntentionReplicate
)

encode_command = msgspec.msgpack.Encoder().encode
decode_command = msgspec.msgpack.Decoder(AnyCommand).decode
"""Errors: msgspec.DecodeError (malformed) or its subclass ValidationError (unknown command, wrong field)."""

# ---------------------------------------------------------------------------------------------------- results


class Result(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """What a command answers."""


class Done(Result, frozen=True):
    """It was carried out and has nothing to say."""


class Outcome(Result, frozen=True):
    """Whether a conditional command (cas, lock, …) took effect."""

    ok: bool


class Number(Result, frozen=True):
    value: int


class Name(Result, frozen=True):
    """The ID of what was created."""

    id: str


class Failed(Result, frozen=True):
    """Refused; nothing was changed. `text` is Consul's error text."""

    text: str
    kind: str = "invalid"
    """`invalid` (HTTP 500, as Consul maps them), `bad-request` (400), `denied` (403) or `not-found` (404)."""


class TxnError(msgspec.Struct, array_like=True, frozen=True):
    op_index: int
    what: str


class TxnEntry(msgspec.Struct, array_like=True, frozen=True, tag="kv"):
    """A KV result: value None unless the operation was a get."""

    key: bytes
    lock_index: int
    flags: int
    value: bytes | None
    session: str
    create_index: int
    modify_index: int


class TxnNodeResult(msgspec.Struct, array_like=True, frozen=True, tag="node"):
    node: Node


class TxnServiceResult(msgspec.Struct, array_like=True, frozen=True, tag="service"):
    service: Service


class TxnCheckResult(msgspec.Struct, array_like=True, frozen=True, tag="check"):
    check: Check


TxnItem = TxnEntry | TxnNodeResult | TxnServiceResult | TxnCheckResult


class TxnResult(Result, frozen=True):
    """Either results (in the order of the operations that give one) or errors, never both."""

    results: list[TxnItem]
    errors: list[TxnError]


AnyResult = Done | Outcome | Number | Name | Failed | TxnResult

encode_result = msgspec.msgpack.Encoder().encode
decode_result = msgspec.msgpack.Decoder(AnyResult).decode
