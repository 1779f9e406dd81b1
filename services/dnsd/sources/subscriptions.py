"""Pushed copies: what was asked once is watched with blocking queries, and later questions are answered from memory.

A subscription's loop asks with the last index and is answered when something changed, or when its wait is over. Each
answer proves how old the copy is; when none comes (no server, no leader) it ages, and the staleness rule decides how
long it is still served. What is not asked for is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Any

import msgspec

from dnsd.core.cache import Stamp
from dnsd.core.needs import Denied, Unavailable
from dnsd.metrics import STALE_ANSWERS
from dnsd.sources.forwarder import Asking, Reply
from dnsd.sources.staleness import Staleness

log = logging.getLogger("agent.dns")

MAX_SUBSCRIPTIONS = 900
"""Below what one stream to apid carries."""
IDLE_S = 600.0
EMPTY_IDLE_S = 60.0
"""For what does not exist: whoever asks for random names shall not fill the table for long."""
SWEEP_INTERVAL_S = 5.0
MAX_WAIT_S = 60.0
"""How long a server holds a request at most."""
LEADERLESS_WAIT_S = 5.0
"""The same while it knows no leader, so that its return is soon noticed."""
WAIT_GRACE_S = 15.0
MIN_INTERVAL_S = 0.05
"""Between two answers of one subscription: a service that changes all the time is fetched 20 times a second at most."""
MIN_BACKOFF_S = 0.25
MAX_BACKOFF_S = 10.0
STAMP_MARK = 0x40
"""First byte (`@`) of the stamps of pushed copies."""
GONE = b"gone"
SUCCESS = 200
FORBIDDEN = 403

Known = tuple[Any, Stamp]


class Topic(msgspec.Struct, frozen=True):
    """Something to watch: an HTTP read in a datacenter and how its body becomes facts."""

    path: str
    datacenter: str
    decode_body: Callable[[bytes, str], Any]
    """Takes the body and the datacenter."""

    @property
    def key(self) -> bytes:
        """Identifies the topic; begins with the stamp's mark."""
        return b"@" + f"{self.datacenter}\0{self.path}".encode()

    @property
    def parameters(self) -> dict[str, str]:
        """The query parameters of a plain read."""
        return {"dc": self.datacenter}

    def decode(self, reply: Reply) -> Any:
        """The facts in an answer. Raises Unavailable when there are none."""
        if reply.status != SUCCESS:
            kind = Denied if reply.status == FORBIDDEN else Unavailable
            raise kind(f"{self.path}: {reply.status} {reply.body[:200].decode('utf-8', 'replace')}")
        try:
            return self.decode_body(reply.body, self.datacenter)
        except msgspec.DecodeError as error:
            raise Unavailable(f"{self.path}: answer not understood: {error}") from error


class _Subscription:
    """One topic's copy."""

    def __init__(self, topic: Topic, now_s: float) -> None:
        self.topic = topic
        self.facts: Any = None
        self.has_facts = False
        self.has_leader = True
        self.is_failing = False
        self.version = 0
        self.fresh_at_s = now_s
        """When the copy was last known to be what the leader had."""
        self.used_s = now_s
        self.is_touched = False
        self.fetched: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None

    @property
    def is_last_known(self) -> bool:
        """Whether nobody vouches for the copy at the moment."""
        return self.is_failing or not self.has_leader


class Subscriptions:
    """All pushed copies of this process."""

    def __init__(self, asking: Asking, staleness: Staleness, clock_s: Callable[[], float]) -> None:
        self._asking = asking
        self.staleness = staleness
        self._clock_s = clock_s
        self._by_key: dict[bytes, _Subscription] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._next_version = 1
        self.last_known_answers = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, topic: Topic) -> Known | None:
        """The copy, if there is one that may be used, with its stamp."""
        key = topic.key
        version = self.version(key)
        return None if version == GONE else (self._by_key[key].facts, (key, version))

    def version(self, stamp: bytes) -> bytes:
        """The present value of a copy's stamp; GONE when it may not be used."""
        subscription = self._by_key.get(stamp)
        if subscription is None or not subscription.has_facts:
            return GONE
        subscription.is_touched = True
        if not self.staleness.may_use(self._clock_s() - subscription.fresh_at_s):
            return GONE
        if subscription.is_last_known:
            self.last_known_answers += 1
            STALE_ANSWERS.increment()
        return subscription.version.to_bytes(8, "big")

    async def fetch(self, topic: Topic, timeout_s: float) -> Known | None:
        """Subscribe and wait for the first copy; None when it is older than allowed.

        Raises Unavailable.
        """
        subscription = self._by_key.get(topic.key)
        if subscription is None:
            subscription = self._subscribe(topic)
        if not subscription.has_facts:
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.shield(subscription.fetched)
            except TimeoutError:
                raise Unavailable(f"no answer in time: {topic.path}") from None
        return self.find(topic)

    async def close(self) -> None:
        """End every loop."""
        tasks = [subscription.task for subscription in self._by_key.values() if subscription.task is not None]
        if self._sweeper is not None:
            tasks.append(self._sweeper)
        self._by_key.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _subscribe(self, topic: Topic) -> _Subscription:
        if len(self._by_key) >= MAX_SUBSCRIPTIONS:
            self._drop(min(self._by_key.values(), key=lambda subscription: subscription.used_s))
        loop = asyncio.get_running_loop()
        if self._sweeper is None:
            self._sweeper = loop.create_task(self._sweep())
        subscription = _Subscription(topic, self._clock_s())
        self._by_key[topic.key] = subscription
        subscription.task = loop.create_task(self._watch(subscription))
        return subscription

    def _drop(self, subscription: _Subscription) -> None:
        self._by_key.pop(subscription.topic.key, None)
        if subscription.task is not None:
            subscription.task.cancel()
        if not subscription.fetched.done():
            subscription.fetched.set_exception(Unavailable("too many subscriptions"))
            # Whoever waited may have given up meanwhile.
            subscription.fetched.exception()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            now_s = self._clock_s()
            for subscription in tuple(self._by_key.values()):
                if subscription.is_touched:
                    subscription.is_touched, subscription.used_s = False, now_s
                if now_s - subscription.used_s > (IDLE_S if subscription.facts else EMPTY_IDLE_S):
                    self._drop(subscription)

    async def _watch(self, subscription: _Subscription) -> None:
        """Ask again and again, holding the last answer."""
        topic = subscription.topic
        index, backoff_s = 0, MIN_BACKOFF_S
        while True:
            parameters = {**topic.parameters, "stale": ""}
            if index:
                parameters |= {"index": str(index), "wait": f"{self._wait_s(subscription) * 1000:.0f}ms"}
            try:
                reply = await self._asking.get(topic.path, parameters, MAX_WAIT_S + WAIT_GRACE_S)
                facts = topic.decode(reply)
            except Unavailable as error:
                if not subscription.has_facts or isinstance(error, Denied):
                    self._fail(subscription, error)
                    return
                if not subscription.is_failing:
                    subscription.is_failing = True
                    log.warning("serving last known answers: topic=%s error=%s", topic.path, error)
                # The index belongs to a server that may not be the next one to answer.
                index = 0
                await asyncio.sleep(backoff_s * random.uniform(0.5, 1.5))
                backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
                continue
            backoff_s = MIN_BACKOFF_S
            self._take(subscription, reply, facts)
            index = reply.index if reply.index >= index else 0
            await asyncio.sleep(MIN_INTERVAL_S if index else MIN_BACKOFF_S)

    def _wait_s(self, subscription: _Subscription) -> float:
        """How long a server shall hold the request: each answer proves the copy's age, so often enough for that."""
        if not subscription.has_leader:
            return LEADERLESS_WAIT_S
        return min(MAX_WAIT_S, max(self.staleness.limit_s / 2, MIN_BACKOFF_S))

    def _take(self, subscription: _Subscription, reply: Reply, facts: Any) -> None:
        if subscription.has_leader and not reply.has_leader:
            log.warning("no cluster leader, serving last known answers: topic=%s", subscription.topic.path)
        subscription.has_leader = reply.has_leader
        subscription.is_failing = False
        subscription.fresh_at_s = self._clock_s() - reply.last_contact_ms / 1000
        if not subscription.has_facts or facts != subscription.facts:
            subscription.facts, subscription.has_facts = facts, True
            subscription.version = self._next_version
            self._next_version += 1
        if not subscription.fetched.done():
            subscription.fetched.set_result(None)

    def _fail(self, subscription: _Subscription, error: Unavailable) -> None:
        """Nothing was ever known, or may be shown: the next question tries anew."""
        if self._by_key.get(subscription.topic.key) is subscription:
            del self._by_key[subscription.topic.key]
        if not subscription.fetched.done():
            subscription.fetched.set_exception(error)
            # Whoever waited may have given up meanwhile.
            subscription.fetched.exception()
