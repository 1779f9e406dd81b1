"""The leader: takes proposals, replicates, commits, proves its leadership (Raft dissertation 3.5, 3.6, 6.4, 3.10, 4).

Rules kept here: only entries of its own term are committed by counting; its own log counts as far as it is durable;
reads and leases wait for an entry of its own term; once a successor was told to campaign, the lease is gone for good.
"""

from collections import deque
from collections.abc import Sequence

from raftd.core.configuration import Configuration, ConfigurationChange
from raftd.core.effects import ReadFailure, ReadState, RoleName
from raftd.core.entry import ENTRY_OVERHEAD_BYTES, Entry, EntryKind
from raftd.core.errors import (
    ConfigurationChangeError,
    EntryTooLargeError,
    TooManyReadsError,
    TransferInProgressError,
    UncommittedLimitError,
)
from raftd.core.membership import change_configuration
from raftd.core.messages import (
    AppendResponse,
    Message,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotChunkResponse,
)
from raftd.core.node import Node
from raftd.core.progress import Progress
from raftd.core.quorum import reached_by_quorum
from raftd.core.replication import Replication
from raftd.core.rounds import ReadRequest, Rounds, requests_contexts
from raftd.core.transfer import Transfer


class Leader:
    """All state dies with the role; there is one object per term led."""

    name = RoleName.LEADER

    def __init__(self, node: Node, now_ns: int, transfer: bool = False) -> None:
        self._node = node
        self._rounds = Rounds(node.config)
        self.replication = Replication(node, self._rounds)
        self._transfer = Transfer(node, self.replication)
        self._uncommitted: deque[tuple[int, int]] = deque()
        """(last index, bytes) of each batch proposed and not committed."""
        self._uncommitted_bytes = 0
        self._quorum_contact_ns = now_ns
        self._notice_at_ns: int | None = None
        self._sole_lease_ns = 0
        self._heartbeat_at_ns = now_ns
        self._append(EntryKind.NOOP, (b"",))
        self._term_start_index = node.log.last_index
        self.replication.follow_configuration(now_ns)
        self._renew_sole_lease(now_ns)
        self._beat(now_ns)

    # --- time -------------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Check the quorum, send heartbeats, tell of commits, give up a transfer."""
        node = self._node
        self._renew_sole_lease(now_ns)
        self._quorum_contact_ns = max(self._quorum_contact_ns, self._latest_quorum_contact_ns(now_ns))
        if now_ns >= self._quorum_contact_ns + node.config.quorum_timeout_ns:
            node.become_follower(now_ns, node.term, "")
            return
        self._transfer.tick(now_ns)
        if now_ns >= self._heartbeat_at_ns:
            self._beat(now_ns)
        if self._notice_at_ns is not None and now_ns >= self._notice_at_ns:
            self._notice_at_ns = None
            self.replication.notify_commit()

    def wake_at(self) -> int | None:
        """The next heartbeat or commit notice; for an only voter, the renewal of its lease."""
        times = [time_ns for time_ns in (self._notice_at_ns, self._transfer.deadline_ns) if time_ns is not None]
        if self.replication.peers:
            times.append(self._heartbeat_at_ns)
        if self._node.is_sole_voter:
            times.append(self._sole_lease_ns - self._node.config.sole_voter_lease_ns // 2)
        return min(times) if times else None

    def _beat(self, now_ns: int) -> None:
        interval_ns = self._node.config.heartbeat_interval_ns
        self._heartbeat_at_ns = now_ns + self._node.draw(interval_ns, 2 * interval_ns)
        committed_index = self._node.membership.current_index
        self.replication.dismiss_departed(now_ns, committed_index if committed_index <= self._node.commit_index else 0)
        self._begin_round(now_ns)
        self.replication.heartbeat(now_ns)
        self._transfer.maybe_hand_over()

    # --- messages ---------------------------------------------------------------------------------------------

    def step(self, now_ns: int, message: Message) -> None:
        """Answers of followers, and their reads."""
        match message:
            case AppendResponse():
                progress = self._answered(now_ns, message)
                if progress is not None and self.replication.append_answered(now_ns, progress, message):
                    self._more_is_durable(now_ns)
            case SnapshotChunkResponse():
                progress = self._answered(now_ns, message)
                if progress is not None and self.replication.chunk_answered(now_ns, progress, message):
                    self._more_is_durable(now_ns)
            case ReadIndexRequest():
                if self._rounds.gathered_count >= self._node.config.reads_max:
                    self._node.refuse_read(message)
                else:
                    self._rounds.gather(ReadRequest(message.source, message.request_id, ()))
            case _:
                pass

    def _answered(self, now_ns: int, message: AppendResponse | SnapshotChunkResponse) -> Progress | None:
        """Whoever answers in our term takes us for the leader: that renews the lease and confirms reads."""
        progress = self.replication.peers.get(message.source)
        if progress is None:
            return None
        progress.contact_ns = now_ns
        if message.round > progress.acked_round:
            progress.acked_round = message.round
            self._confirm_rounds()
        return progress

    def _more_is_durable(self, now_ns: int) -> None:
        self._maybe_commit(now_ns)
        self._transfer.maybe_hand_over()

    # --- rounds, lease, reads ---------------------------------------------------------------------------------

    def _begin_round(self, now_ns: int) -> None:
        self._rounds.begin(now_ns)
        if self._has_committed_in_term():
            self._rounds.attach_reads(self._node.commit_index)
        self._confirm_rounds()

    def _confirm_rounds(self) -> None:
        node, peers = self._node, self.replication.peers
        current = self._rounds.current
        acked = [current if voter == node.id else peers[voter].acked_round for voter in node.membership.voters]
        if self._rounds.confirm(reached_by_quorum(acked)):
            self._answer_reads()

    def _answer_reads(self) -> None:
        node = self._node
        for index, requests in self._rounds.take_confirmed_reads():
            node.reads.extend(ReadState(context, index) for context in requests_contexts(requests))
            for request in requests:
                if request.source:
                    node.messages.append(
                        ReadIndexResponse(node.id, request.source, node.term, request.request_id, index)
                    )

    def read_index(self, now_ns: int, contexts: Sequence[int]) -> None:
        """Reads wait for a round that begins after they came."""
        if self._rounds.gathered_count + len(contexts) > self._node.config.reads_max:
            raise TooManyReadsError(f"more than {self._node.config.reads_max} reads wait for confirmation")
        self._rounds.gather(ReadRequest("", 0, tuple(contexts)))

    def lease_expiry_ns(self) -> int:
        """0 until an entry of this term is applied, and after a successor was chosen."""
        node = self._node
        if node.applied_index < self._term_start_index or self._transfer.lease_revoked:
            return 0
        if node.is_sole_voter:
            return self._sole_lease_ns
        return self._rounds.lease_expiry_ns()

    def _renew_sole_lease(self, now_ns: int) -> None:
        lease_ns = self._node.config.sole_voter_lease_ns
        if self._node.is_sole_voter and self._sole_lease_ns <= now_ns + lease_ns // 2:
            self._sole_lease_ns = now_ns + lease_ns

    def _latest_quorum_contact_ns(self, now_ns: int) -> int:
        node, peers = self._node, self.replication.peers
        contacts = [now_ns if voter == node.id else peers[voter].contact_ns for voter in node.membership.voters]
        return reached_by_quorum(contacts)

    @property
    def quorum_contact_ns(self) -> int:
        """When a quorum last answered."""
        return max(self._quorum_contact_ns, self._latest_quorum_contact_ns(self._node.now_ns))

    # --- effects ----------------------------------------------------------------------------------------------

    def _reads_may_begin(self) -> bool:
        return bool(self._rounds.gathered) and not self._rounds.read_waits and self._has_committed_in_term()

    def flush(self, now_ns: int) -> None:
        """Begin a round for reads gathered, send entries."""
        if self._reads_may_begin():
            self._begin_round(now_ns)
            if self._rounds.read_waits:
                for voter in self._node.membership.voters:
                    if voter != self._node.id:
                        self.replication.send_empty(self.replication.peers[voter])
        self.replication.flush(now_ns)
        if self._notice_at_ns is not None and self.replication.knows_commit():
            self._notice_at_ns = None

    def has_gathered(self) -> bool:
        """Whether reads or entries wait to be sent."""
        return self._reads_may_begin() or self.replication.has_work()

    # --- log --------------------------------------------------------------------------------------------------

    def propose(self, kind: EntryKind, data: Sequence[bytes]) -> tuple[int, int]:
        """Append entries of one kind, all or none."""
        config = self._node.config
        if self._transfer.is_active:
            raise TransferInProgressError("leadership transfer in progress")
        size_bytes = sum(map(len, data)) + ENTRY_OVERHEAD_BYTES * len(data)
        largest_bytes = max(map(len, data), default=0)
        if largest_bytes > config.entry_max_bytes:
            raise EntryTooLargeError(f"entry of {largest_bytes} bytes exceeds {config.entry_max_bytes}")
        if self._uncommitted_bytes and self._uncommitted_bytes + size_bytes > config.uncommitted_max_bytes:
            raise UncommittedLimitError(f"{self._uncommitted_bytes} bytes wait to be committed")
        first_index = self._node.log.last_index + 1
        self._append(kind, data)
        return first_index, self._node.term

    def propose_configuration(self, now_ns: int, change: ConfigurationChange, expected_index: int) -> tuple[int, int]:
        """One change at a time, and none before an entry of this term is committed (4.1, and its later correction)."""
        node = self._node
        if self._transfer.is_active:
            raise TransferInProgressError("leadership transfer in progress")
        current_index = node.membership.current_index
        if expected_index not in (0, current_index):
            raise ConfigurationChangeError(f"configuration changed since {expected_index} (latest is {current_index})")
        if not self._may_change_configuration():
            raise ConfigurationChangeError("another configuration change or the leader's first entry is uncommitted")
        changed: Configuration = change_configuration(node.membership.current, change)
        index = node.log.last_index + 1
        self._append(EntryKind.CONFIGURATION, (changed.encode(),))
        return index, node.term

    def _may_change_configuration(self) -> bool:
        return self._has_committed_in_term() and self._node.membership.current_index <= self._node.commit_index

    def _has_committed_in_term(self) -> bool:
        return self._node.commit_index >= self._term_start_index

    def _append(self, kind: EntryKind, data: Sequence[bytes]) -> None:
        node = self._node
        first_index, term = node.log.last_index + 1, node.term
        size_bytes = node.append([Entry(index, term, kind, bytes_) for index, bytes_ in enumerate(data, first_index)])
        self._uncommitted.append((node.log.last_index, size_bytes))
        self._uncommitted_bytes += size_bytes

    def persisted(self, now_ns: int) -> None:
        """The own log counts as far as it is durable (10.2.1)."""
        self._maybe_commit(now_ns)

    def _maybe_commit(self, now_ns: int) -> None:
        node, peers = self._node, self.replication.peers
        matches = [
            node.log.durable_index if voter == node.id else peers[voter].match_index for voter in node.membership.voters
        ]
        index = reached_by_quorum(matches)
        if index <= node.commit_index or node.log.term(index) != node.term:
            return
        node.commit_to(index)
        while self._uncommitted and self._uncommitted[0][0] <= index:
            self._uncommitted_bytes -= self._uncommitted.popleft()[1]
        if self._notice_at_ns is None and peers:
            self._notice_at_ns = now_ns + node.config.commit_notice_ns
        if not node.is_voter and node.membership.current_index <= index:
            self._depart(now_ns)

    def _depart(self, now_ns: int) -> None:
        """The configuration without this server's vote is committed: tell everybody, and let the most advanced voter
        campaign at once (4.2.2)."""
        self.replication.notify_commit()
        self._transfer.depart()
        self._node.become_follower(now_ns, self._node.term, "")

    def configuration_changed(self, now_ns: int) -> None:
        """Another set of servers to replicate to, another quorum."""
        self.replication.follow_configuration(now_ns)
        if not self._node.is_sole_voter:
            self._sole_lease_ns = 0
        self._renew_sole_lease(now_ns)
        self._confirm_rounds()
        self._maybe_commit(now_ns)

    # --- the rest ---------------------------------------------------------------------------------------------

    def transfer_leadership(self, now_ns: int, target_id: str) -> str:
        """See `Transfer.begin`."""
        return self._transfer.begin(now_ns, target_id)

    def installed(self, index: int) -> None:
        """Snapshots are installed by followers only."""
        raise AssertionError("a snapshot was installed on a leader")

    def stop(self, now_ns: int) -> None:
        """Reads cannot be confirmed any more."""
        requests = self._rounds.abandon_reads()
        self._node.read_failures.extend(map(ReadFailure, requests_contexts(requests)))
        for request in requests:
            if request.source:
                self._node.messages.append(
                    ReadIndexResponse(self._node.id, request.source, self._node.term, request.request_id, 0)
                )
