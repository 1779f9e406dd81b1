"""Facts that a server's apid has: those of other datacenters, and on a client agent all of them.

What was asked once is subscribed to (`subscriptions.py`): later questions are answered from the pushed copy, for as
long as that is not older than the configuration allows. Prepared queries are executed each time; when that fails, the
last answer serves under the same rule.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from dnsd.core import records
from dnsd.core.facts import Instance, QueryResult
from dnsd.core.needs import AddressOwner, Denied, NodeNamed, QueryExecution, ServiceInstances, Unavailable
from dnsd.sources import shapes
from dnsd.sources.forwarder import Asking, Reply, path_of
from dnsd.sources.source import Found
from dnsd.sources.staleness import Staleness
from dnsd.sources.subscriptions import FORBIDDEN, Subscriptions, Topic

log = logging.getLogger("agent.dns")

FETCH_TIMEOUT_S = 5.0
MAX_LAST_RESULTS = 1024
"""Prepared queries whose last result is remembered."""
NOT_FOUND = 404
QUERY_NOT_FOUND = b"Query not found"
"""What tells an unknown prepared query from an unknown path."""
SUCCESS = 200

Clock = Callable[[], float]


class RemoteView:
    """The pushed copies as they are now."""

    __slots__ = ("_source",)

    def __init__(self, source: RemoteSource) -> None:
        self._source = source

    def get(self, stamp: bytes) -> bytes | None:
        return self._source.subscriptions.version(stamp)

    def find(self, need: Any) -> Found | None:
        return self._source.find(need)


class RemoteSource:
    """Facts through apid's Forward."""

    def __init__(
        self, fetching: Asking, watching: Asking, staleness: Staleness, datacenter: str, clock_s: Clock
    ) -> None:
        self._fetching = fetching
        self._staleness = staleness
        self._datacenter = datacenter
        self._clock_s = clock_s
        self.subscriptions = Subscriptions(watching, staleness, clock_s)
        self._last_results: dict[tuple[str, str], tuple[float, QueryResult | None]] = {}
        self.last_known_answers = 0

    @contextmanager
    def view(self) -> Iterator[RemoteView]:
        """The pushed copies."""
        yield RemoteView(self)

    def find(self, need: Any) -> Found | None:
        """What a pushed copy says, None when there is none that may be used."""
        topic = _topic_of(need)
        if topic is None or not self._staleness.allow_stale:
            return None
        known = self.subscriptions.find(topic)
        return None if known is None else Found(_narrowed(need, known[0]), (known[1],))

    async def fetch(self, need: Any) -> Found:
        """Ask, and subscribe where that is possible. Raises Unavailable."""
        topic = _topic_of(need)
        if topic is not None:
            known = None
            if self._staleness.allow_stale:
                known = await self.subscriptions.fetch(topic, FETCH_TIMEOUT_S)
            if known is not None:
                return Found(_narrowed(need, known[0]), (known[1],))
            reply = await self._fetching.get(topic.path, topic.parameters, FETCH_TIMEOUT_S)
            return Found(_narrowed(need, topic.decode(reply)), None)
        if isinstance(need, QueryExecution):
            return Found(await self._execute(need), None)
        if isinstance(need, AddressOwner):
            return Found(await self._find_owner(need), None)
        raise Unavailable(f"nobody to ask for {need}")

    async def close(self) -> None:
        """End all subscriptions."""
        await self.subscriptions.close()

    async def _get(self, path: str, parameters: dict[str, str], client_address: str = "") -> Reply:
        """One read, as stale as allowed. Raises Unavailable for anything but success."""
        if self._staleness.allow_stale:
            reply = await self._fetching.get(path, {**parameters, "stale": ""}, FETCH_TIMEOUT_S, client_address)
            if self._staleness.may_use(reply.last_contact_ms / 1000):
                return _checked(reply, path)
        return _checked(await self._fetching.get(path, parameters, FETCH_TIMEOUT_S, client_address), path)

    async def _execute(self, need: QueryExecution) -> QueryResult | None:
        key = (need.query, need.datacenter)
        try:
            reply = await self._get(
                path_of("query", need.query, "execute"), {"dc": need.datacenter}, need.source_address
            )
            missing = reply.status == NOT_FOUND
            result = None if missing else _decoded(shapes.decode_execution, reply, need.datacenter)
        except Unavailable as error:
            known = self._last_results.get(key)
            if isinstance(error, Denied):
                self._last_results.pop(key, None)
                raise
            if known is None or not self._staleness.may_use(self._clock_s() - known[0]):
                raise
            self.last_known_answers += 1
            log.warning("serving the last known answer: query=%s error=%s", need.query, error)
            return known[1]
        if len(self._last_results) >= MAX_LAST_RESULTS:
            self._last_results.clear()
        self._last_results[key] = (self._clock_s(), result)
        return result

    async def _find_owner(self, need: AddressOwner) -> str | None:
        """The first node at the address, else the first service; the API has no index for it."""
        reply = await self._get(path_of("internal", "ui", "nodes"), {"dc": self._datacenter})
        nodes = _decoded(lambda body, _: shapes.decode_dump(body), reply, "")
        for node in nodes:
            if _same_address(node.address, need.address):
                return f"{node.node}.node"
        for node in nodes:
            for service in node.services or ():
                if _same_address(service.address, need.address):
                    return f"{service.service}.service"
        return None


def _same_address(text: str, address: str) -> bool:
    parsed = records.parse_address(text)
    return parsed is not None and str(parsed) == address


def _checked(reply: Reply, path: str) -> Reply:
    missing = reply.status == NOT_FOUND and reply.body.startswith(QUERY_NOT_FOUND)
    if reply.status != SUCCESS and not missing:
        kind = Denied if reply.status == FORBIDDEN else Unavailable
        raise kind(f"{path}: {reply.status} {reply.body[:200].decode('utf-8', 'replace')}")
    return reply


def _decoded(decode: Callable[[bytes, str], Any], reply: Reply, datacenter: str) -> Any:
    try:
        return decode(reply.body, datacenter)
    except msgspec.DecodeError as error:
        raise Unavailable(f"answer not understood: {error}") from error


def _topic_of(need: Any) -> Topic | None:
    """What to subscribe to for a need; None when there is no such thing."""
    if isinstance(need, ServiceInstances):
        kind = "connect" if need.connect else "service"
        return Topic(path_of("health", kind, need.service), need.datacenter, shapes.decode_instances)
    if isinstance(need, NodeNamed):
        return Topic(path_of("catalog", "node", need.node), need.datacenter, shapes.decode_node)
    return None


def _narrowed(need: Any, facts: Any) -> Any:
    """The part of a topic's facts that the need asks for: a service's instances with a tag."""
    if not isinstance(need, ServiceInstances):
        return facts
    instances: list[tuple[Instance, frozenset[str]]] = facts
    if not need.tag:
        return [instance for instance, _ in instances]
    return [instance for instance, tags in instances if need.tag.lower() in tags]
