"""Many small questions over one long-lived stream (to raftd, to a server's apid): gather, send, match by number.

While one message is on its way the next gathers, so that a busy apid sends few large messages and an idle one answers
at once (Design: section 3, batches everywhere).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import grpc

from lictor.rpc import DaemonNotRunning

log = logging.getLogger("agent.http")

Item = TypeVar("Item")
Reply = TypeVar("Reply")

MAX_BATCH_ITEMS = 512
MAX_BATCH_BYTES = 2 << 20
MAX_WAITING_ITEMS = 65536
RECONNECT_DELAY_S = 0.05
MAX_RECONNECT_DELAY_S = 0.5


class StreamDown(ConnectionError):
    """The peer is not there, or went away before it answered; `sent` tells whether it may have got the question."""

    def __init__(self, text: str, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class ChannelSource(Protocol):
    """Knows the channel to the peer. Raises DaemonNotRunning while there is none."""

    def channel(self) -> grpc.aio.Channel: ...


class Batcher(Generic[Item, Reply]):
    """A stream of batches in both directions.

    `open_stream` makes the gRPC call, `encode` a message from numbered items, `decode` numbered replies from a
    message, `size` the bytes an item weighs.
    """

    def __init__(
        self,
        channel: ChannelSource,
        open_stream: Callable[[grpc.aio.Channel], Any],
        encode: Callable[[list[tuple[int, Item]]], Any],
        decode: Callable[[Any], list[tuple[int, Reply]]],
        size: Callable[[Item], int],
        peer: str = "raftd",
    ) -> None:
        self._peer = peer
        self._channel = channel
        self._open_stream = open_stream
        self._encode = encode
        self._decode = decode
        self._size = size
        self._next_id = 0
        self._queue: list[tuple[int, Item]] = []
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._sent: set[int] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, reason: str = "apid is stopping") -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._fail_all(StreamDown(reason, sent=True))

    def submit(self, item: Item) -> asyncio.Future[Reply]:
        """The reply to come. It fails with StreamDown when the peer is away; a cancelled future's reply is dropped."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if len(self._waiting) >= MAX_WAITING_ITEMS:
            future.set_exception(StreamDown(f"too many requests are waiting for {self._peer}", sent=False))
            return future
        self._next_id += 1
        self._waiting[self._next_id] = future
        self._queue.append((self._next_id, item))
        self._wake.set()
        return future

    async def _run(self) -> None:
        delay_s = RECONNECT_DELAY_S
        while True:
            reason = f"{self._peer} closed the stream"
            try:
                call = self._open_stream(self._channel.channel())
            except DaemonNotRunning as error:
                reason = str(error)
            else:
                reader = asyncio.create_task(self._read(call))
                writer = asyncio.create_task(self._write(call))
                try:
                    done, _ = await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
                    if any(task.exception() is None for task in done) or self._sent:
                        delay_s = RECONNECT_DELAY_S
                    reason = next((self._reason(task.exception()) for task in done if task.exception()), reason)
                finally:
                    reader.cancel()
                    writer.cancel()
                    call.cancel()
                    await asyncio.gather(reader, writer, return_exceptions=True)
            self._fail_all(StreamDown(reason, sent=False))
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, MAX_RECONNECT_DELAY_S)

    async def _write(self, call: Any) -> None:
        while True:
            await self._wake.wait()
            batch = self._take()
            self._sent.update(number for number, _ in batch)
            if batch:
                await call.write(self._encode(batch))

    def _take(self) -> list[tuple[int, Item]]:
        total, count = 0, 0
        for _, item in self._queue[:MAX_BATCH_ITEMS]:
            total += self._size(item)
            if count and total > MAX_BATCH_BYTES:
                break
            count += 1
        batch, self._queue = self._queue[:count], self._queue[count:]
        if not self._queue:
            self._wake.clear()
        return batch

    async def _read(self, call: Any) -> None:
        while True:
            message = await call.read()
            if message is grpc.aio.EOF:
                code = await call.code()
                raise StreamDown(f"{self._peer}: {code.name}: {await call.details()}", sent=True)
            for number, reply in self._decode(message):
                self._sent.discard(number)
                future = self._waiting.pop(number, None)
                if future is not None and not future.done():
                    future.set_result(reply)

    def _fail_all(self, error: StreamDown) -> None:
        """Fails what waits; what was not sent yet is told so and may be tried again."""
        for number, future in self._waiting.items():
            if not future.done():
                future.set_exception(StreamDown(str(error), sent=number in self._sent))
                # A caller that was cancelled meanwhile never looks.
                future.exception()
        self._waiting.clear()
        self._sent.clear()
        self._queue.clear()
        self._wake.clear()

    def _reason(self, error: BaseException | None) -> str:
        if isinstance(error, grpc.aio.AioRpcError):
            return f"{self._peer}: {error.code().name}: {error.details()}"
        return str(error)
