"""Watches: rows of the replicated state pushed to whoever watches them, and only what changed.

Everybody who watches the same topic shares one feed: it is read once per change, and what changed is rendered once.
A subscriber is nothing but the index it has been told: who is slow gets the changes since then merged into one, and
costs no memory. Feeds whose last subscriber left are kept for a while, so that it can come back and continue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from apid.core.errors import HttpError, NoLeader, TooManyRequests
from apid.core.journal import Delta, Journal
from apid.node.access import RIGHTS_TOPICS
from apid.node.events import MAX_EVENTS, Events
from apid.node.state import Changes, StateReader, Watcher
from lictor.acl import Authorizer
from lictor.state import keys
from lictor.state.queries.read import QueryError
from lictor.state.store import ReadTxn
from lictor.user_event import UserEvent

log = logging.getLogger("agent.http")

MAX_SUBSCRIBERS = 20_000
"""Streams of one apid."""
MAX_IDLE_FEEDS = 256
MAX_IDLE_ROWS = 200_000
"""Rows that feeds without subscribers remember together."""
IDLE_FEED_S = 300.0
MAX_MERGED_ANSWERS = 16
"""Renderings of the same state kept for subscribers that know different indexes."""
READ_SHARE = 4
"""After a read that took a time, the next one waits this many times as long: watches take a fifth of a core at most."""
RETRY_S = 0.05

Rows = Mapping[Any, tuple[Hashable, Any]]
"""Identity → (version, row). Equal versions mean equal rows."""
Authorize = Callable[[], Authorizer]


@dataclass(frozen=True, slots=True)
class Topic:
    """One parsed topic. `text` is it as asked for; `waits` are the state's topics that may change its rows."""

    text: str
    waits: tuple[str, ...]
    read: Callable[[ReadTxn, Authorizer], Rows]
    row_json: Callable[[Any, Any], bytes]
    key_json: Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class EventsTopic:
    """User events, which no state holds: of all names when `name` is empty."""

    text: str
    name: str
    row_json: Callable[[UserEvent], bytes]


@dataclass(frozen=True, slots=True)
class Change:
    """What a subscriber is told: with `reset` the whole state. Rows and identities are JSON."""

    index: int
    reset: bool
    upserts: tuple[bytes, ...]
    deletes: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return self.reset or bool(self.upserts) or bool(self.deletes)


class Feed:
    """One topic's rows with what changed in them, for all who watch it with the same rights."""

    resumable = True

    def __init__(
        self, topic: Topic, authorize: Authorize, state: StateReader, changes: Changes, waits: tuple[str, ...] = ()
    ) -> None:
        """`waits`: what else may change the rows."""
        self.subscribers: set[Subscription] = set()
        self.reads = 0
        self._topic = topic
        self._authorize = authorize
        self._state = state
        self._changes = changes
        self._journal: Journal[Any] = Journal()
        self._origin: tuple[int, int] | None = None
        self._answers: dict[int, Change] = {}
        self._dirty = True
        # Somebody waits for an answer that could not be read.
        self._owed = False
        self._next_read_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: Watcher = changes.call((*topic.waits, *waits), self._woken)

    def __len__(self) -> int:
        return len(self._journal)

    @property
    def index(self) -> int:
        return self._journal.index

    def close(self) -> None:
        self._changes.forget(self._watcher)
        if self._timer is not None:
            self._timer.cancel()

    def change_since(self, known_index: int) -> Change | None:
        """What somebody who knows this index has to be told; None while the state cannot be read for a moment.

        Errors: what the query refuses; NoLeader only before the first read.
        """
        rows: Rows | None = None
        loop = asyncio.get_running_loop()
        try:
            if self._dirty and (loop.time() >= self._next_read_s or not self.index):
                rows = self._read()
            elif self._dirty:
                self._plan(self._next_read_s)
            if known_index == self.index:
                return _NOTHING
            change = self._answers.get(known_index)
            if change is None:
                if rows is None:
                    # Rows' contents are not kept: they are read again, together with whatever is newer.
                    rows = self._read()
                change = self._answers.get(known_index) or self._answer(
                    known_index, self._journal.delta(known_index), rows
                )
            return change
        except NoLeader:
            if not self.index:
                raise
            self._owed = True
            self._plan(loop.time() + RETRY_S)
            return None

    def _woken(self) -> None:
        self._dirty = True
        if any(subscriber.waiting for subscriber in self.subscribers):
            self._plan(self._next_read_s)

    def _plan(self, at_s: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(at_s, self._planned)

    def _planned(self) -> None:
        self._timer = None
        if not self._dirty or not self.subscribers:
            return
        try:
            self._read()
        except NoLeader:
            self._plan(asyncio.get_running_loop().time() + RETRY_S)
        except (HttpError, QueryError):
            # Subscribers read once more and meet the refusal themselves.
            self._tell()

    def _read(self) -> Rows:
        """Reads the topic anew and tells subscribers when anything changed. Errors: NoLeader, the query's refusal."""
        loop = asyncio.get_running_loop()
        started_s = loop.time()
        self.reads += 1
        journal = self._journal
        last_index = journal.index
        self._next_read_s = 0.0
        self._dirty = True
        with self._state.read() as txn:
            origin = (self._changes.resets, self._state.generation)
            index = int.from_bytes((txn.get(keys.APPLIED) or b"")[:8], "big") or 1
            rows = self._topic.read(txn, self._authorize())
        self._dirty = False
        versions = {identity: version for identity, (version, _) in rows.items()}
        if origin == self._origin and index >= last_index:
            delta = journal.advance(index, versions)
        else:
            self._origin = origin
            journal.restart(index, versions)
            delta = Delta(True, [], [])
        if index != last_index or delta.reset:
            self._answers.clear()
        if delta and last_index and not delta.reset:
            self._answer(last_index, delta, rows)
        if delta or self._owed:
            self._owed = False
            self._tell()
        self._next_read_s = loop.time() + (loop.time() - started_s) * READ_SHARE
        return rows

    def _answer(self, known_index: int, delta: Delta[Any], rows: Rows) -> Change:
        row_json, key_json = self._topic.row_json, self._topic.key_json
        change = Change(
            self._journal.index,
            delta.reset,
            tuple(row_json(identity, rows[identity][1]) for identity in delta.upserts),
            tuple(key_json(identity) for identity in delta.deletes),
        )
        while len(self._answers) >= MAX_MERGED_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[known_index] = change
        return change

    def _tell(self) -> None:
        for subscriber in self.subscribers:
            subscriber.event.set()


_NOTHING = Change(0, False, (), ())


class EventFeed:
    """User events as they arrive. Its index counts what this apid has seen, so it means nothing to another one."""

    resumable = False

    def __init__(self, topic: EventsTopic, authorize: Authorize, events: Events) -> None:
        self.subscribers: set[Subscription] = set()
        self._topic = topic
        self._authorize = authorize
        self._events = events
        self._seen: deque[tuple[int, UserEvent]] = deque(maxlen=MAX_EVENTS)
        self.index = 1
        self._take()
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def __len__(self) -> int:
        return len(self._seen)

    def close(self) -> None:
        self._task.cancel()

    def change_since(self, known_index: int) -> Change:
        """The events after this one; those still known, as a reset, when some between are not."""
        oldest = self._seen[0][0] if self._seen else 0
        reset = not known_index or known_index + 1 < oldest
        authorizer = self._authorize()
        return Change(
            self.index,
            reset,
            tuple(
                self._topic.row_json(event)
                for number, event in self._seen
                if (reset or number > known_index) and authorizer.event_read(event.name)
            ),
            (),
        )

    def _take(self) -> bool:
        known = {event.id for _, event in self._seen}
        fresh = [event for event in self._events.recent(self._topic.name) if event.id not in known]
        for event in fresh:
            self.index += 1
            self._seen.append((self.index, event))
        return bool(fresh)

    async def _follow(self) -> None:
        while True:
            changed = self._events.changed()
            if self._take():
                for subscriber in self.subscribers:
                    subscriber.event.set()
            await changed.wait()


AnyFeed = Feed | EventFeed


class Subscription:
    """One stream: several topics and the index of each that its client knows."""

    def __init__(
        self, watching: Watching, feeds: Sequence[tuple[Hashable, AnyFeed]], known: Sequence[int], min_interval_s: float
    ) -> None:
        self.event = asyncio.Event()
        self.waiting = False
        self._watching = watching
        self._feeds = feeds
        self.known = list(known)
        self._min_interval_s = min_interval_s
        self._next_at_s = 0.0
        self._begun = [False] * len(feeds)
        self._closed = False

    def resume_indexes(self) -> list[int]:
        """From where each topic continues; 0 for those that begin anew."""
        return [known if feed.resumable else 0 for known, (_, feed) in zip(self.known, self._feeds, strict=True)]

    async def next(self, timeout_s: float) -> list[tuple[int, Change]]:
        """(number of the topic, what changed in it) for each topic that did; nothing when the time is over.

        Each topic's first answer comes even if it says that nothing changed. Errors: HttpError, QueryError.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while True:
            if (pause_s := self._next_at_s - loop.time()) > 0:
                await asyncio.sleep(pause_s)
            self.event.clear()
            if found := self._collect():
                self._next_at_s = loop.time() + self._min_interval_s
                return found
            self.waiting = True
            try:
                async with asyncio.timeout_at(deadline_s):
                    await self.event.wait()
            except TimeoutError:
                return []
            finally:
                self.waiting = False

    def _collect(self) -> list[tuple[int, Change]]:
        found = []
        for number, (_, feed) in enumerate(self._feeds):
            change = feed.change_since(self.known[number])
            if change is None:
                continue
            if change or not self._begun[number]:
                self._begun[number] = True
                found.append((number, Change(feed.index, change.reset, change.upserts, change.deletes)))
            self.known[number] = feed.index
        return found

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for key, feed in self._feeds:
            feed.subscribers.discard(self)
            self._watching.left(key, feed)
        self._watching.ended()


class Watching:
    """The feeds of one apid."""

    def __init__(self, state: StateReader, changes: Changes, events: Events) -> None:
        self._state = state
        self._changes = changes
        self._events = events
        self._feeds: dict[Hashable, AnyFeed] = {}
        self._idle: OrderedDict[Hashable, float] = OrderedDict()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._subscribers = 0

    def __len__(self) -> int:
        return self._subscribers

    def feed(self, key: Hashable) -> AnyFeed | None:
        return self._feeds.get(key)

    def subscribe(
        self,
        topics: Sequence[Topic | EventsTopic],
        known: Sequence[int],
        authorize: Authorize,
        rights: str,
        min_interval_s: float = 0.0,
    ) -> Subscription:
        """Watches the topics from the index known of each (0: nothing).

        `rights` tells different rights apart; empty when there is no access control.

        Close it when done. Errors: TooManyRequests.
        """
        if self._subscribers >= MAX_SUBSCRIBERS:
            raise TooManyRequests(f"more than {MAX_SUBSCRIBERS} watches on this agent")
        self._subscribers += 1
        feeds: list[tuple[Hashable, AnyFeed]] = []
        for topic in topics:
            key = (topic.text, rights)
            feed = self._feeds.get(key)
            if feed is None:
                if isinstance(topic, EventsTopic):
                    feed = EventFeed(topic, authorize, self._events)
                else:
                    feed = Feed(topic, authorize, self._state, self._changes, RIGHTS_TOPICS if rights else ())
                self._feeds[key] = feed
            self._idle.pop(key, None)
            feeds.append((key, feed))
        subscription = Subscription(self, feeds, known, min_interval_s)
        for _, feed in feeds:
            feed.subscribers.add(subscription)
        return subscription

    def left(self, key: Hashable, feed: AnyFeed) -> None:
        """A subscriber of the feed is gone."""
        if feed.subscribers or key in self._idle or key not in self._feeds:
            return
        if not feed.resumable:
            self._feeds.pop(key).close()
            return
        self._idle[key] = asyncio.get_running_loop().time() + IDLE_FEED_S
        rows = sum(len(self._feeds[idle]) for idle in self._idle)
        while len(self._idle) > MAX_IDLE_FEEDS or (rows > MAX_IDLE_ROWS and self._idle):
            rows -= self._drop_oldest()
        self._plan_drop()

    def ended(self) -> None:
        """A subscription is closed."""
        self._subscribers -= 1

    def _drop_oldest(self) -> int:
        key, _ = self._idle.popitem(last=False)
        feed = self._feeds.pop(key)
        feed.close()
        return len(feed)

    def _plan_drop(self) -> None:
        if self._idle_timer is None and self._idle:
            at_s = next(iter(self._idle.values()))
            self._idle_timer = asyncio.get_running_loop().call_at(at_s, self._drop_expired)

    def _drop_expired(self) -> None:
        self._idle_timer = None
        now_s = asyncio.get_running_loop().time()
        while self._idle and next(iter(self._idle.values())) <= now_s:
            self._drop_oldest()
        self._plan_drop()
