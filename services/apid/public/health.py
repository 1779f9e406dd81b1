"""`lictor.v1.Health`: see health.proto."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

from apid.public import records
from apid.public.calls import Calls, Context, abort, meta_of, path, read_parameters
from apid.public.catalog import meta_pairs
from lictor.pb.lictor.v1 import health_pb2, health_pb2_grpc

Ctx = Context[Any, Any]
CHECK_LISTS = {"node": "/v1/health/node/", "service": "/v1/health/checks/", "state": "/v1/health/state/"}


class HealthServicer(health_pb2_grpc.HealthServicer):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def ServiceInstances(
        self, request: health_pb2.ServiceInstancesRequest, context: Ctx
    ) -> health_pb2.ServiceInstancesResponse:
        pairs = [*read_parameters(request.options), *meta_pairs(request.node_meta)]
        pairs += [("tag", tag) for tag in request.tags]
        if request.passing_only:
            pairs.append(("passing", "1"))
        if request.filter:
            pairs.append(("filter", request.filter))
        if request.near:
            pairs.append(("near", request.near))
        rows, response = await self._calls.get(context, path("/v1/health/service/", request.service), pairs)
        return health_pb2.ServiceInstancesResponse(
            instances=[records.instance(row) for row in rows], meta=meta_of(response)
        )

    async def Checks(self, request: health_pb2.ChecksRequest, context: Ctx) -> health_pb2.ChecksResponse:
        which = request.WhichOneof("of")
        if which is None:
            await abort(context, 400, "One of node, service and state has to be set")
        target = path(CHECK_LISTS[which], getattr(request, which))
        rows, response = await self._calls.get(context, target, read_parameters(request.options))
        return health_pb2.ChecksResponse(checks=[records.check(row) for row in rows], meta=meta_of(response))

    async def Watch(
        self, request: health_pb2.HealthWatchRequest, context: Ctx
    ) -> AsyncIterator[health_pb2.HealthWatchResponse]:
        narrowed = [("passing", "1")] if request.passing_only else []
        narrowed += [("tag", tag) for tag in request.tags]
        topic = "health/" + quote(request.service, safe="/") + ("?" + urlencode(narrowed) if narrowed else "")
        async for message in self._calls.watch(context, topic, request.options, _watch_message):
            yield message


def _watch_message(index: int, reset: bool, upserts: list[Any], deletes: list[Any]) -> health_pb2.HealthWatchResponse:
    return health_pb2.HealthWatchResponse(
        index=index,
        reset=reset,
        upserts=[records.instance(row) for row in upserts],
        deletes=[records.instance_key(row) for row in deletes],
    )
