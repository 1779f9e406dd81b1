"""Snapshot save and restore through the log, on real servers."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lictor.pb.lictor.v1 import raft_pb2
from lictor.state import keys
from lictor.state.lmdb_store import open_store
from lictor.state.rows import decode_kv
from tests.raftd.servers import Client, ServerProcess, keys_in, leader_of


async def save(client: Client) -> bytes:
    stream: Any = client.stub().SnapshotSave(raft_pb2.SnapshotSaveRequest(), metadata=client.metadata)
    return b"".join([chunk.data async for chunk in stream])


async def restore(client: Client, archive: bytes) -> str:
    async def pieces() -> AsyncIterator[raft_pb2.SnapshotChunk]:
        for start in range(0, len(archive), 1000):
            yield raft_pb2.SnapshotChunk(data=archive[start : start + 1000])

    response = await client.stub().SnapshotRestore(pieces(), metadata=client.metadata, timeout=30)
    return str(response.error)


def modify_index(server: ServerProcess, key: bytes) -> int:
    generation = next((server.directory / "raft").glob("state-*"))
    store = open_store(generation, readonly=True)
    with store.read() as txn:
        raw = txn.get(keys.kv(key))
    store.close()
    assert raw is not None
    return decode_kv(raw).modify_index


async def test_a_restore_brings_back_what_was_saved_and_tells_every_watcher(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, 21, 1) as server:
        client = Client(server)
        await leader_of([client])
        await client.put(b"kept", b"1")
        archive = await save(client)
        await client.put(b"kept", b"changed")
        await client.put(b"later", b"2")
        stream = client.stub().Changes(raft_pb2.ChangesRequest(), metadata=client.metadata)
        await stream.read()
        assert await restore(client, archive) == ""
        changes = [await stream.read()]
        while not changes[-1].reset:
            changes.append(await stream.read())
        stream.cancel()
        assert keys_in(server) == {b"kept": b"1"}
        server.kill()
        server.start()
        await leader_of([client])
        await client.barrier()
        assert keys_in(server) == {b"kept": b"1"}
        await client.close()


async def test_indexes_go_on_above_those_of_an_archive_from_elsewhere(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, 22, 1) as other, ServerProcess(tmp_path, 23, 1) as server:
        source, client = Client(other), Client(server)
        await leader_of([source])
        await leader_of([client])
        for number in range(200):
            await source.put(b"k", b"%d" % number)
        high_index = modify_index(other, b"k")
        assert await restore(client, await save(source)) == ""
        assert keys_in(server) == {b"k": b"199"}
        await client.put(b"after", b"v")
        assert modify_index(server, b"after") > high_index
        await source.close()
        await client.close()


async def test_a_damaged_archive_changes_nothing(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, 24, 1) as server:
        client = Client(server)
        await leader_of([client])
        await client.put(b"a", b"1")
        archive = bytearray(await save(client))
        archive[len(archive) // 2] ^= 1
        assert "snapshot" in await restore(client, bytes(archive))
        assert "snapshot" in await restore(client, b"no archive")
        assert keys_in(server) == {b"a": b"1"}
        await client.close()
