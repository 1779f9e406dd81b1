"""What is counted about consensus and the state machine: the driver reports events, here they become series.

Names and meanings are Consul's (`lictor.telemetry.catalogue`). Times of single commands are a batch's mean: commands
are replicated and applied in batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import msgspec

from lictor import telemetry
from lictor.state.commands import (
    AuthMethodDelete,
    AuthMethodSet,
    AutopilotSet,
    BindingRuleDelete,
    BindingRuleSet,
    CADeleteProviderState,
    CANextSerial,
    CASetConfig,
    CASetProviderState,
    CASetRoots,
    Command,
    ConfigDelete,
    ConfigReplicate,
    ConfigSet,
    CoordinateBatch,
    Deregister,
    IntentionDelete,
    IntentionReplicate,
    IntentionSet,
    PolicyDelete,
    PolicySet,
    QueryDelete,
    QuerySet,
    Register,
    RoleDelete,
    RoleSet,
    SessionCreate,
    SessionDestroy,
    TokenBootstrap,
    TokenDelete,
    TokenSet,
    TombstoneReap,
    Txn,
    decode_command,
)
from raftd.core.effects import RoleName, SoftState
from raftd.core.entry import Entry, EntryKind
from raftd.core.messages import (
    AppendRequest,
    AppendResponse,
    Message,
    SnapshotChunk,
    SnapshotChunkResponse,
    VoteRequest,
)

WAITING_MAX = 65536
"""Batches whose times are remembered; more are never on their way."""
LAST_CONTACT_INTERVAL_S = 0.5
KV_VERBS = ("cas", "delete", "delete-cas", "delete-tree", "lock", "set", "unlock")
KV_HEAD = b"\xa2KV"

_OPERATIONS: dict[type[Command], tuple[str, str]] = {
    Register: ("fsm.register", ""),
    Deregister: ("fsm.deregister", ""),
    SessionCreate: ("fsm.session", "create"),
    SessionDestroy: ("fsm.session", "destroy"),
    Txn: ("fsm.txn", ""),
    CoordinateBatch: ("fsm.coordinate.batch-update", ""),
    QuerySet: ("fsm.prepared-query", "update"),
    QueryDelete: ("fsm.prepared-query", "delete"),
    IntentionSet: ("fsm.intention", "update"),
    IntentionDelete: ("fsm.intention", "delete"),
    IntentionReplicate: ("fsm.intention", "update"),
    CASetConfig: ("fsm.ca", "set-config"),
    CASetRoots: ("fsm.ca", "set-roots"),
    CASetProviderState: ("fsm.ca", "set-provider-state"),
    CADeleteProviderState: ("fsm.ca", "delete-provider-state"),
    CANextSerial: ("fsm.ca.leaf", "increment-serial"),
    AutopilotSet: ("fsm.autopilot", ""),
    TombstoneReap: ("fsm.tombstone", "reap"),
    TokenSet: ("fsm.acl.token", "upsert"),
    TokenDelete: ("fsm.acl.token", "delete"),
    TokenBootstrap: ("fsm.acl.token", "bootstrap"),
    PolicySet: ("fsm.acl.policy", "upsert"),
    PolicyDelete: ("fsm.acl.policy", "delete"),
    RoleSet: ("fsm.acl.role", "upsert"),
    RoleDelete: ("fsm.acl.role", "delete"),
    BindingRuleSet: ("fsm.acl.bindingrule", "upsert"),
    BindingRuleDelete: ("fsm.acl.bindingrule", "delete"),
    AuthMethodSet: ("fsm.acl.authmethod", "upsert"),
    AuthMethodDelete: ("fsm.acl.authmethod", "delete"),
}


def _series(name: str, operation: str) -> telemetry.Sample:
    return telemetry.sample(name, labels=(("op", operation),) if operation else ())


def _tag(command: type[Command]) -> bytes:
    """The command's name as it stands encoded behind the array's first byte."""
    return msgspec.msgpack.encode(command.__name__)


_BY_TAG = {_tag(command): _series(*operation) for command, operation in _OPERATIONS.items()}
_BY_KV_VERB = {msgspec.msgpack.encode(verb): _series("fsm.kvs", verb) for verb in KV_VERBS}

_counter, _sample, _gauge = telemetry.counter, telemetry.sample, telemetry.gauge
_COMMANDS = _counter("raft.apply")
_COMMIT_TIMES = _sample("raft.commitTime")
_COMMITTED = _gauge("raft.commitNumLogs")
_BATCH_TIMES = _sample("raft.fsm.applyBatch")
_BATCH_SIZES = _sample("raft.fsm.applyBatchNum")
_COMMAND_TIMES = _sample("raft.fsm.apply")
_LEADER_WRITES = _sample("raft.leader.dispatchLog")
_LEADER_WRITE_SIZE = _gauge("raft.leader.dispatchNumLogs")
_FOLLOWER_WRITES = _sample("raft.rpc.appendEntries.storeLogs")
_VERIFICATIONS = _counter("raft.verify_leader")
_BARRIERS = _counter("raft.barrier")
_BARRIER_TIMES = _sample("leader.barrier")
_ELECTIONS = _sample("raft.candidate.electSelf")
_LAST_CONTACTS = _sample("raft.leader.lastContact")
_HEARTBEAT_TIMEOUTS = _counter("raft.transition.heartbeat_timeout")
_LEASE_TIMEOUTS = _counter("raft.transition.leader_lease_timeout")
_STATES = {
    RoleName.FOLLOWER: _counter("raft.state.follower"),
    RoleName.CANDIDATE: _counter("raft.state.candidate"),
    RoleName.LEADER: _counter("raft.state.leader"),
}
_APPENDS = _sample("raft.rpc.appendEntries")
_HEARTBEATS = _sample("raft.rpc.processHeartbeat")
_VOTES = _sample("raft.rpc.requestVote")
_CHUNKS = _sample("raft.rpc.installSnapshot")
_RESTORES = _counter("raft.restore")
_RESTORE_TIMES = _sample("raft.fsm.restore")


def _as_float(source: Callable[[], int]) -> float:
    return float(source())


class _Peer:
    """Another server, as this leader's messages reach it: the time of the oldest one without an answer."""

    def __init__(self, server_id: str) -> None:
        self.entries = _counter("raft.replication.appendEntries.logs.<peer>", part=server_id)
        self.appends = _sample("raft.replication.appendEntries.rpc.<peer>", part=server_id)
        self.heartbeats = _sample("raft.replication.heartbeat.<peer>", part=server_id)
        self.chunks = _sample("raft.replication.installSnapshot.<peer>", part=server_id)
        self.append_sent_s = 0.0
        self.heartbeat_sent_s = 0.0
        self.chunk_sent_s = 0.0


class RaftMetrics:
    """Told by one driver."""

    def __init__(self) -> None:
        self._proposed: deque[tuple[int, float]] = deque(maxlen=WAITING_MAX)
        self._writing: deque[tuple[int, float, bool]] = deque(maxlen=WAITING_MAX)
        self._peers: dict[str, _Peer] = {}
        self._campaign_s = 0.0
        self._leading_s = 0.0
        self._contacts_at_s = 0.0

    def watch(self, sources: Mapping[str, Callable[[], int]]) -> None:
        """Where gauges, by name, come from when somebody asks."""
        for name, source in sources.items():
            _gauge(name).source = partial(_as_float, source)

    # --- commands ---------------------------------------------------------------------------------------------

    def proposed(self, first_index: int, count: int) -> None:
        """So many commands were appended to the leader's log."""
        _COMMANDS.add_many(1.0, count)
        self._proposed.append((first_index + count - 1, perf_counter()))

    def committed(self, last_index: int) -> None:
        """Everything up to the index is committed and about to be applied."""
        proposed = self._proposed
        if not proposed or proposed[0][0] > last_index:
            return
        now_s = perf_counter()
        while proposed and proposed[0][0] <= last_index:
            _COMMIT_TIMES.add((now_s - proposed.popleft()[1]) * 1000.0)

    def applied(self, entries: Sequence[Entry], started_s: float) -> None:
        """These entries were applied in one batch."""
        batch_ms = (perf_counter() - started_s) * 1000.0
        count = len(entries)
        each_ms = batch_ms / count
        _BATCH_TIMES.add(batch_ms)
        _BATCH_SIZES.add(count)
        _COMMAND_TIMES.add_many(each_ms, count)
        _COMMITTED.value = float(count)
        for entry in entries:
            if entry.kind == EntryKind.COMMAND and (sample := _sample_of(entry.data)) is not None:
                sample.add(each_ms)

    def barrier_passed(self) -> None:
        """A new leader has applied an entry of its own term."""
        _BARRIERS.increment()
        if self._leading_s:
            _BARRIER_TIMES.since(self._leading_s)

    def restored(self, started_s: float) -> None:
        """A snapshot has taken the state's place."""
        _RESTORES.increment()
        _RESTORE_TIMES.since(started_s)

    # --- the log ----------------------------------------------------------------------------------------------

    def writing(self, sequence: int, count: int, leads: bool) -> None:
        """Entries were handed to the log writer."""
        if leads:
            _LEADER_WRITE_SIZE.value = float(count)
        self._writing.append((sequence, perf_counter(), leads))

    def written(self, sequence: int) -> None:
        """Writes up to this one are durable."""
        writing = self._writing
        while writing and writing[0][0] <= sequence:
            _, started_s, leads = writing.popleft()
            (_LEADER_WRITES if leads else _FOLLOWER_WRITES).since(started_s)

    # --- roles ------------------------------------------------------------------------------------------------

    def state_changed(self, previous: SoftState, state: SoftState) -> None:
        """Role or term are others."""
        if previous.role is state.role:
            return
        if (counter := _STATES.get(state.role)) is not None:
            counter.increment()
        if previous.role is RoleName.FOLLOWER and state.role is not RoleName.LEADER:
            _HEARTBEAT_TIMEOUTS.increment()
        if previous.role is RoleName.LEADER:
            self._proposed.clear()
            self._peers.clear()
            if state.term == previous.term:
                _LEASE_TIMEOUTS.increment()
        if state.role is RoleName.CANDIDATE:
            self._campaign_s = perf_counter()
        elif state.role is RoleName.LEADER:
            self._leading_s = perf_counter()
            if self._campaign_s:
                _ELECTIONS.since(self._campaign_s)
            self._campaign_s = 0.0

    def verified(self, count: int) -> None:
        """So many barriers asked for a confirmation of the leadership."""
        _VERIFICATIONS.add_many(1.0, count)

    def maybe_contacts(self, contacts_ns: Callable[[], Iterable[int]], now_ns: int) -> None:
        """Now and then: how long ago the leader heard of each of the others."""
        now_s = now_ns / 1e9
        if now_s >= self._contacts_at_s:
            self._contacts_at_s = now_s + LAST_CONTACT_INTERVAL_S
            for contact_ns in contacts_ns():
                if contact_ns:
                    _LAST_CONTACTS.add(max(now_ns - contact_ns, 0) / 1e6)

    # --- messages ---------------------------------------------------------------------------------------------

    def sent(self, messages: Sequence[Message]) -> None:
        """Requests went out."""
        now_s = perf_counter()
        for message in messages:
            if isinstance(message, AppendRequest):
                peer = self._peer(message.target)
                if not message.entries:
                    peer.heartbeat_sent_s = peer.heartbeat_sent_s or now_s
                    continue
                peer.entries.add(len(message.entries))
                peer.append_sent_s = peer.append_sent_s or now_s
            elif isinstance(message, SnapshotChunk):
                peer = self._peer(message.target)
                peer.chunk_sent_s = peer.chunk_sent_s or now_s

    def received(self, message: Message, started_s: float) -> None:
        """A message was handed to the core, which took since `started_s`."""
        if isinstance(message, AppendRequest):
            (_APPENDS if message.entries else _HEARTBEATS).since(started_s)
        elif isinstance(message, AppendResponse):
            self._answered(message.source, started_s)
        elif isinstance(message, VoteRequest):
            _VOTES.since(started_s)
        elif isinstance(message, SnapshotChunk):
            _CHUNKS.since(started_s)
        elif isinstance(message, SnapshotChunkResponse):
            peer = self._peer(message.source)
            if peer.chunk_sent_s:
                peer.chunks.add((started_s - peer.chunk_sent_s) * 1000.0)
                peer.chunk_sent_s = 0.0

    def _answered(self, server_id: str, now_s: float) -> None:
        peer = self._peer(server_id)
        if peer.append_sent_s:
            peer.appends.add((now_s - peer.append_sent_s) * 1000.0)
            peer.append_sent_s = 0.0
        elif peer.heartbeat_sent_s:
            peer.heartbeats.add((now_s - peer.heartbeat_sent_s) * 1000.0)
        peer.heartbeat_sent_s = 0.0

    def _peer(self, server_id: str) -> _Peer:
        peer = self._peers.get(server_id)
        if peer is None:
            peer = self._peers[server_id] = _Peer(server_id)
        return peer


def _sample_of(data: bytes) -> telemetry.Sample | None:
    """The series of a command, from its first bytes where it is a frequent one."""
    if data.startswith(KV_HEAD, 1):
        return _BY_KV_VERB.get(data[4 : 5 + (data[4] & 0x1F)])
    sample = _BY_TAG.get(data[1 : 2 + (data[1] & 0x1F)])
    if sample is not None:
        return sample
    return _config_entry_sample(data)


def _config_entry_sample(data: bytes) -> telemetry.Sample | None:
    try:
        command: Any = decode_command(data)
    except msgspec.DecodeError:
        return None
    if isinstance(command, ConfigSet):
        kind, operation = command.entry.kind, "upsert"
    elif isinstance(command, ConfigDelete):
        kind, operation = command.kind, "delete"
    elif isinstance(command, ConfigReplicate) and command.entries:
        kind, operation = command.entries[0].kind, "upsert"
    elif isinstance(command, ConfigReplicate) and command.deletes:
        kind, operation = command.deletes[0][0], "delete"
    else:
        return None
    return telemetry.sample("fsm.config_entry.<kind>", part=kind, labels=(("op", operation),))
