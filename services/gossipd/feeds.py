"""Streams of events to the node's other daemons: each subscriber has a bounded queue and is cut off when it is full."""

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

MAX_QUEUED = 16_384


class SubscriberTooSlow(Exception):
    """The subscriber did not keep up and has missed something: it must start over."""


class Feed(Generic[Item]):
    """Everything published after `subscribe` reaches the subscriber, in order, or the subscription fails."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Item | None]] = set()

    def publish(self, item: Item) -> None:
        for queue in tuple(self._queues):
            if queue.qsize() >= MAX_QUEUED:
                self._queues.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(item)

    def subscribe(self) -> "Subscription[Item]":
        """From now on; iterate over it and close it."""
        queue: asyncio.Queue[Item | None] = asyncio.Queue()
        self._queues.add(queue)
        return Subscription(queue, self._queues)


class Subscription(Generic[Item]):
    """One subscriber's end."""

    def __init__(self, queue: "asyncio.Queue[Item | None]", queues: "set[asyncio.Queue[Item | None]]") -> None:
        self._queue = queue
        self._queues = queues

    async def items(self) -> AsyncIterator[Item]:
        """Raises SubscriberTooSlow after the last item that was kept."""
        while True:
            item = await self._queue.get()
            if item is None:
                raise SubscriberTooSlow("the subscriber does not keep up")
            yield item

    def close(self) -> None:
        self._queues.discard(self._queue)
