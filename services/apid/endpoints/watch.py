"""/v1/watch: changes pushed as server-sent events, many topics over one connection.

`event: reset` brings a topic's whole state, `event: update` only what changed, `event: error` says why the stream
ends. The ID of an event holds the index of every topic, so that a client that comes back with it (EventSource does by
itself, `Last-Event-ID`) is told what changed since, by whichever server it reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

from apid.core.encoding import to_json
from apid.core.errors import BadRequest, HttpError, NoLeader, TooManyRequests
from apid.core.message import HeaderList, Request, Response
from apid.core.parameters import parse_uint
from apid.core.read_options import ReadRequest
from apid.core.routes import Operation, Route
from apid.core.server_sent_events import (
    CONTENT_TYPE,
    KEEP_ALIVE,
    OPENING,
    decode_event,
    encode_event,
    frames,
    join_indexes,
    split_indexes,
)
from apid.endpoints.watch_topics import parse_topic
from apid.node.context import Node
from apid.node.watching import Change, EventsTopic, Subscription, Topic, Watching
from lictor.state.queries.read import QueryError

MAX_TOPICS = 64
MAX_INTERVAL_MS = 3_600_000
KEEP_ALIVE_S = 15.0
# How long a server may lag behind what the client has seen before it gives the whole state instead.
RESUME_WAIT_S = 2.0
RELAY_RETRY_S = 0.2
MAX_RELAYED = 20_000
LAST_EVENT_ID = b"last-event-id"


class WatchEndpoints:
    """Streams of changes."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._relayed = 0
        self.watching = Watching(node.state, node.changes, node.events)

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/watch",
                {
                    "GET": Operation(
                        self.watch,
                        "Server-sent events: the state of each topic, then only what changes in it",
                        query=("topic", "index", "min_interval_ms", "dc", "stale", "consistent"),
                        result={"type": "string"},
                        result_type="text/event-stream",
                        responses={400: "No topic, an unknown one, or a malformed parameter"},
                        forwarded=False,
                    )
                },
            )
        ]

    async def watch(self, request: Request) -> Response:
        node = self._node
        texts = request.params.get("topic", [])
        if not texts:
            raise BadRequest("Missing topic")
        if len(texts) > MAX_TOPICS:
            raise BadRequest(f"More than {MAX_TOPICS} topics")
        topics = [parse_topic(text) for text in texts]
        interval_s = _interval_ms(request) / 1000
        options = node.reads.parse(request)
        known = _known(request, options, len(topics))
        datacenter = request.get("dc")
        here = not datacenter or datacenter == node.config.datacenter
        local = all(isinstance(topic, EventsTopic) for topic in topics)
        if not here or (not node.config.server_mode and not local):
            return await self._relay(request, "" if here else datacenter, len(topics))
        if not local:
            await self._ready(options, max(known))
            applied = node.state.raft().applied_index
            known = [index if index <= applied else 0 for index in known]
        rights = "" if node.access is None else node.access.secret_of(request)
        subscription = self.watching.subscribe(topics, known, lambda: node.authorizer_now(request), rights, interval_s)
        try:
            first = await subscription.next(KEEP_ALIVE_S)
        except QueryError as error:
            subscription.close()
            raise HttpError(error.text) from None
        except BaseException:
            subscription.close()
            raise
        return Response(200, stream=_events(topics, subscription, first), headers=_headers())

    async def _ready(self, options: ReadRequest, known_index: int) -> None:
        """Makes sure that the first answer is as fresh as asked for. Errors: NoLeader."""
        node = self._node
        if options.consistent or (not options.stale and not node.state.serves_default()):
            await node.changes.caught_up(await node.consensus.barrier())
        if node.state.raft().applied_index < known_index and options.stale:
            with contextlib.suppress(TimeoutError, NoLeader):
                async with asyncio.timeout(RESUME_WAIT_S):
                    await node.changes.caught_up(known_index)

    async def _relay(self, request: Request, datacenter: str, topic_count: int) -> Response:
        """The stream of a server; when that is lost another one continues it."""
        if self._relayed >= MAX_RELAYED:
            raise TooManyRequests(f"more than {MAX_RELAYED} watches on this agent")
        response = await self._node.forwarder.send_endless(request, datacenter)
        if response.status != 200 or response.stream is None:
            response.stream = None
            return response
        return Response(200, stream=self._relayed_events(request, datacenter, response), headers=_headers())

    async def _relayed_events(self, request: Request, datacenter: str, response: Response) -> AsyncIterator[bytes]:
        self._relayed += 1
        last_id = request.header(LAST_EVENT_ID)
        hold_s = self._node.config.performance.rpc_hold_timeout_ns / 1e9
        loop = asyncio.get_running_loop()
        try:
            yield OPENING
            while True:
                try:
                    assert response.stream is not None
                    async for frame in frames(response.stream):
                        event = decode_event(frame)
                        if event is not None and event.id:
                            last_id = event.id
                        yield frame
                        if event is not None and event.name == "error":
                            return
                except HttpError as error:
                    lost = error
                else:
                    lost = HttpError("the server ended the watch")
                deadline_s = loop.time() + hold_s
                while True:
                    await asyncio.sleep(RELAY_RETRY_S)
                    try:
                        response = await self._node.forwarder.send_endless(_resumed(request, last_id), datacenter)
                    except HttpError as error:
                        lost = error
                    else:
                        if response.status == 200 and response.stream is not None:
                            break
                        lost = HttpError(response.body.decode("utf-8", "replace"), response.status)
                        if lost.status < 500:
                            deadline_s = 0.0
                    if loop.time() >= deadline_s:
                        yield _error(lost)
                        return
        finally:
            self._relayed -= 1


def _headers() -> HeaderList:
    # No proxy shall collect the stream or change it.
    return [
        (b"Content-Type", CONTENT_TYPE),
        (b"Cache-Control", b"no-cache, no-transform"),
        (b"X-Accel-Buffering", b"no"),
    ]


async def _events(
    topics: Sequence[Topic | EventsTopic], subscription: Subscription, first: list[tuple[int, Change]]
) -> AsyncIterator[bytes]:
    names = [to_json(topic.text) for topic in topics]
    known = subscription.resume_indexes()
    if first:
        # Until its first event is out a topic is not known to the client.
        for number, _ in first:
            known[number] = 0
    try:
        yield OPENING
        found = first
        while True:
            now = subscription.resume_indexes()
            for number, change in found:
                known[number] = now[number]
                yield _event(names[number], change, join_indexes(known))
            if not found:
                yield KEEP_ALIVE
            found = await subscription.next(KEEP_ALIVE_S)
    except HttpError as error:
        yield _error(error)
    except QueryError as error:
        yield _error(HttpError(error.text))
    finally:
        subscription.close()


def _event(name: bytes, change: Change, event_id: bytes) -> bytes:
    data = b'{"Topic":%b,"Index":%d,"Upserts":[%b],"Deletes":[%b]}' % (
        name,
        change.index,
        b",".join(change.upserts),
        b",".join(change.deletes),
    )
    return encode_event(b"reset" if change.reset else b"update", event_id, data)


def _error(error: HttpError) -> bytes:
    return encode_event(b"error", b"", to_json({"Status": error.status, "Error": str(error)}))


def _interval_ms(request: Request) -> int:
    text = request.get("min_interval_ms")
    if not text:
        return 0
    try:
        return min(parse_uint(text), MAX_INTERVAL_MS)
    except ValueError:
        raise BadRequest("Invalid min_interval_ms") from None


def _known(request: Request, options: ReadRequest, count: int) -> list[int]:
    """The index of each topic that the client knows."""
    last_id = request.header(LAST_EVENT_ID)
    if last_id:
        return list(split_indexes(last_id, count))
    return [options.min_index] * count


def _resumed(request: Request, last_id: str) -> Request:
    """The request again, from where its stream broke off."""
    headers = [pair for pair in request.headers if pair[0] != LAST_EVENT_ID]
    if last_id:
        headers.append((LAST_EVENT_ID, last_id.encode("latin-1")))
    again = Request(
        request.method,
        request.path,
        request.query,
        headers,
        b"",
        request.remote_address,
        request.target,
        request.hops,
    )
    again.tail = request.tail
    return again
