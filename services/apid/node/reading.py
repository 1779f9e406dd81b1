"""Reads: consistency, blocking and the headers that go with them, once for all endpoints.

An endpoint gives a query (a pure function over a transaction) and how to render its value; whether it may run at
once, needs a barrier, blocks or is answered from the agent's cache is decided here. Everything that may be answered
from the local state without asking anybody is answered synchronously.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Protocol, TypeAlias

from apid.core.dispatcher import log_failure
from apid.core.errors import BadRequest, Forbidden, HttpError, ServerNotFound
from apid.core.message import (
    CONTACT_NOW,
    FAILED_META,
    JSON,
    NO_LEADER,
    Answer,
    Request,
    Response,
    text_response,
)
from apid.core.read_options import INDEX_WAIT_FRACTION, ReadRequest, parse_read, wait_limit_ns
from apid.node.access import Access
from apid.node.calls import calls_before
from apid.node.consensus import Consensus
from apid.node.query_cache import CacheState, QueryCache
from apid.node.state import Changes, StateReader
from apid.node.versions import VersionKeys
from lictor import telemetry
from lictor.config.runtime import RuntimeConfig
from lictor.state.lmdb_store import LmdbTxn
from lictor.state.queries.read import QueryError
from lictor.state.store import ReadTxn

KNOWN_LEADER = (b"X-Consul-Knownleader", b"true")
LEVELS = {level: (b"X-Consul-Effective-Consistency", level.encode()) for level in ("leader", "stale", "consistent")}
QUERY_ERROR_STATUS = {"invalid": 500, "bad-request": 400, "denied": 403, "not-found": 404}
_QUERY_ERRORS: dict[str, type[HttpError]] = {
    "bad-request": BadRequest,
    "denied": Forbidden,
    "not-found": ServerNotFound,
}
# Consul's names of what its cache holds (Consul 1.7: agent/cache-types), by the beginning of the path.
CACHED_KINDS = (
    ("/v1/health/service/", "health-services"),
    ("/v1/health/connect/", "health-services"),
    ("/v1/catalog/services", "catalog-list-services"),
    ("/v1/catalog/service/", "catalog-services"),
    ("/v1/catalog/connect/", "catalog-services"),
    ("/v1/catalog/datacenters", "catalog-datacenters"),
    ("/v1/catalog/node-services/", "node-services"),
    ("/v1/query/", "prepared-query"),
)
_QUERIES = telemetry.counter("rpc.query")
_BLOCKING = telemetry.gauge("rpc.queries_blocking")
_CONFIRMATIONS = telemetry.sample("rpc.consistentRead")


class QueryResult(Protocol):
    """What a query of lictor.state gives."""

    @property
    def value(self) -> Any: ...
    @property
    def index(self) -> int: ...
    @property
    def topics(self) -> Any: ...


Query: TypeAlias = Callable[[ReadTxn], QueryResult]
Render: TypeAlias = Callable[[Any], Response]


@dataclass(frozen=True, slots=True)
class ReadStyle:
    """How an endpoint shows its read: whether the consistency is named, whether failures carry (empty) meta data."""

    show_level: bool = False
    meta_on_error: bool = False
    cached: bool = False


DISCOVERY = ReadStyle(show_level=True, meta_on_error=True)
CACHED_DISCOVERY = ReadStyle(show_level=True, meta_on_error=True, cached=True)
PLAIN = ReadStyle(meta_on_error=True)
BARE_ERRORS = ReadStyle()


class Reads:
    """Runs queries for endpoints."""

    def __init__(
        self,
        config: RuntimeConfig,
        state: StateReader,
        changes: Changes,
        consensus: Consensus,
        access: Access | None = None,
    ) -> None:
        self.config = config
        self._state = state
        self._changes = changes
        self._consensus = consensus
        self.calls = calls_before(state, config.server_mode)
        self._cache = QueryCache()
        self._random = random.Random()
        self._access = access
        self._may_keep = config.http.fast_lane

    def parse(self, request: Request) -> ReadRequest:
        """The request's options. Errors: BadRequest."""
        options = parse_read(request, self.config.http.discovery_max_stale_ns)
        return options if self._access is None else replace(options, ticket=self._access.ticket(request))

    def answer(
        self,
        request: Request,
        query: Query,
        render: Render,
        style: ReadStyle = PLAIN,
        options: ReadRequest | None = None,
        versions: VersionKeys | None = None,
    ) -> Answer:
        """The answer to a reading request.

        `versions` names the records that decide the answer completely: with them it may be kept and given again.
        """
        if options is None:
            options = self.parse(request)
        _QUERIES.increment()
        if not options.min_index and not options.cached and not options.stale:
            state = self._state
            if state.serves_consistent() if options.consistent else state.serves_default():
                if options.consistent:
                    _CONFIRMATIONS.since(perf_counter())
                try:
                    with state.read() as txn:
                        result = query(txn)
                        version_keys = versions(result.value) if versions is not None and self._may_keep else ()
                        seen = [txn.get(key) for key in version_keys]
                    response = _respond(result, render, style, options.level, KNOWN_LEADER, CONTACT_NOW)
                except (HttpError, QueryError) as error:
                    return self.refuse(request, error, style)
                if seen and seen[0] is not None and not options.consistent:
                    fresh = _freshness(state, version_keys, seen)
                    response.fresh = fresh if self._access is None else self._access.while_granted(request, fresh)
                return response
        return self._answer_later(request, query, render, style, options)

    async def _answer_later(
        self, request: Request, query: Query, render: Render, style: ReadStyle, options: ReadRequest
    ) -> Response:
        try:
            cache_state = self._cache.look(request, options) if style.cached and options.cached else None
            if cache_state is not None and cache_state.hit and self._state.raft().applied_index:
                result, leader, contact = self._run_stale(query)
            else:
                result, leader, contact = await self.run(query, options)
            response = _respond(result, render, style, options.level, leader, contact)
        except (HttpError, QueryError) as error:
            return self.refuse(request, error, style)
        if cache_state is not None:
            self._note_cache(request, response, cache_state)
        return response

    def refuse(self, request: Request, error: HttpError | QueryError, style: ReadStyle) -> Response:
        """The answer to a reading request that failed."""
        refusal = as_http_error(error)
        status, text = refusal.after_calls(self.calls(request, refusal.by_leader))
        log_failure(request, text, status)
        return text_response(status, text, list(FAILED_META) if style.meta_on_error else None)

    def note_cache(self, request: Request, response: Response, options: ReadRequest) -> None:
        """The cache headers of an answer that does not come from a query."""
        self._note_cache(request, response, self._cache.look(request, options))

    def _note_cache(self, request: Request, response: Response, cache_state: CacheState) -> None:
        kind = next((name for part, name in CACHED_KINDS if request.path.startswith(part)), "other")
        telemetry.counter(f"consul.cache.<type>.{'hit' if cache_state.hit else 'miss_new'}", part=kind).increment()
        if cache_state.hit:
            response.headers += [(b"X-Cache", b"HIT"), (b"Age", b"%d" % cache_state.age_s)]
        else:
            response.headers.append((b"X-Cache", b"MISS"))
            self._cache.keep(request)

    def _run_stale(self, query: Query) -> tuple[QueryResult, tuple[bytes, bytes], tuple[bytes, bytes]]:
        with self._state.read() as txn:
            return query(txn), KNOWN_LEADER, CONTACT_NOW

    async def run(
        self, query: Query, options: ReadRequest
    ) -> tuple[QueryResult, tuple[bytes, bytes], tuple[bytes, bytes]]:
        """A query's result with the leader and contact headers, after whatever waiting the options ask for."""
        if not options.min_index or (options.ticket is not None and options.ticket.changed):
            return await self._run_once(query, options)
        limit_ns = wait_limit_ns(options.wait_ns, self.config.default_query_time_ns, self.config.max_query_time_ns)
        limit_s = limit_ns / 1e9
        limit_s += self._random.uniform(0, limit_s / INDEX_WAIT_FRACTION)
        deadline_s = asyncio.get_running_loop().time() + limit_s
        resets = self._changes.resets
        _BLOCKING.value += 1
        try:
            return await self._run_blocking(query, options, deadline_s, resets)
        finally:
            _BLOCKING.value -= 1

    async def _run_blocking(
        self, query: Query, options: ReadRequest, deadline_s: float, resets: int
    ) -> tuple[QueryResult, tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Runs the query again and again until its index has passed the one known, or the time is over."""
        while True:
            found = await self._run_once(query, options)
            if found[0].index > options.min_index or self._changes.resets != resets:
                return found
            # Nothing was awaited since the read, and raftd announces a change after it can be read: none is missed.
            watcher = self._changes.watch(found[0].topics)
            ticket = options.ticket
            if self._access is not None and ticket is not None:
                self._access.guard(ticket, watcher)
            try:
                async with asyncio.timeout_at(deadline_s):
                    await watcher.event.wait()
            except TimeoutError:
                return await self._run_once(query, options)
            finally:
                self._changes.forget(watcher)
                if self._access is not None and ticket is not None:
                    ticket.woke = True
                    self._access.unguard(ticket)

    async def _run_once(
        self, query: Query, options: ReadRequest
    ) -> tuple[QueryResult, tuple[bytes, bytes], tuple[bytes, bytes]]:
        state = self._state
        if options.stale:
            raft = state.raft()
            contact_ms = state.last_contact_ms(raft)
            fresh_enough = not options.max_stale_ns or contact_ms * 1_000_000 <= options.max_stale_ns
            if raft.applied_index and fresh_enough:
                if options.ticket is not None:
                    options.ticket.check()
                with state.read() as txn:
                    result = query(txn)
                if state.holds_lease():
                    contact_ms = 0
                leader = KNOWN_LEADER if raft.known_leader else NO_LEADER
                return result, leader, (b"X-Consul-Lastcontact", b"%d" % contact_ms)
        ticket = options.ticket
        served = state.serves_consistent() if options.consistent else state.serves_default()
        if not served and (ticket is None or not ticket.spend()):
            await self._changes.caught_up(await self._linearizable_index(options.consistent))
        if ticket is not None:
            ticket.check()
        with state.read() as txn:
            return query(txn), KNOWN_LEADER, CONTACT_NOW

    async def _linearizable_index(self, confirmed: bool) -> int:
        """What the local state must have applied: what is committed while our lease lasts, else a barrier's answer."""
        if not confirmed and self._state.holds_lease():
            return self._state.raft().commit_index
        started_s = perf_counter()
        index = await self._consensus.barrier()
        _CONFIRMATIONS.since(started_s)
        return index


def as_http_error(error: HttpError | QueryError) -> HttpError:
    """A failed read as the error that it is answered with."""
    return error if isinstance(error, HttpError) else _QUERY_ERRORS.get(error.kind, HttpError)(error.text)


def _respond(
    result: QueryResult,
    render: Render,
    style: ReadStyle,
    level: str,
    leader: tuple[bytes, bytes],
    contact: tuple[bytes, bytes],
) -> Response:
    response = render(result.value)
    response.headers += [(b"X-Consul-Index", b"%d" % (result.index or 1)), leader, contact]
    if style.show_level:
        response.headers.append(LEVELS[level])
    return response


def _freshness(state: StateReader, keys: tuple[bytes, ...], versions: list[bytes | None]) -> Callable[[], bool]:
    """A test whether the records still have these bytes and this server may still answer `default` reads."""
    generation = state.raft().generation
    if len(keys) == 1:
        key, version = keys[0], versions[0]

        def unchanged(txn: LmdbTxn) -> bool:
            return txn.get(key) == version
    else:

        def unchanged(txn: LmdbTxn) -> bool:
            return all(txn.get(key) == version for key, version in zip(keys, versions, strict=True))

    def fresh() -> bool:
        if not state.serves_default() or state.raft().generation != generation:
            return False
        with state.read() as txn:
            return unchanged(txn)

    return fresh


def json_response(body: bytes) -> Response:
    """A rendered JSON body."""
    return Response(200, body, JSON)
