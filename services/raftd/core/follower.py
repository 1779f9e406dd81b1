"""The follower: takes what the leader sends, campaigns when it hears none (Raft dissertation 3.4, 3.5).

Rules kept here: an entry is acknowledged only when durable; the commit index follows the leader's only as far as the
log is known to equal the leader's; what is committed is never cut.
"""

from collections.abc import Sequence

from raftd.core.effects import RoleName
from raftd.core.entry import Entry
from raftd.core.forwarded_reads import ForwardedReads
from raftd.core.messages import (
    AppendRequest,
    AppendResponse,
    Message,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotChunk,
    TimeoutNow,
)
from raftd.core.node import Node


class Follower:
    """Also what a non-voter is, always."""

    name = RoleName.FOLLOWER

    def __init__(self, node: Node, now_ns: int, transfer: bool = False) -> None:
        self._node = node
        self._reads = ForwardedReads(node)
        self._verified_index = 0
        """Up to here the log is known to equal this term's leader's."""
        self._ack_owed = False
        self._round = 0
        self._deadline_ns = 0
        self.restart_election_timer(now_ns)
        if node.is_sole_voter:
            self._deadline_ns = now_ns

    def restart_election_timer(self, now_ns: int) -> None:
        """A leader was heard or a vote given: wait a whole timeout from now."""
        timeout_ns = self._node.config.heartbeat_timeout_ns
        self._deadline_ns = now_ns + self._node.draw(timeout_ns, 2 * timeout_ns)

    def hurry_election(self, now_ns: int) -> None:
        """A new cluster has no leader to wait for."""
        timeout_ns = self._node.config.heartbeat_timeout_ns
        self._deadline_ns = now_ns if self._node.is_sole_voter else now_ns + self._node.draw(0, timeout_ns // 4)

    def tick(self, now_ns: int) -> None:
        """Campaign when the leader has been silent for too long."""
        self._reads.tick(now_ns)
        if now_ns < self._deadline_ns:
            return
        if self._node.is_sole_voter:
            self._node.become_candidate(now_ns, transfer=False)
        elif self._node.may_campaign:
            self._node.become_pre_candidate(now_ns)
        else:
            self.restart_election_timer(now_ns)

    def wake_at(self) -> int:
        """The election timeout, or the next try of a read."""
        reads_ns = self._reads.wake_at()
        return self._deadline_ns if reads_ns is None else min(self._deadline_ns, reads_ns)

    def step(self, now_ns: int, message: Message) -> None:
        """Messages of the current term."""
        node = self._node
        match message:
            case AppendRequest():
                self._append(message)
            case SnapshotChunk():
                self._round = max(self._round, message.round)
                node.receiver.take(message)
            case ReadIndexResponse():
                if message.term == node.term:
                    node.commit_to(min(message.index, self._verified_index))
                    self._reads.answered(message)
            case TimeoutNow():
                if node.may_campaign:
                    node.become_candidate(now_ns, transfer=True)
            case ReadIndexRequest():
                node.refuse_read(message)
            case _:
                pass

    def installed(self, index: int) -> None:
        """A snapshot up to `index` is installed: acknowledge it once the log's new start is durable."""
        self._verified_index = max(self._verified_index, index)
        self._ack_owed = True

    def flush(self, now_ns: int) -> None:
        """Forward the reads gathered."""
        self._reads.flush(now_ns)

    def has_gathered(self) -> bool:
        """Whether reads wait to be forwarded."""
        return self._reads.has_gathered()

    def persisted(self, now_ns: int) -> None:
        """Acknowledge what has become durable: one answer for all appends that waited."""
        if self._ack_owed and self._node.leader_id:
            self._acknowledge(self._node.leader_id, self._round)
            self._ack_owed = self._node.log.durable_index < self._verified_index

    def configuration_changed(self, now_ns: int) -> None:
        """Becoming the only voter needs no waiting."""
        if self._node.is_sole_voter and not self._node.leader_id:
            self._deadline_ns = now_ns

    def read_index(self, now_ns: int, contexts: Sequence[int]) -> None:
        """Reads go through the leader."""
        self._reads.add(contexts)

    def lease_expiry_ns(self) -> int:
        """Followers have none."""
        return 0

    def stop(self, now_ns: int) -> None:
        """Reads on their way fail."""
        self._reads.fail_all()

    def _append(self, message: AppendRequest) -> None:
        node, log = self._node, self._node.log
        self._round = max(self._round, message.round)
        previous_index, entries = message.prev_index, message.entries
        if previous_index < node.commit_index:
            entries = entries[node.commit_index - previous_index :]
            previous_index = node.commit_index
        elif log.term(previous_index) != message.prev_term:
            self._reject(message)
            return
        if entries:
            self._take(entries, previous_index)
        self._verified_index = max(self._verified_index, previous_index + len(entries))
        node.commit_to(min(message.commit_index, self._verified_index))
        if entries and log.durable_index < self._verified_index:
            self._ack_owed = True
        else:
            self._acknowledge(message.source, message.round)

    def _take(self, entries: tuple[Entry, ...], previous_index: int) -> None:
        """Append what is new; on the first entry of another term, cut and append from there (3.5)."""
        node, log = self._node, self._node.log
        if previous_index == log.last_index:
            node.append(entries)
            return
        for position, entry in enumerate(entries):
            known_term = log.term(entry.index)
            if known_term == entry.term:
                continue
            if known_term is not None:
                node.cut(entry.index)
            node.append(entries[position:])
            return

    def _acknowledge(self, leader_id: str, round_number: int) -> None:
        node = self._node
        match_index = min(self._verified_index, node.log.durable_index)
        node.messages.append(AppendResponse(node.id, leader_id, node.term, round_number, True, match_index, 0, 0, 0))

    def _reject(self, message: AppendRequest) -> None:
        node, log = self._node, self._node.log
        hint_index = log.summary.last_index_with_term_at_most(message.prev_index, message.prev_term)
        hint_index = max(hint_index, node.commit_index)
        hint_term = log.term(hint_index)
        assert hint_term is not None, f"hint {hint_index} below the log's start {log.first_index}"
        node.messages.append(
            AppendResponse(
                node.id, message.source, node.term, message.round, False, 0, message.prev_index, hint_index, hint_term
            )
        )
