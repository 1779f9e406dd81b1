"""A bidirectional stream's two halves as one: nothing of the call outlives it.

gRPC's own reading of a request iterator leaves the iterator waiting when the call breaks off; what is left is destroyed
some time later, with complaints in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc


async def exchange(call: Any, following: Callable[[], Awaitable[Any]], take: Callable[[Any], None]) -> None:
    """Writes what `following` gives, message by message, and hands what arrives to `take`, until the call ends.

    Errors: ConnectionError with the reason when it ends other than well.
    """
    writer = asyncio.get_running_loop().create_task(_write(call, following))
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            take(message)
        code = await call.code()
        if code is not grpc.StatusCode.OK:
            raise ConnectionError(await call.details() or code.name)
    except grpc.aio.AioRpcError as error:
        raise ConnectionError(error.details() or error.code().name) from None
    finally:
        writer.cancel()
        call.cancel()
        await asyncio.gather(writer, return_exceptions=True)


async def _write(call: Any, following: Callable[[], Awaitable[Any]]) -> None:
    while True:
        await call.write(await following())
