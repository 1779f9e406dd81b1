"""HTTP-shaped requests to the node's apid over one long-lived stream of batches (`lictor.v1.Forward`)."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, NamedTuple

from lictor.pb.lictor.v1 import forward_pb2, forward_pb2_grpc
from lictor.rpc import DaemonChannel
from lictor.rpc.exchange import exchange

REQUEST_TIMEOUT_S = 15.0
QUEUE_LIMIT = 1024
MAX_BATCH_ITEMS = 64
MAX_BATCH_BYTES = 2 << 20
TOKEN_HEADER = "X-Consul-Token"

log = logging.getLogger("agent.forward")


class ForwardUnavailable(Exception):
    """The node's apid cannot be reached, or did not answer in time."""


class ForwardAnswer(NamedTuple):
    """Status, headers (names in lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def text(self) -> str:
        """The body as text, for error messages."""
        return self.body.decode("utf-8", "replace").strip()


class ForwardClient:
    """Sends requests and matches the answers by their numbers; the stream is made when needed."""

    def __init__(self, channel: DaemonChannel) -> None:
        self._channel = channel
        self._waiting: dict[int, asyncio.Future[ForwardAnswer]] = {}
        self._outgoing: asyncio.Queue[forward_pb2.HttpRequest] = asyncio.Queue(QUEUE_LIMIT)
        self._reader: asyncio.Task[None] | None = None
        self._next_id = 1

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        body: Any = None,
        raw: bytes = b"",
        token: str = "",
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> ForwardAnswer:
        """The answer to one request; `body` is sent as JSON, `raw` as it is. Raises ForwardUnavailable."""
        number = self._next_id
        self._next_id += 1
        message = forward_pb2.HttpRequest(id=number, method=method, path=path, query=query, body=raw)
        if body is not None:
            message.body = json.dumps(body, separators=(",", ":")).encode()
        if token:
            message.headers.add(name=TOKEN_HEADER, value=token)
        answer: asyncio.Future[ForwardAnswer] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                self._connect()
                await self._outgoing.put(message)
                return await answer
        except TimeoutError:
            raise ForwardUnavailable(f"no answer to {method} {path} within {timeout_s:g}s") from None
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the stream."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    def _connect(self) -> None:
        if self._reader is not None and not self._reader.done():
            return
        try:
            channel = self._channel.channel()
        except ConnectionError as error:
            raise ForwardUnavailable(str(error)) from None
        self._outgoing = asyncio.Queue(QUEUE_LIMIT)
        stub = forward_pb2_grpc.ForwardStub(channel)  # type: ignore[no-untyped-call]
        self._reader = asyncio.get_running_loop().create_task(self._read(stub, self._outgoing))

    async def _read(self, stub: Any, outgoing: asyncio.Queue[forward_pb2.HttpRequest]) -> None:
        async def following() -> forward_pb2.HttpRequests:
            batch = [await outgoing.get()]
            size = len(batch[0].body)
            while len(batch) < MAX_BATCH_ITEMS and size < MAX_BATCH_BYTES and not outgoing.empty():
                batch.append(outgoing.get_nowait())
                size += len(batch[-1].body)
            return forward_pb2.HttpRequests(items=batch)

        reason = "the stream ended"
        try:
            await exchange(stub.HandleBatches(metadata=self._channel.metadata), following, self._take)
        except ConnectionError as error:
            reason = str(error)
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(ForwardUnavailable(reason))

    def _take(self, batch: forward_pb2.HttpResponses) -> None:
        for message in batch.items:
            answer = self._waiting.get(message.id)
            if answer is None or answer.done():
                continue
            headers = {header.name.lower(): header.value for header in message.headers}
            answer.set_result(ForwardAnswer(message.status, headers, message.body))
