"""The follower's side of a snapshot transfer (Raft dissertation 5.1).

Chunks are taken in order; the answer always says how much is there, so a leader (the same or its successor, sending
the same file) goes on where the last one stopped. Rules kept here: a snapshot is installed only when durable; entries
after it are kept when the log agrees with it, since they may have been acknowledged.
"""

from dataclasses import dataclass

from raftd.core.effects import RoleName
from raftd.core.messages import SnapshotChunk, SnapshotChunkResponse
from raftd.core.node import Node
from raftd.core.snapshot import SnapshotMeta, SnapshotWrite


@dataclass(slots=True)
class _Incoming:
    meta: SnapshotMeta
    taken_bytes: int = 0
    written_bytes: int = 0

    @property
    def complete(self) -> bool:
        return self.written_bytes >= self.meta.size_bytes


class SnapshotReceiver:
    """At most one incoming snapshot; a chunk of another one, from its start, replaces it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._incoming: _Incoming | None = None
        self._round = 0

    def take(self, chunk: SnapshotChunk) -> None:
        """A chunk from the current leader."""
        node, meta = self._node, chunk.meta
        self._round = chunk.round
        if node.log.term(meta.index) == meta.term:
            node.commit_to(meta.index)
        if meta.index <= node.commit_index:
            self._answer(meta.id, meta.size_bytes, match_index=min(node.commit_index, node.log.durable_index))
            return
        incoming = self._incoming
        if (incoming is None or incoming.meta.id != meta.id) and chunk.offset == 0:
            incoming = self._incoming = _Incoming(meta)
        if incoming is None or incoming.meta.id != meta.id:
            self._answer(meta.id, 0)
            return
        if incoming.complete:
            self._install(incoming)
        elif incoming.taken_bytes > incoming.written_bytes:
            return  # the write under way will answer
        elif chunk.offset != incoming.taken_bytes:
            self._answer(meta.id, incoming.taken_bytes)
        else:
            incoming.taken_bytes += len(chunk.data)
            last = incoming.taken_bytes >= meta.size_bytes
            node.snapshot_writes.append(SnapshotWrite(meta, chunk.offset, chunk.data, last))

    def written(self, snapshot_id: str, next_offset: int) -> None:
        """The driver has written up to `next_offset`."""
        incoming = self._incoming
        if incoming is None or incoming.meta.id != snapshot_id:
            return  # replaced by another one meanwhile
        incoming.written_bytes = incoming.taken_bytes = next_offset
        if incoming.complete:
            self._install(incoming)
        else:
            self._answer(snapshot_id, next_offset)

    def rejected(self, snapshot_id: str) -> None:
        """The file did not verify: start over."""
        if self._incoming is not None and self._incoming.meta.id == snapshot_id:
            self._incoming = None
            self._answer(snapshot_id, 0)

    def _install(self, incoming: _Incoming) -> None:
        node, meta = self._node, incoming.meta
        if node.role.name != RoleName.FOLLOWER:
            return  # installed when a leader sends of it again, if it is still needed
        self._incoming = None
        if node.log.term(meta.index) == meta.term:
            node.commit_to(meta.index)
        if meta.index <= node.commit_index:
            self._answer(meta.id, meta.size_bytes, match_index=min(node.commit_index, node.log.durable_index))
            return
        node.restore(meta)
        node.role.installed(meta.index)

    def _answer(self, snapshot_id: str, next_offset: int, match_index: int = 0) -> None:
        node = self._node
        if node.leader_id and node.role.name == RoleName.FOLLOWER:
            node.messages.append(
                SnapshotChunkResponse(
                    node.id, node.leader_id, node.term, self._round, snapshot_id, next_offset, match_index
                )
            )
