"""Raft's messages to other servers: one outbound stream per server, with a bounded queue and reconnects.

Messages may be lost, never reordered within one stream. What a broken stream may have lost is reported to the core
(`Driver.unreachable`), which then probes instead of filling a pipeline.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

import grpc
import grpc.aio

from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from raftd.codec import EntryEncoder
from raftd.core.configuration import Configuration
from raftd.core.messages import Message
from raftd.peers import PeerChannels

QUEUE_MAX_BYTES = 64 << 20
"""Encoded messages that wait for one server; more are dropped."""
BATCH_MAX_BYTES = 4 << 20
"""One gRPC message takes about this much."""
BACKOFF_MIN_S = 0.01
BACKOFF_MAX_S = 1.0
CONNECT_TIMEOUT_S = 2.0

log = logging.getLogger("agent.server.raft")


class PeerStream:
    """The way to one server."""

    def __init__(
        self,
        server_id: str,
        address: str,
        local: tuple[str, str],
        channels: PeerChannels,
        on_unreachable: Callable[[str], None],
    ) -> None:
        self.address = address
        self._server_id = server_id
        self._local_id, self._local_address = local
        self._channels = channels
        self._on_unreachable = on_unreachable
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._wake = asyncio.Event()
        self._connected = False
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, data: bytes) -> bool:
        """Queue one encoded message; False when it was dropped."""
        if self._queue_bytes + len(data) > QUEUE_MAX_BYTES and self._queue:
            return False
        self._queue.append(data)
        self._queue_bytes += len(data)
        self._wake.set()
        return True

    async def close(self) -> None:
        """Stop; what is queued is dropped."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        backoff_s = BACKOFF_MIN_S
        failed_before = False
        while True:
            await self._wake.wait()
            try:
                await self._stream()
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, TimeoutError) as error:
                reason = _reason(error)
            else:
                reason = "stream ended"
            if self._connected:
                backoff_s, failed_before = BACKOFF_MIN_S, False
            self._connected = False
            self._drop_queue()
            self._on_unreachable(self._server_id)
            if not failed_before:
                log.warning("cannot reach server: id=%s address=%s reason=%r", self._server_id, self.address, reason)
                failed_before = True
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_MAX_S)

    async def _stream(self) -> None:
        channel = self._channels.get(self.address)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await channel.channel_ready()
        call = raft_pb2_grpc.RaftPeerStub(channel).Deliver()  # type: ignore[no-untyped-call]
        done = asyncio.ensure_future(call.wait_for_connection())
        try:
            await done
            self._connected = True
            watch = asyncio.ensure_future(_finished(call))
            try:
                while not watch.done():
                    waking = asyncio.ensure_future(self._wake.wait())
                    await asyncio.wait((watch, waking), return_when=asyncio.FIRST_COMPLETED)
                    waking.cancel()
                    while self._queue and not watch.done():
                        await call.write(self._take())
                await watch
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
        finally:
            call.cancel()

    def _take(self) -> raft_pb2.PeerBatch:
        batch: list[bytes] = []
        size_bytes = 0
        while self._queue and (not batch or size_bytes < BATCH_MAX_BYTES):
            data = self._queue.popleft()
            size_bytes += len(data)
            batch.append(data)
        self._queue_bytes -= size_bytes
        if not self._queue:
            self._wake.clear()
        return raft_pb2.PeerBatch(from_id=self._local_id, from_address=self._local_address, messages=batch)

    def _drop_queue(self) -> None:
        self._queue.clear()
        self._queue_bytes = 0
        self._wake.clear()


def _reason(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.details() or error.code().name
    if isinstance(error, TimeoutError):
        return "not connected in time"
    # Writing to a call whose end has arrived, but was not looked at yet, is an InvalidStateError.
    return "stream ended while writing"


async def _finished(call: "grpc.aio.StreamUnaryCall[raft_pb2.PeerBatch, raft_pb2.DeliverResponse]") -> None:
    """Returns or raises when the other side ends the stream."""
    await call


class Transport:
    """Streams to all servers that messages go to."""

    def __init__(
        self, server_id: str, address: str, channels: PeerChannels, on_unreachable: Callable[[str], None]
    ) -> None:
        self._local = (server_id, address)
        self._channels = channels
        self._on_unreachable = on_unreachable
        self._encoder = EntryEncoder()
        self._addresses: dict[str, str] = {}
        self._seen: dict[str, str] = {}
        self._learned: dict[str, str] = {}
        """Where servers that no configuration of ours names send from."""
        self._streams: dict[str, PeerStream] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def configure(self, configuration: Configuration) -> None:
        """These are the servers now."""
        self._addresses = {server.id: server.address for server in configuration.servers}
        self._follow_addresses()

    def moved_to(self, server_id: str, address: str) -> None:
        """Gossip sees a server here: that is newer than the configuration, which changes through the leader only."""
        self._seen[server_id] = address
        self._follow_addresses()

    def _follow_addresses(self) -> None:
        for server_id, stream in tuple(self._streams.items()):
            if self.address_of(server_id) not in ("", stream.address):
                self._close(server_id)

    def heard_from(self, server_id: str, address: str) -> None:
        """A server's stream came in: answers to it can go there, even before a configuration names it."""
        if server_id not in self._addresses:
            self._learned[server_id] = address

    def address_of(self, server_id: str) -> str:
        """host:port of a server, "" when unknown."""
        return self._seen.get(server_id) or self._addresses.get(server_id) or self._learned.get(server_id, "")

    def send(self, messages: Sequence[Message]) -> None:
        """Queue messages for their targets; those without a known address, and those that do not fit, are dropped."""
        for message in messages:
            stream = self._stream(message.target)
            if stream is not None and not stream.send(self._encoder.encode(message)):
                log.debug("message dropped, the queue is full: id=%s", message.target)

    def _stream(self, server_id: str) -> PeerStream | None:
        stream = self._streams.get(server_id)
        if stream is not None:
            return stream
        address = self.address_of(server_id)
        if not address:
            return None
        stream = PeerStream(server_id, address, self._local, self._channels, self._on_unreachable)
        self._streams[server_id] = stream
        return stream

    def _close(self, server_id: str) -> None:
        task = asyncio.get_running_loop().create_task(self._streams.pop(server_id).close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """End all streams."""
        for stream in self._streams.values():
            await stream.close()
        self._streams.clear()
        await asyncio.gather(*self._closing)
