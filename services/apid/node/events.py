"""Recent user events of the LAN pool that are meant for this agent: the last 256 (Consul 1.7: user_event.go)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

import grpc

from apid.core.errors import HttpError
from apid.node import stubs
from apid.node.local import LocalAgent
from lictor import regexp
from lictor.pb.lictor.v1 import gossip_pb2
from lictor.rpc import DaemonChannel, DaemonNotRunning
from lictor.user_event import PREFIX, REMOTE_EXEC, UserEvent, from_wire, to_wire

log = logging.getLogger("agent.http")

MAX_EVENTS = 256
RECONNECT_DELAY_S = 0.2
START_TIMEOUT_S = 5.0
CALL_TIMEOUT_S = 10.0


class EventRefused(Exception):
    """The pool does not take an event; the text says why."""


class Events:
    """Follows the pool's events, keeps those meant for this agent, and fires new ones."""

    def __init__(self, data_dir: str, node_name: str, local: LocalAgent) -> None:
        self._daemon = DaemonChannel(data_dir, "gossipd")
        self._node_name = node_name
        self._local = local
        self._events: deque[UserEvent] = deque(maxlen=MAX_EVENTS)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._daemon.close()

    def recent(self, name: str = "") -> list[UserEvent]:
        """Oldest first."""
        return [event for event in self._events if not name or event.name == name]

    def changed(self) -> asyncio.Event:
        """Set at the next event (each makes a new one)."""
        return self._changed

    async def fire(self, event: UserEvent) -> None:
        """Errors: EventRefused for one that is too large, HttpError."""
        message = gossip_pb2.FireEventRequest(name=PREFIX + event.name, payload=to_wire(event), coalesce=False)
        try:
            stub = stubs.gossip(await self._daemon.started(START_TIMEOUT_S))
            answer = await stub.FireEvent(message, metadata=self._daemon.metadata, timeout=CALL_TIMEOUT_S)
        except DaemonNotRunning as error:
            raise HttpError(str(error)) from None
        except grpc.aio.AioRpcError as error:
            raise HttpError(error.details() or error.code().name) from None
        if answer.error:
            raise EventRefused(answer.error)

    async def _follow(self) -> None:
        while True:
            try:
                stub = stubs.gossip(self._daemon.channel())
                async for message in stub.UserEvents(gossip_pb2.UserEventsRequest(), metadata=self._daemon.metadata):
                    await self._take(message)
            except DaemonNotRunning:
                pass
            except grpc.aio.AioRpcError as error:
                log.debug("user events ended: error=%s", error.details())
            await asyncio.sleep(RECONNECT_DELAY_S)

    async def _take(self, message: gossip_pb2.UserEvent) -> None:
        if not message.name.startswith(PREFIX):
            return
        event = from_wire(message.payload, message.lamport_time)
        if event is None:
            log.error("Failed to decode event: name=%s", message.name)
            return
        if event.name == REMOTE_EXEC:
            # checkd's: it runs what it asks for, and it is never listed.
            return
        if any(known.id == event.id for known in self._events):
            return
        if event.service_filter:
            await self._local.wait_known()
        if self._is_meant(event):
            self._keep(event)

    def _is_meant(self, event: UserEvent) -> bool:
        try:
            return event.is_meant(self._node_name, self._local.services)
        except regexp.RegexpError as error:
            log.error("Failed to parse filter for event: name=%s error=%s", event.name, error)
            return False

    def _keep(self, event: UserEvent) -> None:
        self._events.append(event)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
