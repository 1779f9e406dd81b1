"""The leader's side of replication: batched, pipelined appends, and snapshots for those too far behind
(Raft dissertation 3.5, 5.1, 10.2).

Appends are made once per `flush`, so proposals gather by themselves: one message carries what came since the last.
"""

from raftd.core.entry import ENTRY_OVERHEAD_BYTES, Entry
from raftd.core.messages import AppendRequest, AppendResponse, SnapshotChunkResponse
from raftd.core.node import Node
from raftd.core.progress import Progress, ProgressState
from raftd.core.rounds import Rounds
from raftd.core.snapshot import SnapshotRead


class Replication:
    """Everybody's progress, and what to send them next."""

    def __init__(self, node: Node, rounds: Rounds) -> None:
        self._node = node
        self._rounds = rounds
        self.peers: dict[str, Progress] = {}
        self._slice: tuple[int, int, tuple[Entry, ...], int] = (0, 0, (), 0)

    def follow_configuration(self, now_ns: int) -> None:
        """New members are probed; removed ones are told for a little while."""
        node = self._node
        members = set(node.membership.current.ids) - {node.id}
        for server_id in sorted(members - self.peers.keys()):
            progress = self.peers[server_id] = Progress(server_id, node.log.last_index + 1)
            progress.contact_ns = now_ns
        for server_id, progress in self.peers.items():
            if server_id in members:
                progress.departs_at_ns = None
            elif progress.departs_at_ns is None:
                progress.departs_at_ns = now_ns + node.config.heartbeat_timeout_ns

    def dismiss_departed(self, now_ns: int, committed_index: int) -> None:
        """Stop sending to removed servers which know by now, or have had their time. `committed_index`: of the
        configuration without them, 0 while it is not committed."""
        for progress in [peer for peer in self.peers.values() if peer.departs_at_ns is not None]:
            assert progress.departs_at_ns is not None
            knows = 0 < committed_index <= min(progress.match_index, progress.commit_sent)
            if knows or now_ns >= progress.departs_at_ns:
                del self.peers[progress.id]

    def heartbeat(self, now_ns: int) -> None:
        """An empty append to everybody, whatever their state; overdue snapshot chunks again."""
        for progress in self.peers.values():
            self.send_empty(progress)
            if progress.state == ProgressState.SNAPSHOT:
                if not self._is_active(progress, now_ns):
                    progress.probe(progress.match_index + 1)
                elif progress.read_sent and now_ns >= progress.retry_ns:
                    progress.read_sent = False

    def send_empty(self, progress: Progress) -> None:
        """A heartbeat. One that cannot name what precedes it (compacted) names the log's very beginning."""
        node = self._node
        previous_index = progress.next_index - 1
        previous_term = node.log.term(previous_index)
        if previous_term is None or progress.state == ProgressState.SNAPSHOT:
            previous_index = previous_term = 0
        self._send(progress, previous_index, previous_term, ())

    def flush(self, now_ns: int) -> None:
        """Send everybody what they may have."""
        for progress in self.peers.values():
            match progress.state:
                case ProgressState.REPLICATE:
                    self._stream(progress, now_ns)
                case ProgressState.PROBE:
                    if not progress.probe_sent:
                        progress.probe_sent = True
                        self._send_entries(progress, now_ns)
                case ProgressState.SNAPSHOT:
                    self._send_chunk(progress, now_ns)

    def has_work(self) -> bool:
        """Whether `flush` would send something."""
        config, last_index = self._node.config, self._node.log.last_index
        for progress in self.peers.values():
            match progress.state:
                case ProgressState.REPLICATE:
                    if progress.next_index <= last_index and progress.has_room(config):
                        return True
                case ProgressState.PROBE:
                    if not progress.probe_sent:
                        return True
                case ProgressState.SNAPSHOT:
                    if not progress.read_sent:
                        return True
        return False

    def notify_commit(self) -> None:
        """Tell those who have not heard of the commit index."""
        commit_index = self._node.commit_index
        for progress in self.peers.values():
            if progress.state == ProgressState.REPLICATE and progress.commit_sent < commit_index:
                self.send_empty(progress)

    def knows_commit(self) -> bool:
        """Whether all that can be told of the commit index were."""
        commit_index = self._node.commit_index
        return all(p.commit_sent >= commit_index or p.state != ProgressState.REPLICATE for p in self.peers.values())

    def append_answered(self, now_ns: int, progress: Progress, message: AppendResponse) -> bool:
        """Returns whether more is known to be durable there than before."""
        if not message.success:
            self._back_off(progress, message)
            return False
        news = progress.matched(message.match_index, self._rounds.current)
        match progress.state:
            case ProgressState.PROBE:
                if self._node.log.term(progress.next_index - 1) is None:
                    progress.next_index = progress.match_index + 1
                if self._node.log.term(progress.next_index - 1) is not None:
                    progress.replicate()
                else:
                    self._begin_snapshot(progress, now_ns)
            case ProgressState.SNAPSHOT:
                if progress.match_index + 1 >= self._node.log.first_index:
                    progress.probe(progress.match_index + 1)
            case ProgressState.REPLICATE:
                if self._node.log.term(progress.next_index - 1) is None:
                    # Streamed, lost, and compacted since: heartbeats cannot ask for it any more.
                    progress.probe(progress.match_index + 1)
        return news

    def chunk_answered(self, now_ns: int, progress: Progress, message: SnapshotChunkResponse) -> bool:
        """Returns whether more is known to be durable there than before."""
        news = message.match_index > 0 and progress.matched(message.match_index, self._rounds.current)
        meta = progress.snapshot
        if progress.state != ProgressState.SNAPSHOT or meta is None or meta.id != message.snapshot_id:
            return news
        if progress.match_index >= meta.index:
            progress.probe(progress.match_index + 1)
        elif message.next_offset < meta.size_bytes:
            progress.offset = message.next_offset
            progress.read_sent = False
        return news

    def unreachable(self, server_id: str) -> None:
        """Messages were lost: what was streamed must be asked for again."""
        progress = self.peers.get(server_id)
        if progress is None:
            return
        if progress.state == ProgressState.REPLICATE:
            progress.probe(progress.match_index + 1)
            progress.probe_sent = True  # the next heartbeat asks; until then there is nobody to hear it
        elif progress.state == ProgressState.SNAPSHOT:
            progress.retry_ns = 0

    def snapshot_unavailable(self, server_id: str) -> None:
        """The snapshot being sent cannot be read: start over, with the newest."""
        progress = self.peers.get(server_id)
        if progress is not None and progress.state == ProgressState.SNAPSHOT:
            progress.probe(progress.match_index + 1)
            progress.probe_sent = True

    def _back_off(self, progress: Progress, message: AppendResponse) -> None:
        """No match there: go back to where one is possible, skipping whole terms (3.5).

        A follower may also have less than it acknowledged: it came back under its ID with an empty disk. Its votes may
        be lost, too, so this is no way to run a cluster, but who does it is sent the log anew, as with other Rafts.
        """
        if progress.has_lost(message.hint_index, message.round):
            progress.forget()
        if progress.state == ProgressState.SNAPSHOT or message.rejected_index <= progress.match_index:
            return
        if progress.state == ProgressState.PROBE and message.rejected_index != progress.next_index - 1:
            return  # an answer to an older guess
        summary = self._node.log.summary
        common_index = summary.last_index_with_term_at_most(message.hint_index, message.hint_term)
        progress.probe(min(common_index, message.rejected_index - 1) + 1)

    def _stream(self, progress: Progress, now_ns: int) -> None:
        node = self._node
        while progress.next_index <= node.log.last_index and progress.has_room(node.config):
            if not self._send_entries(progress, now_ns):
                return

    def _send_entries(self, progress: Progress, now_ns: int) -> bool:
        """One append with what fits; a snapshot when that is compacted. Returns whether an append was sent."""
        node = self._node
        previous_index = progress.next_index - 1
        previous_term = node.log.term(previous_index)
        if previous_term is None:
            self._begin_snapshot(progress, now_ns)
            return False
        if progress.next_index > node.log.last_index:
            self._send(progress, previous_index, previous_term, ())
            return True
        entries, size_bytes = self._entries_from(progress.next_index)
        self._send(progress, previous_index, previous_term, entries)
        if progress.state == ProgressState.REPLICATE:
            progress.sent(entries[-1].index, size_bytes)
        return True

    def _entries_from(self, low: int) -> tuple[tuple[Entry, ...], int]:
        """What fits in a message, and its size; followers at the same place share one tuple."""
        node = self._node
        high = node.log.last_index
        if self._slice[:2] != (low, high):
            config = node.config
            entries = node.log.entries(low, high, config.append_max_bytes, config.append_max_entries)
            size_bytes = sum(len(entry.data) for entry in entries) + ENTRY_OVERHEAD_BYTES * len(entries)
            self._slice = (low, high, entries, size_bytes)
        return self._slice[2], self._slice[3]

    def _send(self, progress: Progress, previous_index: int, previous_term: int, entries: tuple[Entry, ...]) -> None:
        node = self._node
        progress.commit_sent = node.commit_index
        node.messages.append(
            AppendRequest(
                node.id,
                progress.id,
                node.term,
                self._rounds.current,
                previous_index,
                previous_term,
                node.commit_index,
                entries,
            )
        )

    def _is_active(self, progress: Progress, now_ns: int) -> bool:
        return now_ns < progress.contact_ns + self._node.config.quorum_timeout_ns

    def _begin_snapshot(self, progress: Progress, now_ns: int) -> None:
        """Only for a follower that answers, and not for too many at once; heartbeats come back to it."""
        node = self._node
        running = sum(peer.state == ProgressState.SNAPSHOT for peer in self.peers.values())
        if not self._is_active(progress, now_ns) or running >= node.config.snapshot_transfers_max:
            progress.probe(progress.next_index)
            progress.probe_sent = True
            return
        meta = node.snapshot
        assert meta is not None, f"log starts at {node.log.first_index}, but there is no snapshot"
        assert meta.index >= node.log.summary.before_index, f"snapshot {meta.id} is older than the log"
        progress.send_snapshot(meta)

    def _send_chunk(self, progress: Progress, now_ns: int) -> None:
        meta, node = progress.snapshot, self._node
        if progress.read_sent or meta is None:
            return
        progress.read_sent = True
        progress.retry_ns = now_ns + node.config.snapshot_retry_ns
        length = min(node.config.snapshot_chunk_bytes, meta.size_bytes - progress.offset)
        node.snapshot_reads.append(
            SnapshotRead(progress.id, node.term, self._rounds.current, meta, progress.offset, length)
        )
