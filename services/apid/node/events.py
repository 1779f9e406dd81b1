"""Recent user events of the LAN pool that are meant for this agent: the last 256 (Consul 1.7: user_event.go)."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from typing import Any

import grpc
import msgpack
import msgspec

from apid.core import event_filters
from apid.core.errors import HttpError
from apid.node import stubs
from apid.node.local import LocalAgent
from lictor import regexp
from lictor.pb.lictor.v1 import gossip_pb2
from lictor.rpc import DaemonChannel, DaemonNotRunning

log = logging.getLogger("agent.http")

MAX_EVENTS = 256
EVENT_VERSION = 1
RECONNECT_DELAY_S = 0.2
CALL_TIMEOUT_S = 10.0
# Events of the cluster's own machinery carry no envelope.
INTERNAL_PREFIX = "consul:"
EVENT_PREFIX = "consul:event:"


class EventRefused(Exception):
    """The pool does not take an event; the text says why."""


class UserEvent(msgspec.Struct, frozen=True):
    """One event as fired over HTTP; `payload` is None when it is empty."""

    id: str
    name: str
    payload: bytes | None
    node_filter: str
    service_filter: str
    tag_filter: str
    version: int = EVENT_VERSION
    lamport_time: int = 0

    def index(self) -> int:
        """The event's index: the two halves of its ID, combined by exclusive or."""
        number = uuid.UUID(self.id).int
        return (number >> 64) ^ (number & ((1 << 64) - 1))


def to_wire(event: UserEvent) -> bytes:
    """The envelope in which events travel: MessagePack with Consul's field names; what is empty is left out."""
    optional = {"p": event.payload, "nf": event.node_filter, "sf": event.service_filter, "tf": event.tag_filter}
    fields = {"ID": event.id, "n": event.name, "v": event.version}
    fields |= {name: value for name, value in optional.items() if value}
    packed: bytes = msgpack.packb(fields)
    return packed


def from_wire(raw: bytes, lamport_time: int) -> UserEvent | None:
    """The event in an envelope; None when it is not one."""
    try:
        fields: Any = msgpack.unpackb(raw, raw=True)
        return UserEvent(
            id=str(uuid.UUID(_text(fields.get(b"ID")))),
            name=_text(fields.get(b"n")),
            payload=fields.get(b"p") or None,
            node_filter=_text(fields.get(b"nf")),
            service_filter=_text(fields.get(b"sf")),
            tag_filter=_text(fields.get(b"tf")),
            version=int(fields.get(b"v", EVENT_VERSION)),
            lamport_time=lamport_time,
        )
    except (msgpack.UnpackException, AttributeError, TypeError, ValueError):
        return None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


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
        message = gossip_pb2.FireEventRequest(name=EVENT_PREFIX + event.name, payload=to_wire(event), coalesce=False)
        try:
            stub = stubs.gossip(self._daemon.channel())
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
        if not message.name.startswith(EVENT_PREFIX):
            return
        event = from_wire(message.payload, message.lamport_time)
        if event is None:
            log.error("Failed to decode event: name=%s", message.name)
            return
        if any(known.id == event.id for known in self._events):
            return
        if event.service_filter:
            await self._local.wait_known()
        if self._is_meant(event):
            self._keep(event)

    def _is_meant(self, event: UserEvent) -> bool:
        filters = (event.node_filter, event.service_filter, event.tag_filter)
        try:
            return event_filters.is_meant(*filters, self._node_name, self._local.services)
        except regexp.RegexpError as error:
            log.error("Failed to parse filter for event: name=%s error=%s", event.name, error)
            return False

    def _keep(self, event: UserEvent) -> None:
        self._events.append(event)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
