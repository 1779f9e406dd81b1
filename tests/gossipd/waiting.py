"""Waiting for a condition with a deadline, instead of sleeping and hoping."""

import asyncio
from collections.abc import Awaitable, Callable

POLL_S = 0.02


async def until(condition: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
    """Returns once the condition holds; fails naming it when the time is over."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        assert loop.time() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(POLL_S)


async def until_async(condition: Callable[[], Awaitable[object]], what: str, timeout_s: float = 10.0) -> None:
    """The same for a condition that has to ask."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not await condition():
        assert loop.time() < deadline, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(POLL_S)
