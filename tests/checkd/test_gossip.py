"""What checkd takes from gossipd: the cluster's size, new leaders, the node's coordinate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lictor.config.runtime import CoordinateConfig
from lictor.pb.lictor.v1 import gossip_pb2, gossip_pb2_grpc
from lictor.rpc import DaemonServer
from tests.checkd.daemon import make_config, running
from tests.checkd.fake_apid import FakeApid
from tests.checkd.waiting import until

Kind = gossip_pb2.MemberEvent


class FakeGossipd(gossip_pb2_grpc.GossipServicer):
    """Streams what a test puts in."""

    def __init__(self, data_dir: Path) -> None:
        self.server = DaemonServer(data_dir, "gossipd", ("lictor.v1.Gossip",))
        gossip_pb2_grpc.add_GossipServicer_to_server(self, self.server.server)  # type: ignore[no-untyped-call]
        self.members: asyncio.Queue[gossip_pb2.MemberEvent] = asyncio.Queue()
        self.events: asyncio.Queue[gossip_pb2.UserEvent] = asyncio.Queue()

    async def MemberEvents(self, request: Any, context: Any) -> AsyncIterator[gossip_pb2.MemberEvent]:
        while True:
            yield await self.members.get()

    async def UserEvents(self, request: Any, context: Any) -> AsyncIterator[gossip_pb2.UserEvent]:
        while True:
            yield await self.events.get()

    async def Coordinates(self, request: Any, context: Any) -> gossip_pb2.CoordinatesResponse:
        assert request.local_only
        coordinate = gossip_pb2.Coordinate(vec=[0.5] * 8, error=1.5, adjustment=0.0, height=1e-5)
        node = gossip_pb2.NodeCoordinate(node="n1", coordinate=coordinate)
        return gossip_pb2.CoordinatesResponse(nodes=[node])

    def tell(self, kind: gossip_pb2.MemberEvent.Kind, *names: str) -> None:
        members = [gossip_pb2.Member(name=name) for name in names]
        self.members.put_nowait(gossip_pb2.MemberEvent(kind=kind, members=members))


async def test_size_leaders_and_coordinates_come_from_gossip(tmp_path: Path) -> None:
    apid = FakeApid(tmp_path)
    await apid.start()
    apid.refuse = {"/v1/catalog": (500, "No cluster leader")}
    pace = CoordinateConfig(sync_interval_min_ns=20_000_000, sync_rate_target=10_000.0)
    try:
        async with running(make_config(tmp_path, coordinates=pace)) as (daemon, _):
            # gossipd comes later than checkd.
            gossipd = FakeGossipd(tmp_path)
            await gossipd.server.start()
            try:
                schedule = daemon.syncer.schedule
                gossipd.tell(Kind.KIND_SNAPSHOT, "n1", "n2", "n3")
                gossipd.tell(Kind.KIND_JOIN, "n4")
                gossipd.tell(Kind.KIND_FAILED, "n2")
                await until("four members are counted", lambda: schedule.nodes == 4)
                gossipd.tell(Kind.KIND_LEAVE, "n3", "n2")
                await until("two members are left", lambda: schedule.nodes == 2)
                await until("the coordinate arrives", lambda: apid.coordinates)
                apid.refuse = {}
                gossipd.events.put_nowait(gossip_pb2.UserEvent(name="deploy"))
                gossipd.events.put_nowait(gossip_pb2.UserEvent(name="consul:new-leader", payload=b"n1"))
                await until("the node is registered", lambda: apid.nodes.get("n1"))
            finally:
                await gossipd.server.stop(0)
    finally:
        await apid.stop()
    coordinate = {"Vec": [0.5] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5}
    assert apid.coordinates[0] == {"Node": "n1", "Coord": coordinate}
