"""`lictor.v1.Events`: see event.proto."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from apid.public import records
from apid.public.calls import Calls, Context, path
from lictor.pb.lictor.v1 import event_pb2, event_pb2_grpc, query_pb2

Ctx = Context[Any, Any]


class EventsServicer(event_pb2_grpc.EventsServicer):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Fire(self, request: event_pb2.EventFireRequest, context: Ctx) -> event_pb2.EventFireResponse:
        given = (
            ("node", request.node_filter),
            ("service", request.service_filter),
            ("tag", request.tag_filter),
            ("dc", request.datacenter),
        )
        pairs = [(name, value) for name, value in given if value]
        fired = await self._calls.put(context, path("/v1/event/fire/", request.name), pairs, request.payload)
        return event_pb2.EventFireResponse(event=records.event(fired))

    async def List(self, request: event_pb2.EventListRequest, context: Ctx) -> event_pb2.EventListResponse:
        pairs = [("name", request.name)] if request.name else []
        rows, _ = await self._calls.get(context, "/v1/event/list", pairs)
        return event_pb2.EventListResponse(events=[records.event(row) for row in rows])

    async def Watch(self, request: event_pb2.EventWatchRequest, context: Ctx) -> AsyncIterator[event_pb2.Event]:
        topic = "events/" + quote(request.name, safe="") if request.name else "events"
        # Only what comes from now on: the headers, sent once the past was read, tell the client that it has begun.
        begun = False
        async for news in self._calls.watch(context, topic, query_pb2.WatchOptions(), _news):
            if not begun:
                begun = True
                await context.send_initial_metadata(())
                continue
            for row in news:
                yield records.event(row)


def _news(index: int, reset: bool, upserts: list[Any], deletes: list[Any]) -> list[Any]:
    return upserts
