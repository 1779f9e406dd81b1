"""What checkd needs from the node's gossipd: how many nodes there are, and when a new leader was announced.

gossipd may come later or go away for a while: each stream is opened again until it works.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from lictor.pb.lictor.v1 import gossip_pb2, gossip_pb2_grpc
from lictor.rpc import DaemonChannel
from lictor.user_event import PREFIX, REMOTE_EXEC, UserEvent, from_wire

NEW_LEADER_EVENT = "consul:new-leader"
RETRY_S = 0.5
CALL_TIMEOUT_S = 5.0

log = logging.getLogger("agent")


class Membership:
    """Counts the LAN pool's members, listens for new leaders and for `consul exec`."""

    def __init__(
        self,
        channel: DaemonChannel,
        on_size: Callable[[int], None],
        on_leader: Callable[[], None],
        on_remote_exec: Callable[[UserEvent], None] = lambda _event: None,
    ) -> None:
        self._channel = channel
        self._on_size = on_size
        self._on_leader = on_leader
        self._on_remote_exec = on_remote_exec
        self._names: set[str] = set()

    async def run(self) -> None:
        """Follow both streams until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again(self._members))
            group.create_task(self._again(self._events))

    async def coordinate(self) -> dict[str, Any] | None:
        """This node's own coordinate as the HTTP API takes it; None when gossipd has none or is away."""
        try:
            stub = gossip_pb2_grpc.GossipStub(self._channel.channel())  # type: ignore[no-untyped-call]
            request = gossip_pb2.CoordinatesRequest(pool=gossip_pb2.POOL_LAN, local_only=True)
            answer = await stub.Coordinates(request, metadata=self._channel.metadata, timeout=CALL_TIMEOUT_S)
        except (ConnectionError, grpc.aio.AioRpcError):
            return None
        if not answer.nodes:
            return None
        found = answer.nodes[0].coordinate
        return {
            "Vec": list(found.vec),
            "Error": found.error,
            "Adjustment": found.adjustment,
            "Height": found.height,
        }

    async def _again(self, follow: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await follow()
            except (ConnectionError, grpc.aio.AioRpcError) as error:
                log.debug("gossip stream ended: error=%s", error)
            await asyncio.sleep(RETRY_S)

    async def _members(self) -> None:
        stub = gossip_pb2_grpc.GossipStub(self._channel.channel())  # type: ignore[no-untyped-call]
        request = gossip_pb2.MemberEventsRequest(pool=gossip_pb2.POOL_LAN)
        async for event in stub.MemberEvents(request, metadata=self._channel.metadata):
            self._take(event)

    def _take(self, event: gossip_pb2.MemberEvent) -> None:
        names = {member.name for member in event.members}
        kinds = gossip_pb2.MemberEvent
        if event.kind == kinds.KIND_SNAPSHOT:
            self._names = names
        elif event.kind in (kinds.KIND_JOIN, kinds.KIND_UPDATE):
            self._names |= names
        elif event.kind in (kinds.KIND_LEAVE, kinds.KIND_REAP):
            self._names -= names
        self._on_size(max(len(self._names), 1))

    async def _events(self) -> None:
        stub = gossip_pb2_grpc.GossipStub(self._channel.channel())  # type: ignore[no-untyped-call]
        async for event in stub.UserEvents(gossip_pb2.UserEventsRequest(), metadata=self._channel.metadata):
            if event.name == NEW_LEADER_EVENT:
                self._on_leader()
            elif event.name == PREFIX + REMOTE_EXEC:
                asked = from_wire(event.payload, event.lamport_time)
                if asked is not None:
                    self._on_remote_exec(asked)
