"""Distances to other datacenters from the WAN pool's network coordinates."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence

import grpc

from apid.core.errors import HttpError
from apid.node.gossip import Gossip
from lictor.pb.lictor.v1 import gossip_pb2

log = logging.getLogger("agent.http")

REFRESH_INTERVAL_S = 5.0
FIRST_INTERVAL_S = 0.5
"""Until there are any."""
CALL_TIMEOUT_S = 2.0


def distance_s(a: gossip_pb2.Coordinate, b: gossip_pb2.Coordinate) -> float:
    """Estimated round trip in seconds (Vivaldi)."""
    if len(a.vec) != len(b.vec):
        return math.inf
    raw = math.dist(a.vec, b.vec) + a.height + b.height
    adjusted = raw + a.adjustment + b.adjustment
    return adjusted if adjusted > 0 else raw


class Distances:
    """Keeps the WAN coordinates; client agents have none."""

    def __init__(self, gossip: Gossip, datacenter: str) -> None:
        self._gossip = gossip
        self._datacenter = datacenter
        self.coordinates: dict[str, gossip_pb2.Coordinate] = {}
        self._local_name = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._gossip.with_wan:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def to_datacenters(self) -> dict[str, float]:
        """Seconds to each other datacenter whose servers have coordinates."""
        own = self.coordinates.get(self._local_name)
        if own is None:
            return {}
        found: dict[str, list[float]] = {}
        for member in self._gossip.wan.present():
            coordinate = self.coordinates.get(member.name)
            if coordinate is not None:
                found.setdefault(member.tags.get("dc", ""), []).append(distance_s(own, coordinate))
        return {name: _median(values) for name, values in found.items()}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_INTERVAL_S if self.coordinates else FIRST_INTERVAL_S)
            if not self._gossip.wan.members:
                continue
            try:
                request = gossip_pb2.CoordinatesRequest(pool=gossip_pb2.POOL_WAN)
                stub, metadata = self._gossip.stub(), self._gossip.metadata
                answer = await stub.Coordinates(request, metadata=metadata, timeout=CALL_TIMEOUT_S)
                local = await stub.Members(
                    gossip_pb2.MembersRequest(pool=gossip_pb2.POOL_WAN), metadata=metadata, timeout=CALL_TIMEOUT_S
                )
            except (HttpError, grpc.aio.AioRpcError) as error:
                log.debug("no coordinates from gossipd: error=%s", error)
                continue
            self._local_name = local.local_name
            self.coordinates = {entry.node: entry.coordinate for entry in answer.nodes}


def _median(values: Sequence[float]) -> float:
    """The lower one of two in the middle."""
    return sorted(values)[(len(values) - 1) // 2]
