"""What all roles of a server share: term and vote, log, membership, commit index, and the effects gathered so far.

Rules kept here: the term never falls; one vote per term; a vote is told only once durable; the commit index never
falls and never passes the log; messages that wait for the disk are forgotten when the term changes, since by then the
promise they make would come too late.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from raftd.core.config import RaftConfig
from raftd.core.effects import ReadFailure, ReadState, Ready, RoleName
from raftd.core.entry import ENTRY_OVERHEAD_BYTES, Entry, EntryKind, HardState
from raftd.core.log import Log
from raftd.core.log_summary import LogReader, LogSummary
from raftd.core.membership import Membership
from raftd.core.messages import (
    Message,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotChunk,
    VoteRequest,
    VoteResponse,
)
from raftd.core.snapshot import SnapshotMeta, SnapshotRead, SnapshotWrite


class Role(Protocol):
    """Follower, pre-candidate, candidate or leader: state that ends with the role."""

    name: RoleName

    def tick(self, now_ns: int) -> None:
        """Fire timers that are due."""

    def wake_at(self) -> int | None:
        """When the next timer is due."""

    def step(self, now_ns: int, message: Message) -> None:
        """Take a message of the current term (reads: of any)."""

    def flush(self, now_ns: int) -> None:
        """Before effects are taken: send what was gathered."""

    def has_gathered(self) -> bool:
        """Whether `flush` would send something."""

    def persisted(self, now_ns: int) -> None:
        """More of the log or the hard state became durable."""

    def configuration_changed(self, now_ns: int) -> None:
        """Another configuration is in force."""

    def read_index(self, now_ns: int, contexts: Sequence[int]) -> None:
        """Ask for a safe index for reads."""

    def lease_expiry_ns(self) -> int:
        """Until when reads may be served alone; 0: not."""

    def installed(self, index: int) -> None:
        """A snapshot up to `index` was installed; happens to followers only."""

    def stop(self, now_ns: int) -> None:
        """The role ends: fail what depends on it."""


class Receiver(Protocol):
    """Takes snapshot chunks; outlives roles."""

    def take(self, chunk: SnapshotChunk) -> None:
        """A chunk from the current leader."""


class RoleType(Protocol):
    """Makes a role. `transfer` is only looked at by candidates."""

    def __call__(self, node: "Node", now_ns: int, transfer: bool = False) -> Role: ...


@dataclass(frozen=True, slots=True)
class Roles:
    """Which class plays which role."""

    follower: RoleType
    pre_candidate: RoleType
    candidate: RoleType
    leader: RoleType


class Node:
    """The shared state of one server, and the transitions between its roles."""

    def __init__(
        self,
        config: RaftConfig,
        draw: Callable[[int, int], int],
        reader: LogReader,
        hard_state: HardState,
        summary: LogSummary,
        snapshot: SnapshotMeta | None,
        applied_index: int,
        roles: Roles,
    ) -> None:
        self.config = config
        self.id = config.id
        self.draw = draw
        self.roles = roles
        self.role: Role
        self.term = hard_state.term
        self.vote = hard_state.vote
        self.now_ns = 0
        self.heard_ns = 0
        """When a leader was last heard since start, 0: never."""
        self.leader_id = ""
        self.snapshot = snapshot
        self.log_reset: SnapshotMeta | None = None
        self.log = Log(summary, reader, config.log_cache_max_bytes)
        self.membership = Membership(snapshot, summary.configurations)
        self.applied_index = applied_index
        self.commit_index = applied_index
        self.contact_ns: int | None = None
        """When a leader was last heard in person; votes are refused for a heartbeat timeout from there."""
        self.sequence = 0
        self.persisted_sequence = 0
        self.hard_state_dirty = False
        self.deferred: list[tuple[int, VoteRequest | VoteResponse]] = []
        self.messages: list[Message] = []
        self.reads: list[ReadState] = []
        self.read_failures: list[ReadFailure] = []
        self.snapshot_reads: list[SnapshotRead] = []
        self.snapshot_writes: list[SnapshotWrite] = []
        self.snapshot_restore: SnapshotMeta | None = None
        self.receiver: Receiver

    # --- term, vote, messages ---------------------------------------------------------------------------------

    def set_hard_state(self, term: int, vote: str) -> None:
        """Move to a later term, or vote for the first time in this one."""
        assert term > self.term or (term == self.term and self.vote in ("", vote)), (
            f"term {self.term} vote {self.vote!r} cannot become term {term} vote {vote!r}"
        )
        if term > self.term:
            self.deferred.clear()
        if (term, vote) != (self.term, self.vote):
            self.term, self.vote = term, vote
            self.hard_state_dirty = True

    @property
    def must_write(self) -> bool:
        """Whether something waits to be handed to the disk."""
        return self.hard_state_dirty or self.log_reset is not None or self.log.has_unwritten

    def send_when_durable(self, message: VoteRequest | VoteResponse) -> None:
        """Send once the term and vote as they are now are durable."""
        needed = self.sequence + 1 if self.hard_state_dirty else self.sequence
        if needed <= self.persisted_sequence:
            self.messages.append(message)
        else:
            self.deferred.append((needed, message))

    def take_durable_messages(self) -> list[VoteRequest | VoteResponse]:
        """Messages that waited and need not any more."""
        due = [message for needed, message in self.deferred if needed <= self.persisted_sequence]
        self.deferred = [waiting for waiting in self.deferred if waiting[0] > self.persisted_sequence]
        return due

    def refuse_read(self, message: ReadIndexRequest) -> None:
        """Not a leader: the asker must try elsewhere."""
        self.messages.append(ReadIndexResponse(self.id, message.source, self.term, message.request_id, 0))

    # --- roles ------------------------------------------------------------------------------------------------

    def become_follower(self, now_ns: int, term: int, leader_id: str) -> None:
        """Follow `leader_id` ("": nobody yet) in `term`."""
        if term > self.term:
            self.set_hard_state(term, "")
        self._become(now_ns, self.roles.follower, leader_id)

    def become_pre_candidate(self, now_ns: int) -> None:
        """Ask whether an election could be won (dissertation 9.6)."""
        self._become(now_ns, self.roles.pre_candidate, "")

    def become_candidate(self, now_ns: int, transfer: bool) -> None:
        """Campaign in the next term."""
        self.set_hard_state(self.term + 1, self.id)
        self._become(now_ns, self.roles.candidate, "", transfer)

    def become_leader(self, now_ns: int) -> None:
        """Lead the current term."""
        self._become(now_ns, self.roles.leader, self.id)

    def _become(self, now_ns: int, role: RoleType, leader_id: str, transfer: bool = False) -> None:
        self.role.stop(now_ns)
        self.leader_id = leader_id
        self.role = role(self, now_ns, transfer)

    @property
    def is_voter(self) -> bool:
        """Whether this server may vote and campaign, as far as it knows."""
        return self.id in self.membership.voters

    @property
    def may_campaign(self) -> bool:
        """A voter may; and one whose vote is being taken away, until that is known to be committed: the others may need
        its log to commit it (dissertation 4.2.2). Its own vote does not count then. A server that restarts knows of no
        commitment, so every configuration that may still be the committed one counts."""
        return self.membership.may_be_voter(self.id, self.commit_index)

    @property
    def is_sole_voter(self) -> bool:
        """Whether this server alone is a quorum."""
        return self.membership.voters == (self.id,)

    def hears_leader(self, now_ns: int) -> bool:
        """Whether some leader's lease may still rest on this server: it grants no votes then (6.2, 4.2.3)."""
        if self.role.name == RoleName.LEADER:
            return True
        return self.contact_ns is not None and now_ns < self.contact_ns + self.config.heartbeat_timeout_ns

    def is_up_to_date(self, last_index: int, last_term: int) -> bool:
        """Whether a candidate's log is at least as complete as ours (3.6.1)."""
        return (last_term, last_index) >= (self.log.last_term, self.log.last_index)

    # --- log --------------------------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry]) -> int:
        """Append entries, put their configurations in force; returns their size in bytes."""
        self.log.append(entries)
        size_bytes = 0
        for entry in entries:
            size_bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES
            if entry.kind == EntryKind.CONFIGURATION:
                self.membership.append(entry)
        return size_bytes

    def cut(self, index: int) -> None:
        """Remove a conflicting tail. What is committed is never cut (leader completeness, 3.6.3)."""
        assert index > self.commit_index, f"cut at {index} would lose committed entries up to {self.commit_index}"
        self.log.cut(index)
        self.membership.cut(index)

    def commit_to(self, index: int) -> bool:
        """Raise the commit index; returns whether it rose."""
        if index <= self.commit_index:
            return False
        assert index <= self.log.last_index, f"commit {index} beyond the log's end {self.log.last_index}"
        self.commit_index = index
        return True

    def restore(self, meta: SnapshotMeta) -> None:
        """A durable snapshot replaces log, configuration and (through the driver) the state machine."""
        self.snapshot = meta
        self.log.reset(meta.index, meta.term)
        self.log_reset = meta
        self.membership.reset(meta)
        self.commit_index = meta.index
        self.snapshot_restore = meta

    # --- effects ----------------------------------------------------------------------------------------------

    def fill(self, ready: Ready) -> None:
        """Move what was gathered into `ready`."""
        if self.must_write:
            self.sequence += 1
            ready.sequence = self.sequence
            ready.log_reset, self.log_reset = self.log_reset, None
            ready.entries = self.log.take_unwritten(self.sequence)
            if self.hard_state_dirty:
                ready.hard_state = HardState(self.term, self.vote)
                self.hard_state_dirty = False
        ready.messages, self.messages = self.messages, []
        ready.snapshot_restore, self.snapshot_restore = self.snapshot_restore, None
        ready.reads, self.reads = self.reads, []
        ready.read_failures, self.read_failures = self.read_failures, []
        ready.snapshot_reads, self.snapshot_reads = self.snapshot_reads, []
        ready.snapshot_writes, self.snapshot_writes = self.snapshot_writes, []
