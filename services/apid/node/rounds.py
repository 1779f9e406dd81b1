"""One piece of work for all who ask at about the same time.

Nobody gets a result whose making began before they asked: who asks while a round is on its way shares the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Rounds(Generic[T]):
    """Does `work` over and over, as long as somebody asks. What it raises, everybody of its round gets."""

    def __init__(self, work: Callable[[], Awaitable[T]]) -> None:
        self._work = work
        self._running: asyncio.Task[T] | None = None
        self._next: asyncio.Task[T] | None = None

    async def ask(self) -> T:
        """The result of work that begins from now on."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._run())
            # Everybody may have been cancelled when it fails.
            self._next.add_done_callback(_consume)
        return await asyncio.shield(self._next)

    async def _run(self) -> T:
        if self._running is not None:
            await asyncio.wait((self._running,))
        self._running, self._next = self._next, None
        try:
            return await self._work()
        finally:
            self._running = None


def _consume(task: asyncio.Task[T]) -> None:
    if not task.cancelled():
        task.exception()
