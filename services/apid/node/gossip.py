"""The node's gossipd as the endpoints see it: a live copy of both member lists, and its calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import grpc

from apid.core.errors import HttpError
from apid.node import stubs
from lictor.pb.lictor.v1 import gossip_pb2
from lictor.rpc import DaemonChannel, DaemonNotRunning

log = logging.getLogger("agent.http")

RECONNECT_DELAY_S = 0.1
MAX_RECONNECT_DELAY_S = 1.0
CALL_TIMEOUT_S = 30.0
START_TIMEOUT_S = 5.0
SERVER_ROLE = "consul"


class Members:
    """The members of one pool by name."""

    def __init__(self, pool: gossip_pb2.Pool) -> None:
        self.pool = pool
        self.members: dict[str, gossip_pb2.Member] = {}
        self.known = asyncio.Event()
        self.listeners: list[Callable[[], None]] = []

    def take(self, event: gossip_pb2.MemberEvent) -> None:
        kind = event.kind
        if kind == gossip_pb2.MemberEvent.KIND_SNAPSHOT:
            self.members = {}
        if kind == gossip_pb2.MemberEvent.KIND_REAP:
            for member in event.members:
                self.members.pop(member.name, None)
        else:
            for member in event.members:
                self.members[member.name] = member
        self.known.set()
        for listener in self.listeners:
            listener()

    async def told(self) -> None:
        """Returns once the members are known, or after a while without them: at the agent's start."""
        if not self.known.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(START_TIMEOUT_S):
                    await self.known.wait()

    def present(self) -> list[gossip_pb2.Member]:
        """Members that have not left, alive or not: who left is kept for a while, but is gone."""
        return [member for member in self.members.values() if member.status != gossip_pb2.MEMBER_STATUS_LEFT]

    def datacenters(self) -> set[str]:
        """Those of members that have not left (Consul 1.7: agent/router)."""
        return {member.tags.get("dc", "") for member in self.present()} - {""}

    def alive_servers(self, datacenter: str = "") -> list[gossip_pb2.Member]:
        """Living servers, of one datacenter when it is given."""
        return [
            member
            for member in self.members.values()
            if member.tags.get("role") == SERVER_ROLE
            and member.status == gossip_pb2.MEMBER_STATUS_ALIVE
            and (not datacenter or member.tags.get("dc") == datacenter)
        ]


class Gossip:
    """Calls to the local gossipd; `lan` and `wan` are kept up to date by its event streams."""

    def __init__(self, data_dir: str, with_wan: bool) -> None:
        self._daemon = DaemonChannel(data_dir, "gossipd")
        self.lan = Members(gossip_pb2.POOL_LAN)
        self.wan = Members(gossip_pb2.POOL_WAN)
        self.with_wan = with_wan
        self._tags: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return self._daemon.metadata

    def stub(self) -> Any:
        """Errors: HttpError when gossipd does not run."""
        try:
            return stubs.gossip(self._daemon.channel())
        except DaemonNotRunning as error:
            raise HttpError(str(error)) from None

    async def started(self) -> None:
        """Returns when gossipd listens, or after a while without it."""
        with contextlib.suppress(DaemonNotRunning):
            await self._daemon.started(START_TIMEOUT_S)

    async def started_stub(self) -> Any:
        """The same, after waiting for gossipd's first start."""
        try:
            return stubs.gossip(await self._daemon.started(START_TIMEOUT_S))
        except DaemonNotRunning as error:
            raise HttpError(str(error)) from None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.append(loop.create_task(self._follow(self.lan)))
        if self.with_wan:
            self._tasks.append(loop.create_task(self._follow(self.wan)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._daemon.close()

    def set_tags(self, **tags: str) -> None:
        """Tags of this node that gossipd shall carry; told again whenever gossipd comes back."""
        self._tags.update(tags)

    async def _follow(self, members: Members) -> None:
        delay_s = RECONNECT_DELAY_S
        while True:
            try:
                stub = stubs.gossip(self._daemon.channel())
                if self._tags and members is self.lan:
                    request = gossip_pb2.SetTagsRequest(set=self._tags)
                    await stub.SetTags(request, metadata=self.metadata, timeout=CALL_TIMEOUT_S)
                call = stub.MemberEvents(gossip_pb2.MemberEventsRequest(pool=members.pool), metadata=self.metadata)
                async for event in call:
                    delay_s = RECONNECT_DELAY_S
                    members.take(event)
            except DaemonNotRunning:
                delay_s = RECONNECT_DELAY_S
            except grpc.aio.AioRpcError as error:
                log.debug("member events ended: error=%s", error.details())
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, MAX_RECONNECT_DELAY_S)
