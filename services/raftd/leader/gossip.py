"""This node's gossipd as raftd sees it: the LAN pool's members, events in and out. It may be restarted at any time."""

import asyncio
import logging
from collections.abc import Callable

import grpc
import grpc.aio

from lictor.pb.lictor.v1 import gossip_pb2, gossip_pb2_grpc
from lictor.rpc import DaemonChannel, DaemonNotRunning
from raftd.leader.members import LanMember, from_message

RECONNECT_S = 0.1
CALL_TIMEOUT_S = 10.0
_GONE = frozenset({gossip_pb2.MemberEvent.KIND_REAP})

log = logging.getLogger("agent.server")


class Gossip:
    """A copy of the LAN pool, kept up to date."""

    def __init__(self, data_dir: str) -> None:
        self._daemon = DaemonChannel(data_dir, "gossipd")
        self.members: dict[str, LanMember] = {}
        """By name; kept as last seen while gossipd is away."""
        self.known = False
        """Whether the pool was seen at all."""
        self.on_change: list[Callable[[list[LanMember], list[str]], None]] = []
        """Called with members that are new or different, and names of reaped ones."""
        self.on_user_event: list[Callable[[str, bytes], None]] = []

    def _stub(self) -> gossip_pb2_grpc.GossipStub:
        return gossip_pb2_grpc.GossipStub(self._daemon.channel())  # type: ignore[no-untyped-call]

    async def watch_members(self) -> None:
        """Follow the pool; never returns."""
        while True:
            try:
                request = gossip_pb2.MemberEventsRequest(pool=gossip_pb2.POOL_LAN)
                async for event in self._stub().MemberEvents(request, metadata=self._daemon.metadata):
                    self._take(event)
            except DaemonNotRunning:
                pass
            except grpc.aio.AioRpcError as error:
                log.debug("member events ended: error=%s", error.details())
            await asyncio.sleep(RECONNECT_S)

    def _take(self, event: gossip_pb2.MemberEvent) -> None:
        members = [from_message(message) for message in event.members]
        gone: list[str] = []
        if event.kind in _GONE:
            gone = [member.name for member in members]
            members = []
        elif event.kind == gossip_pb2.MemberEvent.KIND_SNAPSHOT:
            present = {member.name for member in members}
            gone = [name for name in self.members if name not in present]
        changed = [member for member in members if self.members.get(member.name) != member]
        for name in gone:
            self.members.pop(name, None)
        self.members.update((member.name, member) for member in changed)
        self.known = True
        for callback in self.on_change:
            callback(changed, gone)

    async def watch_user_events(self) -> None:
        """Follow user events; never returns."""
        while True:
            try:
                request = gossip_pb2.UserEventsRequest()
                async for event in self._stub().UserEvents(request, metadata=self._daemon.metadata):
                    for callback in self.on_user_event:
                        callback(event.name, event.payload)
            except DaemonNotRunning:
                pass
            except grpc.aio.AioRpcError as error:
                log.debug("user events ended: error=%s", error.details())
            await asyncio.sleep(RECONNECT_S)

    async def fire(self, name: str, payload: bytes) -> None:
        """Broadcast a user event; waits for a gossipd that is away, up to CALL_TIMEOUT_S."""
        request = gossip_pb2.FireEventRequest(name=name, payload=payload, coalesce=False)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                while True:
                    try:
                        response = await self._stub().FireEvent(request, metadata=self._daemon.metadata)
                    except (DaemonNotRunning, grpc.aio.AioRpcError):
                        await asyncio.sleep(RECONNECT_S)
                        continue
                    if response.error:
                        log.error("failed to broadcast event: event=%s error=%s", name, response.error)
                    return
        except TimeoutError:
            log.warning("failed to broadcast event: event=%s error=%r", name, "gossipd does not answer")

    async def force_leave(self, node: str) -> None:
        """Move a failed member to left."""
        request = gossip_pb2.ForceLeaveRequest(node=node)
        try:
            response = await self._stub().ForceLeave(request, metadata=self._daemon.metadata, timeout=CALL_TIMEOUT_S)
        except (DaemonNotRunning, grpc.aio.AioRpcError) as error:
            log.warning("failed to remove member: member=%s error=%r", node, str(error))
            return
        if response.error:
            log.warning("failed to remove member: member=%s error=%r", node, response.error)

    async def close(self) -> None:
        """Close the channel."""
        await self._daemon.close()
