"""Pieces of snapshots on their way between servers: read here, written there, and the core told of it."""

import logging

from lictor.page import boottime_ns
from raftd.core.messages import SnapshotChunk
from raftd.core.raft import Raft
from raftd.core.snapshot import SnapshotRead, SnapshotWrite
from raftd.storage.errors import DiskFullError, StorageError
from raftd.storage.snapshots import SnapshotStore

log = logging.getLogger("agent.server.raft")


class SnapshotTransfers:
    """Carries out what the core orders."""

    def __init__(self, server_id: str, raft: Raft, snapshots: SnapshotStore) -> None:
        self._server_id = server_id
        self._raft = raft
        self._snapshots = snapshots

    def read(self, order: SnapshotRead) -> SnapshotChunk | None:
        """The piece to send; None when it cannot be read, which the core is told."""
        try:
            data = self._snapshots.read(order.meta.id, order.offset, order.length)
        except StorageError as error:
            log.error("failed to read a snapshot: error=%s", error)
            self._raft.snapshot_unavailable(boottime_ns(), order.target)
            return None
        return SnapshotChunk(self._server_id, order.target, order.term, order.round, order.meta, order.offset, data)

    def write(self, chunk: SnapshotWrite) -> None:
        """Store a piece that came in. Raises StorageError when the disk failed; a full one only stops the transfer."""
        try:
            written = self._snapshots.write(chunk)
        except DiskFullError as error:
            log.error("failed to receive a snapshot: error=%s", error)
            self._snapshots.drop_incoming()
            written = False
        if written:
            self._raft.snapshot_written(boottime_ns(), chunk.meta.id, chunk.offset + len(chunk.data))
        else:
            self._raft.snapshot_rejected(boottime_ns(), chunk.meta.id)
