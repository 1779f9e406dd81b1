"""One raftd process: writes, restarts, crashes, Call, Changes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lictor.pb.lictor.v1 import raft_pb2
from lictor.state.commands import KV, Outcome, Register, SessionCreate, decode_result
from lictor.state.rows import Node, Session
from tests.raftd.servers import Client, ServerProcess, eventually, keys_in, leader_of

BATCH = 64


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    with ServerProcess(tmp_path, 11, 1) as started:
        yield started


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    made = Client(server)
    await leader_of([made])
    yield made
    await made.close()


async def test_a_write_is_answered_and_readable_in_the_state_file(server: ServerProcess, client: Client) -> None:
    index, result = await client.put(b"a", b"1")
    assert result == Outcome(True)
    assert await client.barrier() >= index
    assert keys_in(server) == {b"a": b"1"}


async def test_a_batch_is_answered_item_by_item(client: Client) -> None:
    outcomes = await client.propose(
        *(KV("set", b"k%d" % i, b"v") for i in range(BATCH)), KV("cas", b"k0", b"x", index=999999)
    )
    assert [outcome.error for outcome in outcomes] == [""] * (BATCH + 1)
    assert decode_result(outcomes[-1].result) == Outcome(False)
    indexes = [outcome.index for outcome in outcomes]
    assert indexes == list(range(indexes[0], indexes[0] + BATCH + 1))


async def test_a_killed_server_keeps_what_it_acknowledged(server: ServerProcess, client: Client) -> None:
    for number in range(3):
        await client.propose(*(KV("set", b"round-%d-%d" % (number, i), b"v") for i in range(BATCH)))
        server.kill()
        server.start()
        await leader_of([client])
    await client.barrier()
    assert len(keys_in(server)) == 3 * BATCH


async def test_sigterm_stops_at_once_and_nothing_is_lost(server: ServerProcess, client: Client) -> None:
    await client.put(b"a", b"1")
    assert server.signal("raftd", signal.SIGTERM) == 0
    server.start()
    await leader_of([client])
    await client.put(b"b", b"2")
    assert keys_in(server) == {b"a": b"1", b"b": b"2"}


async def test_state_of_another_boot_is_rebuilt_from_the_log(server: ServerProcess, client: Client) -> None:
    await client.put(b"a", b"1")
    server.kill()
    state = next((server.directory / "raft").glob("state-*"))
    (state / "boot_id").write_text("another boot")
    (state / "data.mdb").write_bytes(b"what a crash of the machine may leave")
    server.start()
    await leader_of([client])
    await client.barrier()
    assert keys_in(server) == {b"a": b"1"}


async def test_a_damaged_log_refuses_to_start_and_says_where(server: ServerProcess, client: Client) -> None:
    for number in range(5):
        await client.put(b"k%d" % number, b"value")
    server.kill()
    path = next((server.directory / "raft" / "wal").glob("*.wal"))
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    server.start()
    assert server.daemons["raftd"].wait(20) == 1
    line = server.log().splitlines()[-1]
    assert "[ERROR]" in line and path.name in line and "offset" in line


async def test_the_change_stream_names_what_changed(client: Client) -> None:
    stream = client.stub().Changes(raft_pb2.ChangesRequest(), metadata=client.metadata)
    first = await stream.read()
    assert not first.topics and first.index > 0
    index, _ = await client.put(b"some/key", b"v")
    change = await stream.read()
    assert change.index == index
    assert b"kv:some/key" in change.topics
    stream.cancel()


async def test_stats_show_what_consul_info_shows(client: Client) -> None:
    stats = await client.call("raft.stats")
    assert stats["state"] == "Leader"
    assert stats["num_peers"] == "0"
    assert stats["applied_index"] == stats["commit_index"]
    status = await client.stub().Status(raft_pb2.StatusRequest(), metadata=client.metadata)
    assert 0 < status.configuration_index <= status.commit_index


async def test_sessions_expire_and_are_renewed_by_the_leader(client: Client) -> None:
    node = Node(id="", node="n", address="127.0.0.1", datacenter="dc1")
    session_id = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"
    session = Session(session_id, "", "n", 0, "release", "10s")
    outcomes = await client.propose(Register(node), SessionCreate(session))
    assert [outcome.error for outcome in outcomes] == ["", ""]
    timers = await eventually(lambda: client.call("session.timers"))
    assert 19e9 < timers[session_id] <= 20e9
    assert await client.call("session.renew", {"id": session_id}) is True
    assert await client.call("session.renew", {"id": "00000000-0000-0000-0000-000000000000"}) is False


async def test_lock_delay_is_checked_before_the_log(client: Client) -> None:
    node = Node(id="", node="n", address="127.0.0.1", datacenter="dc1")
    first, second = "adf4238a-882b-9ddc-4a9d-5b6758e4159e", "bdf4238a-882b-9ddc-4a9d-5b6758e4159e"
    from lictor.state.commands import SessionDestroy

    await client.propose(Register(node), SessionCreate(Session(first, "", "n", 15_000_000_000, "release", "")))
    await client.propose(SessionCreate(Session(second, "", "n", 15_000_000_000, "release", "")))
    (locked,) = await client.propose(KV("lock", b"l", b"v", session=first))
    assert decode_result(locked.result) == Outcome(True)
    await client.propose(SessionDestroy(first))
    (refused,) = await client.propose(KV("lock", b"l", b"v", session=second))
    assert decode_result(refused.result) == Outcome(False)


async def test_calls_and_streams_without_the_secret_are_refused(server: ServerProcess, client: Client) -> None:
    import grpc

    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.stub().Status(raft_pb2.StatusRequest(), timeout=5)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    await asyncio.sleep(0)
