"""Three raftds with their gossipds: election, replication, forwarding, crashes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lictor.state.commands import KV
from tests.raftd.servers import Client, ServerProcess, eventually, keys_in, leader_of

ROUNDS = 3


@pytest.fixture
async def clients(tmp_path: Path) -> AsyncIterator[list[Client]]:
    servers = [ServerProcess(tmp_path, number, 3) for number in (1, 2, 3)]
    made: list[Client] = []
    try:
        for server in servers:
            server.start()
        made = [Client(server) for server in servers]
        await leader_of(made, 40)
        yield made
    finally:
        for server in servers:
            server.kill()
        for client in made:
            await client.close()


async def all_have(clients: list[Client], expected: set[bytes]) -> None:
    async def same() -> bool:
        for client in clients:
            await client.barrier()
        return all(expected <= keys_in(client.server).keys() for client in clients)

    await eventually(same, 30)


async def test_all_are_voters_and_followers_forward(clients: list[Client]) -> None:
    leader = await leader_of(clients)
    status = await leader.status()
    assert status is not None
    assert [server.voter for server in status.servers] == [True] * 3
    for number, client in enumerate(clients):
        await client.put(b"through-%d" % number, b"v")
    await all_have(clients, {b"through-0", b"through-1", b"through-2"})


async def test_each_server_killed_in_turn_under_load_loses_nothing_acknowledged(clients: list[Client]) -> None:
    acknowledged: set[bytes] = set()
    running = True

    async def load(client: Client, name: str) -> None:
        count = 0
        while running:
            keys = [b"%s-%d" % (name.encode(), count + i) for i in range(16)]
            count += 16
            try:
                async with asyncio.timeout(15):
                    outcomes = await client.propose(*(KV("set", key, b"v") for key in keys))
            except (AssertionError, OSError, TimeoutError, asyncio.CancelledError):
                await asyncio.sleep(0.05)
                continue
            except Exception as error:
                assert type(error).__module__.startswith("grpc"), error
                await asyncio.sleep(0.05)
                continue
            acknowledged.update(key for key, outcome in zip(keys, outcomes, strict=True) if not outcome.error)

    loads = [asyncio.create_task(load(client, f"c{number}")) for number, client in enumerate(clients)]
    for client in clients:
        before = len(acknowledged)
        await eventually(lambda: len(acknowledged) > before + 100, 30)  # noqa: B023
        client.server.kill()
        before = len(acknowledged)
        await eventually(lambda: len(acknowledged) > before + 100, 40)  # noqa: B023
        client.server.start()
        await eventually(client.status, 20)
    running = False
    await asyncio.gather(*loads)
    assert len(acknowledged) > 600
    await all_have(clients, acknowledged)


async def test_all_servers_killed_at_once_keep_everything(clients: list[Client]) -> None:
    expected: set[bytes] = set()
    for number in range(ROUNDS):
        leader = await leader_of(clients)
        keys = [b"round-%d-%d" % (number, i) for i in range(64)]
        for outcome in await leader.propose(*(KV("set", key, b"v") for key in keys)):
            assert not outcome.error
        expected.update(keys)
        for client in clients:
            client.server.kill()
        for client in clients:
            client.server.start()
        await leader_of(clients, 40)
    await all_have(clients, expected)


async def test_members_are_in_the_catalog_with_their_service(clients: list[Client]) -> None:
    from lictor.page import PageReader
    from lictor.state.lmdb_store import open_store
    from lictor.state.queries import catalog

    leader = await leader_of(clients)

    def registered() -> bool:
        page = PageReader(leader.server.directory)
        store = open_store(leader.server.directory / "raft" / f"state-{page.read().generation}", readonly=True)
        page.close()
        with store.read() as txn:
            nodes = {row.node for row in catalog.nodes(txn).value}
            services = catalog.services(txn).value
        store.close()
        return nodes == {"n1", "n2", "n3"} and "consul" in services

    await eventually(registered)
    health = await leader.call("autopilot.health")
    assert {server["Name"] for server in health["Servers"]} == {"n1", "n2", "n3"}
    assert sum(server["Leader"] for server in health["Servers"]) == 1


async def test_leaving_moves_the_leadership_and_shrinks_the_configuration(clients: list[Client]) -> None:
    leader = await leader_of(clients)
    target = await leader.call("raft.transfer_leadership", {"id": ""})
    others = [client for client in clients if client is not leader]
    successor = await leader_of(others)
    assert successor.server.node_id == target
    await successor.call("raft.leave", {"id": leader.server.node_id})
    status = await successor.status()
    assert status is not None
    assert leader.server.node_id not in {server.id for server in status.servers}
