"""The Raft server: a plain object; every input carries the time, effects wait in `ready()`.

This file is the door: it checks terms, gives votes, and hands everything else to the role of the moment.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raftd.core.apply import Applier
from raftd.core.candidate import Candidate, PreCandidate
from raftd.core.config import RaftConfig
from raftd.core.configuration import Configuration, ConfigurationChange
from raftd.core.effects import Ready, RoleName, SoftState
from raftd.core.entry import Entry, EntryKind, HardState
from raftd.core.errors import AlreadyBootstrappedError, NotLeaderError
from raftd.core.follower import Follower
from raftd.core.leader import Leader
from raftd.core.log_summary import LogReader, LogSummary
from raftd.core.messages import (
    AppendRequest,
    AppendResponse,
    Message,
    ReadIndexRequest,
    SnapshotChunk,
    VoteRequest,
    VoteResponse,
)
from raftd.core.node import Node, Roles
from raftd.core.progress import ProgressState
from raftd.core.snapshot import SnapshotMeta
from raftd.core.snapshot_receive import SnapshotReceiver

ROLES = Roles(follower=Follower, pre_candidate=PreCandidate, candidate=Candidate, leader=Leader)
"""Who plays what."""


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a leader knows of another server, for autopilot and metrics."""

    id: str
    match_index: int
    next_index: int
    state: str
    """"probe", "replicate" or "snapshot"."""
    last_contact_ns: int
    """When it last answered; before that, when this leader began to follow it."""


class Raft:
    """One server. Not thread-safe.

    `now_ns` must never go back, and must be read after what it accompanies was received. After a pause, messages that
    have arrived should be stepped before `tick`. `draw(low, high)` returns a random integer in low..high inclusive
    (e.g. `random.Random(seed).randint`).
    """

    def __init__(
        self,
        config: RaftConfig,
        now_ns: int,
        draw: Callable[[int, int], int],
        reader: LogReader,
        hard_state: HardState,
        log: LogSummary,
        snapshot: SnapshotMeta | None,
        applied_index: int,
    ) -> None:
        """Start from what is durable: all empty on a new server.

        `log` describes the stored log and is owned by the core from here on; `snapshot` is the newest complete one.
        A log that does not reach or match the snapshot (a crash in the middle of an install) is reset in the first
        `Ready`. `applied_index` is the state machine's, at least the snapshot's index.
        """
        reset = snapshot is not None and not _log_agrees(log, snapshot)
        if reset:
            assert snapshot is not None
            log = LogSummary(snapshot.index, snapshot.term)
        snapshot_index = snapshot.index if snapshot else 0
        assert log.before_index <= snapshot_index, f"log starts at {log.first_index}, snapshot at {snapshot_index}"
        assert snapshot_index <= applied_index <= log.last_index, (
            f"state machine at {applied_index}, snapshot at {snapshot_index}, log's end at {log.last_index}"
        )
        node = Node(config, draw, reader, hard_state, log, snapshot, applied_index, ROLES)
        self._node = node
        node.now_ns = now_ns
        if hard_state.term or log.last_index:
            node.contact_ns = now_ns  # we may have answered a leader just before we stopped
        if reset:
            node.log_reset = snapshot
        self._receiver = SnapshotReceiver(node)
        node.receiver = self._receiver
        self._applier = Applier(node)
        node.role = node.roles.follower(node, now_ns)
        self._published: SoftState | None = None

    # --- what the outside may look at -------------------------------------------------------------------------

    @property
    def soft_state(self) -> SoftState:
        """Role, term, leader, commit index and lease, as of the last input."""
        node = self._node
        role = node.role
        lease_expiry_ns = role.lease_expiry_ns()
        return SoftState(role.name, node.term, node.leader_id, node.commit_index, lease_expiry_ns, node.is_sole_voter)

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the latest in the log, committed or not."""
        return self._node.membership.current

    @property
    def configuration_index(self) -> int:
        """Index of the entry that holds `configuration`."""
        return self._node.membership.current_index

    @property
    def first_index(self) -> int:
        """First log index kept."""
        return self._node.log.first_index

    @property
    def last_index(self) -> int:
        """Last log index, durable or not."""
        return self._node.log.last_index

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        return self._node.log.last_term

    @property
    def commit_index(self) -> int:
        """Highest index known to be committed."""
        return self._node.commit_index

    @property
    def applied_index(self) -> int:
        """As last reported by `applied`."""
        return self._node.applied_index

    @property
    def last_contact_ns(self) -> int:
        """When a leader was last heard (0: never); on a leader, when a quorum last answered."""
        role = self._node.role
        if isinstance(role, Leader):
            return role.quorum_contact_ns
        return self._node.heard_ns

    def peers(self) -> list[PeerStatus]:
        """On the leader: every other member, and removed ones still being told; empty elsewhere."""
        role = self._node.role
        if not isinstance(role, Leader):
            return []
        return [
            PeerStatus(p.id, p.match_index, p.next_index, str(p.state), p.contact_ns)
            for p in role.replication.peers.values()
        ]

    def wake_at(self) -> int | None:
        """Call `tick` at this time at the latest; None: nothing is waiting for time to pass."""
        return self._node.role.wake_at()

    def has_ready(self) -> bool:
        """Whether `ready()` would hold anything."""
        node = self._node
        return bool(
            node.messages
            or node.must_write
            or self._applier.has_work()
            or node.reads
            or node.read_failures
            or node.snapshot_reads
            or node.snapshot_writes
            or node.snapshot_restore
            or node.membership.changed
            or node.role.has_gathered()
            or self.soft_state != self._published
        )

    def ready(self) -> Ready:
        """Take the effects gathered so far. Must be carried out as `raftd.core.effects` says."""
        node = self._node
        node.role.flush(node.now_ns)
        ready = Ready()
        node.fill(ready)
        ready.committed = self._applier.take()
        soft_state = self.soft_state
        if soft_state != self._published:
            ready.soft_state = self._published = soft_state
        if node.membership.changed:
            node.membership.changed = False
            ready.configuration = node.membership.current
        return ready

    # --- time and messages ------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Let time pass: timers that are due fire. Calling it more often does no harm."""
        self._advance(now_ns)
        self._node.role.tick(self._node.now_ns)

    def step(self, now_ns: int, message: Message) -> None:
        """Take a message from another server. Messages for somebody else are ignored, those of old terms refused."""
        node = self._node
        now_ns = self._advance(now_ns)
        if message.target != node.id or message.source == node.id:
            return
        if isinstance(message, VoteRequest):
            self._vote(now_ns, message)
            return
        if message.term > node.term:
            if isinstance(message, VoteResponse) and message.pre_vote and message.granted:
                pass  # its term is the one we would campaign in
            else:
                node.become_follower(now_ns, message.term, "")
        elif message.term < node.term and not isinstance(message, ReadIndexRequest):
            self._refuse_old_term(message)
            return
        if isinstance(message, AppendRequest | SnapshotChunk):
            self._hear_leader(now_ns, message.source)
        node.role.step(now_ns, message)
        self._follow_configuration(now_ns)

    def _hear_leader(self, now_ns: int, leader_id: str) -> None:
        node = self._node
        assert node.role.name != RoleName.LEADER, f"two leaders in term {node.term}: {node.id}, {leader_id}"
        assert node.leader_id in ("", leader_id), f"two leaders in term {node.term}: {node.leader_id}, {leader_id}"
        if node.role.name != RoleName.FOLLOWER:
            node.become_follower(now_ns, node.term, leader_id)
        node.leader_id = leader_id
        node.contact_ns = node.heard_ns = now_ns
        assert isinstance(node.role, Follower)
        node.role.restart_election_timer(now_ns)

    def _refuse_old_term(self, message: Message) -> None:
        """A leader of an old term must hear that it is one; everything else of old terms is void."""
        if isinstance(message, AppendRequest | SnapshotChunk):
            node = self._node
            node.messages.append(AppendResponse(node.id, message.source, node.term, 0, False, 0, 0, 0, 0))

    def _vote(self, now_ns: int, message: VoteRequest) -> None:
        """Give or refuse a vote (3.4, 3.6.1; 4.2.3 and 6.2 for loyalty to a leader that is heard)."""
        node = self._node
        loyal = node.hears_leader(now_ns) and not message.transfer
        if not message.pre_vote and message.term > node.term and not loyal:
            node.become_follower(now_ns, message.term, "")
        may_vote = not loyal and node.is_up_to_date(message.last_index, message.last_term)
        if message.pre_vote:
            granted = may_vote and message.term > node.term
            term = message.term if granted else node.term
            node.messages.append(VoteResponse(node.id, message.source, term, True, granted))
        elif may_vote and message.term == node.term and node.vote in ("", message.source) and not node.leader_id:
            node.set_hard_state(node.term, message.source)
            if isinstance(node.role, Follower):
                node.role.restart_election_timer(now_ns)
            node.send_when_durable(VoteResponse(node.id, message.source, node.term, False, True))
        else:
            node.messages.append(VoteResponse(node.id, message.source, node.term, False, False))

    # --- proposals, reads, leadership -------------------------------------------------------------------------

    def propose(self, now_ns: int, data: Sequence[bytes]) -> tuple[int, int]:
        """Append commands; returns (index of the first, term). All or none are taken.

        Raises NotLeaderError, TransferInProgressError, UncommittedLimitError, EntryTooLargeError.
        """
        self._advance(now_ns)
        return self._leader().propose(EntryKind.COMMAND, data)

    def propose_barrier(self, now_ns: int) -> tuple[int, int]:
        """Append an empty entry: once applied, everything before it is. Raises as `propose`."""
        self._advance(now_ns)
        return self._leader().propose(EntryKind.NOOP, (b"",))

    def propose_configuration_change(
        self, now_ns: int, change: ConfigurationChange, expected_index: int = 0
    ) -> tuple[int, int]:
        """Append a configuration with one server changed; returns (index, term).

        `expected_index` not 0: refuse unless it is the current `configuration_index`. Raises NotLeaderError,
        TransferInProgressError, ConfigurationChangeError.
        """
        now_ns = self._advance(now_ns)
        proposed = self._leader().propose_configuration(now_ns, change, expected_index)
        self._follow_configuration(now_ns)
        return proposed

    def read_index(self, now_ns: int, contexts: Sequence[int]) -> None:
        """Ask for a safe read index for each context (a number of the driver's choice); followers ask the leader.

        Answered by `Ready.reads` or `Ready.read_failures`. Raises NoLeaderError, TooManyReadsError.
        """
        self._node.role.read_index(self._advance(now_ns), contexts)

    def transfer_leadership(self, now_ns: int, target_id: str = "") -> str:
        """Hand leadership to `target_id`, or to the most advanced voter; returns who it is.

        Proposals are refused until it is done or an election timeout has passed. Raises NotLeaderError,
        TransferInProgressError, TransferTargetError.
        """
        now_ns = self._advance(now_ns)
        return self._leader().transfer_leadership(now_ns, target_id)

    def bootstrap(self, now_ns: int, configuration: Configuration) -> None:
        """Make this the first configuration of a new cluster; all its servers may do so, with an equal one.

        Raises AlreadyBootstrappedError.
        """
        node = self._node
        now_ns = self._advance(now_ns)
        if node.term or node.log.last_index:
            raise AlreadyBootstrappedError("the Raft log is not empty")
        assert configuration.voters, "a cluster needs a voter"
        node.set_hard_state(1, "")
        node.append([Entry(1, 1, EntryKind.CONFIGURATION, configuration.encode())])
        assert isinstance(node.role, Follower)
        node.role.hurry_election(now_ns)

    def _leader(self) -> Leader:
        role = self._node.role
        if not isinstance(role, Leader):
            raise NotLeaderError(self._node.leader_id)
        return role

    # --- reports of the driver --------------------------------------------------------------------------------

    def persisted(self, now_ns: int, sequence: int) -> None:
        """Everything in `Ready`s up to `sequence` is durable."""
        node = self._node
        now_ns = self._advance(now_ns)
        assert sequence <= node.sequence, f"write {sequence} was never ordered (last: {node.sequence})"
        node.persisted_sequence = max(node.persisted_sequence, sequence)
        node.log.persisted(sequence)
        for message in node.take_durable_messages():
            if message.target == node.id:
                node.role.step(now_ns, message)
            else:
                node.messages.append(message)
        node.role.persisted(now_ns)

    def applied(self, now_ns: int, index: int) -> None:
        """The state machine has applied up to `index` (by entries or by a snapshot restored)."""
        self._advance(now_ns)
        self._applier.applied(index)

    def peer_unreachable(self, now_ns: int, peer: str) -> None:
        """The transport knows that messages to `peer` were lost (its stream broke)."""
        self._advance(now_ns)
        if isinstance(self._node.role, Leader):
            self._node.role.replication.unreachable(peer)

    # --- snapshots and compaction -----------------------------------------------------------------------------

    def configuration_at(self, index: int) -> tuple[Configuration, int]:
        """The configuration in force at `index` (an applied index) and its own index, for a snapshot's meta."""
        return self._node.membership.at(index)

    def term_at(self, index: int) -> int:
        """The term of the entry at `index` (kept in the log, or the last one compacted), for a snapshot's meta."""
        term = self._node.log.term(index)
        assert term is not None, f"index {index} is not in the log"
        return term

    def snapshot_taken(self, now_ns: int, meta: SnapshotMeta) -> None:
        """A snapshot of this server's state machine is complete and durable; followers may be sent it."""
        self._advance(now_ns)
        node = self._node
        assert meta.index <= node.applied_index, f"snapshot {meta.id} is ahead of the state machine"
        if node.snapshot is None or meta.index >= node.snapshot.index:
            node.snapshot = meta

    def compact(self, now_ns: int, index: int) -> int:
        """Forget entries up to `index`, at most up to the latest snapshot and not what a running snapshot transfer
        needs next; returns up to where. The driver then removes those from its log."""
        node = self._node
        self._advance(now_ns)
        index = min(index, node.snapshot.index if node.snapshot else 0, node.log.durable_index)
        index = min([index, *(meta.index for meta in self._snapshots_sent())])
        if index > node.log.summary.before_index:
            node.log.compact(index)
            node.membership.compact(index)
        return node.log.summary.before_index

    def snapshots_in_use(self) -> frozenset[str]:
        """Ids of snapshots that are being sent: keep their files."""
        return frozenset(meta.id for meta in self._snapshots_sent())

    def _snapshots_sent(self) -> list[SnapshotMeta]:
        role = self._node.role
        if not isinstance(role, Leader):
            return []
        return [
            peer.snapshot
            for peer in role.replication.peers.values()
            if peer.state == ProgressState.SNAPSHOT and peer.snapshot is not None
        ]

    def snapshot_unavailable(self, now_ns: int, target: str) -> None:
        """A `SnapshotRead` for `target` could not be carried out."""
        self._advance(now_ns)
        if isinstance(self._node.role, Leader):
            self._node.role.replication.snapshot_unavailable(target)

    def snapshot_written(self, now_ns: int, snapshot_id: str, next_offset: int) -> None:
        """A `SnapshotWrite` was carried out, see there for what it promises."""
        now_ns = self._advance(now_ns)
        self._receiver.written(snapshot_id, next_offset)
        self._follow_configuration(now_ns)

    def snapshot_rejected(self, now_ns: int, snapshot_id: str) -> None:
        """The incoming snapshot could not be written or does not verify; it starts again from offset 0."""
        self._advance(now_ns)
        self._receiver.rejected(snapshot_id)

    # --- inside -----------------------------------------------------------------------------------------------

    def _advance(self, now_ns: int) -> int:
        assert now_ns >= self._node.now_ns, f"time went back from {self._node.now_ns} to {now_ns}"
        self._node.now_ns = now_ns
        return now_ns

    def _follow_configuration(self, now_ns: int) -> None:
        if self._node.membership.changed:
            self._node.role.configuration_changed(now_ns)


def _log_agrees(log: LogSummary, snapshot: SnapshotMeta) -> bool:
    """Whether the log goes on from the snapshot, or holds its last entry."""
    if log.last_index < snapshot.index:
        return False
    term = log.term(snapshot.index)
    return term is None or term == snapshot.term


def recovery_meta(
    log: LogSummary, snapshot: SnapshotMeta | None, meta_id: str, configuration: Configuration, size_bytes: int
) -> SnapshotMeta:
    """The meta of a snapshot that puts `configuration` in force on a stopped server (peers.json recovery).

    Procedure (Consul's): apply the whole stored log to the state machine, snapshot it with this meta, make that
    durable, then start with an empty log after it.
    """
    assert configuration.voters, "a cluster needs a voter"
    index, term = log.last_index, log.last_term
    if snapshot is not None and snapshot.index > index:
        index, term = snapshot.index, snapshot.term
    return SnapshotMeta(meta_id, index, term, configuration, index, size_bytes)
