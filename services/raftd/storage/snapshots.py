"""Snapshots of the state machine: `<data_dir>/raft/snapshots/<term>-<index>-<ms>/{meta.json,state.snap}`.

`state.snap` is a consistent copy of the LMDB environment followed by a trailer of 12 bytes (magic 8, CRC-32C 4 of all
before it), so that the file proves itself after it travelled. A snapshot counts once its directory has its final name;
files are synced before. Two are kept.
"""

import json
import logging
import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c

from raftd.core.configuration import Configuration
from raftd.core.errors import CorruptConfigurationError
from raftd.core.snapshot import SnapshotMeta, SnapshotWrite
from raftd.storage.errors import CorruptError, DiskFailedError, StorageError
from raftd.storage.files import Files, write_failure

KEPT = 2
"""Snapshots on disk; older ones are removed unless they are being sent."""
STATE_FILE = "state.snap"
META_FILE = "meta.json"
INCOMING = ".incoming"
DRAFT = ".draft"
_TRAILER = struct.Struct("<8sI")
_TRAILER_MAGIC = b"LICTORS1"
COPY_BYTES = 1 << 20
META_VERSION = 1

log = logging.getLogger("agent.server.snapshot")


@dataclass(frozen=True, slots=True)
class Draft:
    """A finished copy that has no name yet."""

    directory: Path
    index: int
    term: int
    size_bytes: int


class SnapshotStore:
    """The snapshots of one server."""

    def __init__(self, directory: Path, files: Files) -> None:
        self._directory = directory
        self._files = files
        self._incoming: tuple[str, int, int] | None = None
        """Id, descriptor and size so far of the snapshot being received."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for leftover in (INCOMING, DRAFT):
            shutil.rmtree(directory / leftover, ignore_errors=True)

    def newest(self) -> SnapshotMeta | None:
        """The newest snapshot, None when there is none."""
        return next(iter(self.all()), None)

    def all(self) -> list[SnapshotMeta]:
        """All complete ones, newest first. Raises CorruptError when a meta file cannot be read."""
        metas = [self._read_meta(path.parent) for path in self._directory.glob(f"[0-9]*/{META_FILE}")]
        return sorted(metas, key=lambda meta: (meta.index, meta.term, meta.id), reverse=True)

    # --- taking -----------------------------------------------------------------------------------------------

    def draft_directory(self) -> Path:
        """An empty directory to copy the environment into, as `state.snap`."""
        path = self._directory / DRAFT
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        return path

    def seal(self, directory: Path, index: int, term: int) -> Draft:
        """Add the trailer to `state.snap` in `directory` and sync it. Raises as `Files`."""
        path = directory / STATE_FILE
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size_bytes = os.fstat(descriptor).st_size
            crc = _checksum(descriptor, size_bytes)
            self._files.write(descriptor, path, _TRAILER.pack(_TRAILER_MAGIC, crc), size_bytes)
            self._files.sync(descriptor, path)
        finally:
            os.close(descriptor)
        return Draft(directory, index, term, size_bytes + _TRAILER.size)

    def publish(
        self, draft: Draft, snapshot_id: str, configuration: Configuration, configuration_index: int, term: int
    ) -> SnapshotMeta:
        """Give a draft its name and meta; durable when this returns. Raises as `Files`."""
        meta = SnapshotMeta(snapshot_id, draft.index, term, configuration, configuration_index, draft.size_bytes)
        self._publish(draft.directory, meta)
        return meta

    def _publish(self, directory: Path, meta: SnapshotMeta) -> None:
        self._files.write_whole(directory / META_FILE, _encode_meta(meta))
        target = self._directory / meta.id
        shutil.rmtree(target, ignore_errors=True)
        self._files.rename(directory, target)

    # --- sending ----------------------------------------------------------------------------------------------

    def read(self, snapshot_id: str, offset: int, length: int) -> bytes:
        """A piece of `state.snap`. Raises StorageError when it is not there."""
        path = self._directory / snapshot_id / STATE_FILE
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(descriptor, length, offset)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(f"{path}: {error.strerror}") from error
        if len(data) != length:
            raise StorageError(f"{path}: ends before offset {offset + length}")
        return data

    # --- receiving --------------------------------------------------------------------------------------------

    def write(self, chunk: SnapshotWrite) -> bool:
        """Take a piece of an incoming snapshot; False when the finished file does not verify (and is dropped).

        With `chunk.last` and True, the snapshot is complete and durable. Raises as `Files`.
        """
        directory = self._directory / INCOMING
        path = directory / STATE_FILE
        if chunk.offset == 0:
            self.drop_incoming()
            directory.mkdir(mode=0o700)
            self._incoming = (chunk.meta.id, self._files.create(path), 0)
        if self._incoming is None or self._incoming[0] != chunk.meta.id or self._incoming[2] != chunk.offset:
            return False
        snapshot_id, descriptor, size_bytes = self._incoming
        self._files.write(descriptor, path, chunk.data, chunk.offset)
        self._incoming = (snapshot_id, descriptor, size_bytes + len(chunk.data))
        if not chunk.last:
            return True
        if not _verifies(descriptor, chunk.meta.size_bytes):
            log.warning("received snapshot does not verify, dropped: id=%s", snapshot_id)
            self.drop_incoming()
            return False
        self._files.sync(descriptor, path)
        os.close(descriptor)
        self._incoming = None
        self._publish(directory, chunk.meta)
        return True

    def drop_incoming(self) -> None:
        """Forget what was received of an unfinished snapshot."""
        if self._incoming is not None:
            os.close(self._incoming[1])
            self._incoming = None
        shutil.rmtree(self._directory / INCOMING, ignore_errors=True)

    # --- using ------------------------------------------------------------------------------------------------

    def restore(self, meta: SnapshotMeta, target: Path) -> None:
        """Copy the environment of a snapshot to the file `target`. Raises CorruptError, and as `Files`."""
        source = self._directory / meta.id / STATE_FILE
        try:
            with open(source, "rb") as file:
                if not _verifies(file.fileno(), meta.size_bytes):
                    raise CorruptError(
                        f"{source}: offset 0: this snapshot is damaged: checksum mismatch. Stop this server, move its "
                        "raft directory away and let it rejoin empty; on a single server restore a backup"
                    )
                shutil.copyfile(source, target)
            os.truncate(target, meta.size_bytes - _TRAILER.size)
        except OSError as error:
            raise write_failure(target, "restoring a snapshot", error) from error

    def prune(self, in_use: frozenset[str]) -> list[str]:
        """Remove all but the newest two and those in use; returns the ids removed."""
        removed = [meta.id for meta in self.all()[KEPT:] if meta.id not in in_use]
        for snapshot_id in removed:
            # The meta file goes first: without it the rest does not count as a snapshot.
            (self._directory / snapshot_id / META_FILE).unlink(missing_ok=True)
            shutil.rmtree(self._directory / snapshot_id, ignore_errors=True)
        return removed

    def _read_meta(self, directory: Path) -> SnapshotMeta:
        path = directory / META_FILE
        try:
            fields: dict[str, Any] = json.loads(path.read_bytes())
            if fields["version"] != META_VERSION:
                raise CorruptError(f"{path}: offset 0: written by a later version; start that version")
            return SnapshotMeta(
                id=str(fields["id"]),
                index=int(fields["index"]),
                term=int(fields["term"]),
                configuration=Configuration.decode(json.dumps(fields["configuration"]).encode()),
                configuration_index=int(fields["configuration_index"]),
                size_bytes=int(fields["size_bytes"]),
            )
        except (ValueError, KeyError, TypeError, CorruptConfigurationError) as error:
            raise CorruptError(
                f"{path}: offset 0: the snapshot's description cannot be read: {error!r}. "
                f"Remove {directory} if an older snapshot and the log reach back far enough, else restore a backup"
            ) from error
        except OSError as error:
            raise DiskFailedError(f"{path}: {error.strerror}") from error


def _encode_meta(meta: SnapshotMeta) -> bytes:
    fields = {
        "version": META_VERSION,
        "id": meta.id,
        "index": meta.index,
        "term": meta.term,
        "configuration": json.loads(meta.configuration.encode()),
        "configuration_index": meta.configuration_index,
        "size_bytes": meta.size_bytes,
    }
    return json.dumps(fields, indent=1).encode() + b"\n"


def _checksum(descriptor: int, size_bytes: int) -> int:
    crc, offset = 0, 0
    while offset < size_bytes:
        piece = os.pread(descriptor, min(COPY_BYTES, size_bytes - offset), offset)
        if not piece:
            break
        crc = google_crc32c.extend(crc, piece)
        offset += len(piece)
    return crc


def _verifies(descriptor: int, size_bytes: int) -> bool:
    """Whether the file has this size and its trailer's checksum is right."""
    body_bytes = size_bytes - _TRAILER.size
    if body_bytes < 0 or os.fstat(descriptor).st_size != size_bytes:
        return False
    trailer = os.pread(descriptor, _TRAILER.size, body_bytes)
    return trailer == _TRAILER.pack(_TRAILER_MAGIC, _checksum(descriptor, body_bytes))
