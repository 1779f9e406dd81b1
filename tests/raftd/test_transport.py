"""The stream to another server outlives everything that can happen to a call."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from raftd.peers import PeerChannels
from raftd.transport import BACKOFF_MAX_S, PeerStream

CALLS = 60
"""How often the server ends the call under the sender's hands."""
ADDRESS = "127.0.40.90"
DEADLINE_S = 30.0


class Ending(raft_pb2_grpc.RaftPeerServicer):
    """Ends each call after its first batch, without a word of why."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = asyncio.Event()

    async def Deliver(self, batches: AsyncIterator[Any], context: Any) -> Any:
        self.calls += 1
        self.called.set()
        async for _ in batches:
            break
        if self.calls % 2:
            return raft_pb2.DeliverResponse()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "ended by the test")
        return None


async def test_a_call_that_ends_while_it_is_written_to_is_followed_by_another() -> None:
    servicer, server = Ending(), grpc.aio.server()
    raft_pb2_grpc.add_RaftPeerServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port(f"{ADDRESS}:0")
    await server.start()
    channels, broken = PeerChannels(), []
    stream = PeerStream("other", f"{ADDRESS}:{port}", ("me", "here:1"), channels, broken.append)
    try:
        async with asyncio.timeout(DEADLINE_S):
            while servicer.calls < CALLS:
                stream.send(b"message")
                await asyncio.sleep(0)
    finally:
        await stream.close()
        await channels.close()
        await server.stop(None)
    assert set(broken) == {"other"}
    assert BACKOFF_MAX_S * 2 < DEADLINE_S
