"""The whole daemon as the other daemons see it: two servers and a client over gRPC."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import grpc
import pytest

from gossipd.node import GossipNode, JoinFailed
from gossipd.rpc import FULL_NAME, GossipService
from lictor.config.runtime import GossipConfig, JoinConfig, Ports, RuntimeConfig
from lictor.pb.lictor.v1 import gossip_pb2 as pb
from lictor.pb.lictor.v1.gossip_pb2_grpc import GossipStub, add_GossipServicer_to_server
from lictor.rpc import DaemonChannel, DaemonServer
from tests.gossipd.waiting import until_async

LAN_PORT, WAN_PORT = 28301, 28302
MILLISECOND_NS = 1_000_000
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
NEW_KEY = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
ONE, TWO, THREE = "127.0.73.1", "127.0.73.2", "127.0.73.3"


def gossip(host: str, port: int) -> GossipConfig:
    return GossipConfig(
        bind_addr=host,
        port=port,
        advertise_addr=host,
        advertise_port=port,
        gossip_interval_ns=50 * MILLISECOND_NS,
        probe_interval_ns=200 * MILLISECOND_NS,
        probe_timeout_ns=100 * MILLISECOND_NS,
    )


def config(
    name: str, host: str, directory: Path, server: bool = True, join: JoinConfig | None = None, key: str = ""
) -> RuntimeConfig:
    return RuntimeConfig(
        node_name=name,
        node_id=f"id-of-{name}",
        datacenter="bj",
        data_dir=str(directory / name),
        server_mode=server,
        bootstrap_expect=2 if server else 0,
        bind_addr=host,
        ports=Ports(serf_lan=LAN_PORT, serf_wan=WAN_PORT),
        gossip_lan=gossip(host, LAN_PORT),
        gossip_wan=gossip(host, WAN_PORT),
        join_lan=join or JoinConfig(),
        encrypt_key=key,
    )


@dataclass(slots=True)
class Daemon:
    node: GossipNode
    stub: GossipStub
    metadata: tuple[tuple[str, str], ...]

    async def members(self, pool: pb.Pool) -> dict[str, int]:
        answer = await self.stub.Members(pb.MembersRequest(pool=pool), metadata=self.metadata)
        return {member.name: member.status for member in answer.members}


@asynccontextmanager
async def daemon(runtime: RuntimeConfig) -> AsyncIterator[Daemon]:
    """gossipd as its main wires it, within this process."""
    node = GossipNode(runtime, Random(runtime.node_name))
    server = DaemonServer(runtime.data_dir, "gossipd", (FULL_NAME,))
    add_GossipServicer_to_server(GossipService(node), server.server)  # type: ignore[no-untyped-call]
    channel = DaemonChannel(runtime.data_dir, "gossipd")
    try:
        await node.start()
        await server.start()
        stub: GossipStub = GossipStub(channel.channel())  # type: ignore[no-untyped-call]
        yield Daemon(node, stub, channel.metadata)
    finally:
        await channel.close()
        await node.stop()
        await server.stop()


def joining(host: str) -> JoinConfig:
    return JoinConfig(start_join=(f"{host}:{LAN_PORT}",))


async def test_servers_are_flooded_into_the_wan_pool_and_clients_are_not(tmp_path: Path) -> None:
    async with (
        daemon(config("n1", ONE, tmp_path)) as one,
        daemon(config("n2", TWO, tmp_path, join=joining(ONE))) as two,
        daemon(config("c1", THREE, tmp_path, server=False, join=joining(ONE))) as client,
    ):
        for each in (one, two, client):

            async def sees() -> bool:
                return await each.members(pb.POOL_LAN) == {"n1": 1, "n2": 1, "c1": 1}  # noqa: B023

            await until_async(sees, "the LAN pool is whole")
        for each in (one, two):

            async def sees_wan() -> bool:
                return await each.members(pb.POOL_WAN) == {"n1.bj": 1, "n2.bj": 1}  # noqa: B023

            await until_async(sees_wan, "the WAN pool is whole")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.members(pb.POOL_WAN)
        assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION

        answer = await one.stub.Members(pb.MembersRequest(pool=pb.POOL_LAN), metadata=one.metadata)
        tags = {member.name: dict(member.tags) for member in answer.members}
        assert tags["n1"] == {
            "role": "consul",
            "dc": "bj",
            "segment": "",
            "id": "id-of-n1",
            "vsn": "2",
            "vsn_min": "2",
            "vsn_max": "3",
            "raft_vsn": "3",
            "build": "1.7.2:",
            "port": "8300",
            "wan_join_port": str(WAN_PORT),
            "expect": "2",
            "acls": "0",
        }
        assert tags["c1"]["role"] == "node"


async def test_events_tags_and_leaves_cross_the_contract(tmp_path: Path) -> None:
    async with (
        daemon(config("n1", ONE, tmp_path)) as one,
        daemon(config("n2", TWO, tmp_path, server=False)) as two,
    ):
        changes = one.stub.MemberEvents(pb.MemberEventsRequest(pool=pb.POOL_LAN), metadata=one.metadata)
        first = await changes.read()
        assert (first.kind, [member.name for member in first.members]) == (pb.MemberEvent.KIND_SNAPSHOT, ["n1"])

        joined = await two.stub.Join(
            pb.JoinRequest(pool=pb.POOL_LAN, addresses=[f"{ONE}:{LAN_PORT}", "127.0.73.9:1"]), metadata=two.metadata
        )
        assert (joined.contacted, len(joined.errors)) == (1, 1)
        event = await changes.read()
        assert (event.kind, event.members[0].name) == (pb.MemberEvent.KIND_JOIN, "n2")

        heard = two.stub.UserEvents(pb.UserEventsRequest(), metadata=two.metadata)
        await heard.initial_metadata()
        fired = await one.stub.FireEvent(pb.FireEventRequest(name="deploy", payload=b"1"), metadata=one.metadata)
        assert fired.error == ""
        event = await heard.read()
        assert (event.name, event.payload) == ("deploy", b"1")
        refused = await one.stub.FireEvent(pb.FireEventRequest(name="x", payload=bytes(600)), metadata=one.metadata)
        assert refused.error == "user event exceeds configured limit of 512 bytes before encoding"

        await two.stub.SetTags(pb.SetTagsRequest(set={"lictor_api": "8303"}), metadata=two.metadata)
        event = await changes.read()
        assert (event.kind, event.members[0].tags["lictor_api"]) == (pb.MemberEvent.KIND_UPDATE, "8303")

        missing = await one.stub.ForceLeave(pb.ForceLeaveRequest(node="x"), metadata=one.metadata)
        assert missing.error == "agent: No node found with name 'x'"
        await two.stub.Leave(pb.LeaveRequest(), metadata=two.metadata)
        event = await changes.read()
        assert (event.kind, event.members[0].status) == (pb.MemberEvent.KIND_LEAVE, pb.MEMBER_STATUS_LEFT)
        coordinates = await one.stub.Coordinates(pb.CoordinatesRequest(pool=pb.POOL_LAN), metadata=one.metadata)
        assert coordinates.nodes[0].node == "n1"
        assert len(coordinates.nodes[0].coordinate.vec) == 8
        stats = await one.stub.Stats(pb.StatsRequest(), metadata=one.metadata)
        assert (stats.lan["members"], stats.lan["left"], stats.lan["encrypted"]) == ("2", "1", "false")
        changes.cancel()
        heard.cancel()


async def test_keys_are_rotated_on_all_members_of_both_pools(tmp_path: Path) -> None:
    async with (
        daemon(config("n1", ONE, tmp_path, key=KEY)) as one,
        daemon(config("n2", TWO, tmp_path, join=joining(ONE), key=KEY)) as two,
    ):

        async def both_pools() -> bool:
            return len(await one.members(pb.POOL_WAN)) == 2

        await until_async(both_pools, "two servers in both pools")

        async def change(operation: int, key: str) -> list[pb.KeyringPoolResult]:
            request = pb.KeyringRequest(operation=operation, key=key)  # type: ignore[arg-type]
            return list((await one.stub.Keyring(request, metadata=one.metadata)).pools)

        for operation, key in (
            (pb.KeyringRequest.OPERATION_INSTALL, NEW_KEY),
            (pb.KeyringRequest.OPERATION_USE, NEW_KEY),
            (pb.KeyringRequest.OPERATION_REMOVE, KEY),
        ):
            assert [(pool.answer_count, pool.error) for pool in await change(operation, key)] == [(2, ""), (2, "")]
        listed = await change(pb.KeyringRequest.OPERATION_LIST, "")
        assert [dict(pool.keys) for pool in listed] == [{NEW_KEY: 2}, {NEW_KEY: 2}]
        assert NEW_KEY in (tmp_path / "n2" / "serf" / "remote.keyring").read_text()
        refused = await change(pb.KeyringRequest.OPERATION_REMOVE, NEW_KEY)
        assert refused[0].error == "2/2 nodes reported failure"
        assert set(refused[0].messages.values()) == {"Removing the primary key is not allowed"}
        assert two.node.lan.stats()["encrypted"] == "true"


async def test_listing_keys_of_a_plain_pool_says_that_it_is_not_encrypted(tmp_path: Path) -> None:
    async with daemon(config("n1", ONE, tmp_path)) as one:
        request = pb.KeyringRequest(operation=pb.KeyringRequest.OPERATION_LIST)
        (wan, lan) = (await one.stub.Keyring(request, metadata=one.metadata)).pools
    assert (wan.pool, lan.pool) == (pb.POOL_WAN, pb.POOL_LAN)
    assert wan.error == "1/1 nodes reported failure"
    assert dict(wan.messages) == {"n1.bj": "Keyring is empty (encryption not enabled)"}


async def test_a_demanded_join_that_fails_ends_the_start(tmp_path: Path) -> None:
    with pytest.raises(JoinFailed, match="connection refused"):
        async with daemon(config("n1", ONE, tmp_path, join=JoinConfig(start_join=(f"{TWO}:1",)))):
            pass


async def test_retry_join_gives_up_after_the_configured_attempts(tmp_path: Path) -> None:
    join = JoinConfig(retry_join=(f"{TWO}:1",), retry_interval_ns=10 * MILLISECOND_NS, retry_max=2)
    async with daemon(config("n1", ONE, tmp_path, join=join)) as one:
        assert one.node.failed is not None
        with pytest.raises(JoinFailed, match="max join retry exhausted, exiting: cluster=LAN"):
            await asyncio.wait_for(one.node.failed, 5)
