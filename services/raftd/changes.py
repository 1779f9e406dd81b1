"""The change stream: what each applied batch touched, to any number of subscribers.

A subscriber that reads slowly gets several batches merged into one message; when even those grow past
`PENDING_TOPICS_MAX` they are replaced by one `reset`: look at everything again.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

PENDING_TOPICS_MAX = 65536
"""Topics that wait for one subscriber."""
SUBSCRIBERS_MAX = 256


@dataclass(slots=True)
class Change:
    """One message of the stream."""

    index: int
    topics: set[str]
    reset: bool


class Subscriber:
    """One reader of the stream."""

    def __init__(self, index: int) -> None:
        self._pending = Change(index, set(), False)
        self._event = asyncio.Event()
        self._event.set()

    def notify(self, index: int, topics: Iterable[str], reset: bool) -> None:
        """Add to what waits."""
        pending = self._pending
        pending.index = index
        pending.topics.update(topics)
        if reset or len(pending.topics) > PENDING_TOPICS_MAX:
            pending.reset = True
        if pending.reset:
            pending.topics.clear()
        self._event.set()

    async def next(self) -> Change:
        """What changed since the last call; waits until something did. The first call returns at once."""
        await self._event.wait()
        self._event.clear()
        pending = self._pending
        self._pending = Change(pending.index, set(), False)
        return pending


class Changes:
    """All subscribers."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self._index = 0

    def __len__(self) -> int:
        return len(self._subscribers)

    def subscribe(self) -> Subscriber | None:
        """A new subscriber, to be handed to `unsubscribe`; None when there are too many."""
        if len(self._subscribers) >= SUBSCRIBERS_MAX:
            return None
        subscriber = Subscriber(self._index)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """It reads no more."""
        self._subscribers.discard(subscriber)

    def publish(self, index: int, topics: Iterable[str], reset: bool = False) -> None:
        """A batch was applied up to `index`."""
        self._index = index
        for subscriber in self._subscribers:
            subscriber.notify(index, topics, reset)
