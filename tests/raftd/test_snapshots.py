"""Log compaction, snapshot transfer to a server that lags, and peers.json, on real servers."""

import json
from pathlib import Path
from typing import Any

from lictor.state.commands import KV
from tests.raftd.servers import SECOND_NS, Client, ServerProcess, eventually, keys_in, leader_of

COMPACT: dict[str, Any] = {"snapshot_threshold": 200, "snapshot_interval_ns": SECOND_NS // 5, "trailing_logs": 50}


async def fill(client: Client, name: bytes, count: int) -> set[bytes]:
    made: set[bytes] = set()
    for start in range(0, count, 100):
        batch = [b"%s-%d" % (name, start + i) for i in range(100)]
        outcomes = await client.propose(*(KV("set", key, b"v" * 100) for key in batch))
        assert not any(outcome.error for outcome in outcomes)
        made.update(batch)
    return made


async def test_a_compacted_server_restarts_from_snapshot_and_log(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, 31, 1, **COMPACT) as server:
        client = Client(server)
        await leader_of([client])
        expected = await fill(client, b"a", 1000)
        directory = server.directory / "raft" / "snapshots"
        await eventually(lambda: list(directory.glob("*/meta.json")))
        expected |= await fill(client, b"b", 300)
        server.kill()
        for state in (server.directory / "raft").glob("state-*"):
            (state / "boot_id").write_text("another boot")
        server.start()
        await leader_of([client])
        await client.barrier()
        assert keys_in(server).keys() == expected
        await eventually(lambda: len(list(directory.glob("*/meta.json"))) <= 2)
        await client.close()


async def test_a_server_that_lags_behind_the_log_gets_a_snapshot(tmp_path: Path) -> None:
    servers = [ServerProcess(tmp_path, number, 3, **COMPACT) for number in (1, 2, 3)]
    clients: list[Client] = []
    try:
        for server in servers:
            server.start()
        clients = [Client(server) for server in servers]
        leader = await leader_of(clients, 40)
        lagging = next(client for client in clients if client is not leader)
        expected = await fill(leader, b"a", 200)
        lagging.server.kill()
        expected |= await fill(leader, b"b", 1500)
        await eventually(lambda: list((leader.server.directory / "raft" / "snapshots").glob("*/meta.json")))
        lagging.server.start()
        await eventually(lambda: "installed remote snapshot" in lagging.server.log(), 30)
        await leader.put(b"last", b"v")
        await lagging.barrier()
        assert keys_in(lagging.server).keys() == expected | {b"last"}
    finally:
        for server in servers:
            server.kill()
        for client in clients:
            await client.close()


async def test_peers_json_brings_a_server_back_alone(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, 32, 1) as server:
        client = Client(server)
        await leader_of([client])
        expected = await fill(client, b"a", 200)
        server.kill()
        other = [{"id": server.node_id, "address": f"{server.ip}:42300", "non_voter": False}]
        path = server.directory / "raft" / "peers.json"
        path.write_text(json.dumps(other))
        server.start()
        await leader_of([client])
        assert not path.exists()
        expected.add(b"after")
        await client.put(b"after", b"v")
        assert keys_in(server).keys() == expected
        server.kill()
        server.start()
        await leader_of([client])
        await client.barrier()
        assert keys_in(server).keys() == expected
        server.kill()
        path.write_text("[{}]")
        server.start()
        assert server.daemons["raftd"].wait(20) == 1
        assert "server 1 has no id" in server.log().splitlines()[-1]
        await client.close()
