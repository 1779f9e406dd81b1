"""The two halves of a stream end together."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from lictor.rpc.exchange import exchange


class Echo(grpc.GenericRpcHandler):
    """Sends every message back, until one says to break off."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        async def echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for message in requests:
                if message == b"break":
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "out of order")
                if message == b"end":
                    return
                yield message

        return grpc.stream_stream_rpc_method_handler(echo)


async def talk(*messages: bytes) -> tuple[list[bytes], str]:
    """What comes back for some messages, and why the stream ended; nothing runs on afterwards."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    before = asyncio.all_tasks()
    outgoing: asyncio.Queue[bytes] = asyncio.Queue()
    for message in messages:
        outgoing.put_nowait(message)
    taken: list[bytes] = []
    reason = ""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Any = channel.stream_stream("/test/Echo")()
        try:
            await exchange(call, outgoing.get, taken.append)
        except ConnectionError as error:
            reason = str(error)
        assert call.done()
        assert {task.get_name() for task in asyncio.all_tasks() - before if "_write" in repr(task)} == set()
    await server.stop(0)
    return taken, reason


async def test_messages_go_both_ways_until_the_other_side_ends_well() -> None:
    assert await talk(b"a", b"b", b"end") == ([b"a", b"b"], "")


async def test_a_stream_that_breaks_off_says_why() -> None:
    assert await talk(b"a", b"break") == ([b"a"], "out of order")


async def test_a_peer_that_is_not_there_is_an_error() -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        with pytest.raises(ConnectionError):
            await exchange(channel.stream_stream("/test/Echo")(), asyncio.Queue[bytes]().get, print)
