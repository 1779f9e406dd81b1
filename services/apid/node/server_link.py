"""The way to one server's apid: a connection, and on it one long-lived stream of batches.

Short requests share the stream, many to a message, so that none costs a gRPC call of its own. What may take long or is
large (blocking queries, archives, big bodies) is a call of its own: it can be cancelled and delays nobody.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from apid.node import stubs
from apid.node.batching import Batcher, StreamDown
from lictor.pb.lictor.v1 import forward_pb2
from lictor.rpc import CHANNEL_OPTIONS

CONNECT_TIMEOUT_S = 2.0
# A lost server is noticed within about a second, also by requests that wait on it.
KEEPALIVE_OPTIONS = (
    *CHANNEL_OPTIONS,
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    # The timeout above watches the connection; a process that stands still is seen by its unanswered pings alone.
    ("grpc.http2.ping_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_READY = grpc.ChannelConnectivity.READY
_FAILED = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)


class _Held:
    """The link's channel, as a batcher asks for it."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    def channel(self) -> grpc.aio.Channel:
        return self._channel


class ServerLink:
    """One server's apid. Everything that goes wrong on the way is StreamDown, which tells what it may have got."""

    def __init__(self, address: str, target: str = "") -> None:
        """`target`: what gRPC connects to instead, where something stands between."""
        self.address = address
        self._closed = False
        self._channel = grpc.aio.insecure_channel(target or address, options=KEEPALIVE_OPTIONS)
        self._stub = stubs.forward(self._channel)
        self._batches: Batcher[forward_pb2.HttpRequest, forward_pb2.HttpResponse] | None = None

    async def ready(self) -> None:
        """Waits for the connection, so that nothing is sent to a server that is known to be away."""
        self._check_open()
        state = self._channel.get_state(try_to_connect=True)
        if state is _READY:
            return
        tried = False
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                while state is not _READY:
                    # A failure from before says nothing about now.
                    if state in _FAILED and tried:
                        raise StreamDown(f"dial tcp {self.address}: connection refused", sent=False)
                    tried = True
                    await self._channel.wait_for_state_change(state)
                    self._check_open()
                    state = self._channel.get_state(try_to_connect=True)
        except TimeoutError:
            raise StreamDown(f"dial tcp {self.address}: i/o timeout", sent=False) from None

    def _check_open(self) -> None:
        if self._closed:
            raise StreamDown(f"{self.address} is gone", sent=False)

    async def ask(self, message: forward_pb2.HttpRequest, timeout_s: float) -> forward_pb2.HttpResponse:
        """A short request on the shared stream. Raises TimeoutError."""
        self._check_open()
        if self._batches is None:
            self._batches = Batcher(
                _Held(self._channel),
                lambda _: self._stub.HandleBatches(),
                _encoded,
                lambda batch: [(item.id, item) for item in batch.items],
                lambda item: len(item.body),
                self.address,
            )
            self._batches.start()
        async with asyncio.timeout(timeout_s):
            return await self._batches.submit(message)

    async def ask_alone(self, message: forward_pb2.HttpRequest, timeout_s: float) -> forward_pb2.HttpResponse:
        """A request as a call of its own. Raises TimeoutError."""
        try:
            answer: forward_pb2.HttpResponse = await self._stub.Handle(message, timeout=timeout_s)
            return answer
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from None
            raise StreamDown(error.details() or error.code().name, sent=True) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                # Not the asker gave up: the channel was closed under the call.
                raise StreamDown(f"{self.address} is gone", sent=True) from None
            raise

    def open_endless(self, message: forward_pb2.HttpRequest) -> Any:
        """The call of an answer without end."""
        return self._stub.HandleEndless(message)

    async def close(self) -> None:
        """Ends everything under way: it fails at once."""
        self._closed = True
        if self._batches is not None:
            await self._batches.stop(f"{self.address} is gone")
        await self._channel.close()


def _encoded(batch: list[tuple[int, forward_pb2.HttpRequest]]) -> forward_pb2.HttpRequests:
    for number, message in batch:
        message.id = number
    return forward_pb2.HttpRequests(items=[message for _, message in batch])
