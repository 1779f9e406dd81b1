"""`consul snapshot save` and `restore`: archives of the whole replicated state, made here, taken in through the log."""

import asyncio
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import lmdb

from lictor import telemetry
from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from lictor.state import keys
from lictor.state.commands import Failed
from lictor.state.lmdb_store import LmdbTxn
from raftd.core.configuration import Configuration
from raftd.driver import Driver
from raftd.peers import PeerChannels
from raftd.proposals import NO_LEADER
from raftd.proposer import NotReplicatedError, Proposer
from raftd.restoring import ARCHIVE_MAX_BYTES, UnsoundArchiveError, load, read_offset, steps
from raftd.storage.generations import decode_applied
from raftd.transport import Transport

PIECE_BYTES = 256 << 10
FORWARD_TIMEOUT_S = 600.0

_RESTORES = telemetry.sample("raft.restoreUserSnapshot")


class ArchiveFailedError(Exception):
    """The text for the caller."""


class Archives:
    """Saves and restores for one server."""

    def __init__(
        self, driver: Driver, proposer: Proposer, transport: Transport, channels: PeerChannels, directory: Path
    ) -> None:
        self._driver = driver
        self._proposer = proposer
        self._transport = transport
        self._channels = channels
        self._directory = directory
        self._restoring = asyncio.Lock()

    # --- saving -----------------------------------------------------------------------------------------------

    async def save(self, stale: bool, forward: bool) -> AsyncIterator[raft_pb2.SnapshotChunk]:
        """The archive in pieces: of this server's state if `stale`, else of the leader's. Raises ArchiveFailedError."""
        if stale or self._driver.is_ready_leader:
            async for chunk in self._save_here():
                yield chunk
            return
        stub = raft_pb2_grpc.ConsensusStub(self._leader_channel(forward))  # type: ignore[no-untyped-call]
        async for chunk in stub.SnapshotSave(raft_pb2.SnapshotSaveRequest(), timeout=FORWARD_TIMEOUT_S):
            yield chunk

    async def _save_here(self) -> AsyncIterator[raft_pb2.SnapshotChunk]:
        with tempfile.TemporaryDirectory(dir=self._directory, prefix=".archive-") as name:
            directory = Path(name)
            raft = self._driver.raft
            path, index = await asyncio.to_thread(self._write, directory, raft.configuration, raft.configuration_index)
            with await asyncio.to_thread(path.open, "rb") as file:
                while data := file.read(PIECE_BYTES):
                    yield raft_pb2.SnapshotChunk(data=data, index=index)
                    index = 0

    def _write(self, directory: Path, configuration: Configuration, configuration_index: int) -> tuple[Path, int]:
        """On a thread: a consistent copy, and the archive of it; its file and index."""
        # Rare, and slow to import: a server starts without it.
        from lictor.state.consul_archive import ArchiveMeta, ArchiveServer, write_archive

        servers = [
            ArchiveServer(0 if server.voter else 1, server.id, server.address) for server in configuration.servers
        ]
        copied, path = directory / "state.mdb", directory / "archive"
        self._driver.machine.store.copy(copied)
        with (
            lmdb.open(str(copied), subdir=False, readonly=True, lock=False) as environment,
            environment.begin() as raw_txn,
            open(path, "wb") as file,
        ):
            txn = LmdbTxn(raw_txn)
            applied_index, term = decode_applied(txn.get(keys.APPLIED))
            index = applied_index + read_offset(txn)
            now_ns = time.time_ns()
            meta = ArchiveMeta(f"{term}-{index}-{now_ns // 1_000_000}", index, term, configuration_index, servers)
            write_archive(txn, file, meta, now_ns // 1_000_000_000)
        return path, index

    # --- restoring --------------------------------------------------------------------------------------------

    async def restore(self, pieces: AsyncIterator[raft_pb2.SnapshotChunk], forward: bool) -> None:
        """Replace the state of all servers; returns when it is applied. Raises ArchiveFailedError."""
        with tempfile.TemporaryFile(dir=self._directory) as file:
            size_bytes = 0
            async for piece in pieces:
                size_bytes += len(piece.data)
                if size_bytes > ARCHIVE_MAX_BYTES:
                    raise ArchiveFailedError(f"the archive is larger than {ARCHIVE_MAX_BYTES} bytes")
                file.write(piece.data)
            file.seek(0)
            archive = file.read()
        if not self._driver.is_ready_leader:
            await self._restore_at_leader(archive, forward)
            return
        try:
            await asyncio.to_thread(load, archive)
        except UnsoundArchiveError as error:
            raise ArchiveFailedError(str(error)) from error
        started_s = time.perf_counter()
        async with self._restoring:
            await self._replicate(archive)
        _RESTORES.since(started_s)

    async def _replicate(self, archive: bytes) -> None:
        try:
            for data in steps(secrets.token_bytes(8), archive):
                result = await self._proposer.propose_raw(data)
                if isinstance(result, Failed):
                    raise ArchiveFailedError(result.text)
        except NotReplicatedError as error:
            raise ArchiveFailedError(f"failed to restore snapshot: {error}") from error

    async def _restore_at_leader(self, archive: bytes, forward: bool) -> None:
        async def pieces() -> AsyncIterator[raft_pb2.SnapshotChunk]:
            for start in range(0, len(archive), PIECE_BYTES):
                yield raft_pb2.SnapshotChunk(data=archive[start : start + PIECE_BYTES])

        stub = raft_pb2_grpc.ConsensusStub(self._leader_channel(forward))  # type: ignore[no-untyped-call]
        try:
            response = await stub.SnapshotRestore(pieces(), timeout=FORWARD_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise ArchiveFailedError(f"rpc error making call: {error.details()}") from error
        if response.error:
            raise ArchiveFailedError(response.error)

    def _leader_channel(self, forward: bool) -> grpc.aio.Channel:
        leader_id = self._driver.state.leader_id
        address = self._transport.address_of(leader_id) if leader_id and forward else ""
        if not address or self._driver.is_leader:
            raise ArchiveFailedError(NO_LEADER)
        return self._channels.get(address)

    def clean(self) -> None:
        """Remove what a killed process left."""
        for leftover in self._directory.glob(".archive-*"):
            shutil.rmtree(leftover, ignore_errors=True)
