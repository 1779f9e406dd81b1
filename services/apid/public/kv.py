"""`lictor.v1.KV`: see kv.proto."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from apid.public import records
from apid.public.calls import Calls, Context, meta_of, path, read_parameters
from lictor.pb.lictor.v1 import kv_pb2, kv_pb2_grpc

PREFIX = "/v1/kv/"
Ctx = Context[Any, Any]


class KVServicer(kv_pb2_grpc.KVServicer):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Get(self, request: kv_pb2.KVGetRequest, context: Ctx) -> kv_pb2.KVGetResponse:
        rows, response = await self._calls.get(context, path(PREFIX, request.key), read_parameters(request.options))
        return kv_pb2.KVGetResponse(entry=records.kv_entry(rows[0]), meta=meta_of(response))

    async def List(self, request: kv_pb2.KVListRequest, context: Ctx) -> kv_pb2.KVListResponse:
        pairs = [("recurse", ""), *read_parameters(request.options)]
        rows, response = await self._calls.get(context, path(PREFIX, request.prefix), pairs, missing_is_empty=True)
        return kv_pb2.KVListResponse(entries=[records.kv_entry(row) for row in rows or ()], meta=meta_of(response))

    async def Keys(self, request: kv_pb2.KVKeysRequest, context: Ctx) -> kv_pb2.KVKeysResponse:
        pairs = [("keys", ""), *read_parameters(request.options)]
        if request.separator:
            pairs.append(("separator", request.separator))
        names, response = await self._calls.get(context, path(PREFIX, request.prefix), pairs, missing_is_empty=True)
        return kv_pb2.KVKeysResponse(keys=names or (), meta=meta_of(response))

    async def Put(self, request: kv_pb2.KVPutRequest, context: Ctx) -> kv_pb2.KVPutResponse:
        given = (
            ("flags", str(request.flags) if request.flags else ""),
            ("cas", str(request.cas) if request.HasField("cas") else ""),
            ("acquire", request.acquire),
            ("release", request.release),
            ("dc", request.datacenter),
        )
        pairs = [(name, value) for name, value in given if value]
        success = await self._calls.put(context, path(PREFIX, request.key), pairs, request.value)
        return kv_pb2.KVPutResponse(success=success)

    async def Delete(self, request: kv_pb2.KVDeleteRequest, context: Ctx) -> kv_pb2.KVDeleteResponse:
        pairs = [("recurse", "")] if request.recurse else []
        if request.HasField("cas"):
            pairs.append(("cas", str(request.cas)))
        if request.datacenter:
            pairs.append(("dc", request.datacenter))
        success = await self._calls.delete(context, path(PREFIX, request.key), pairs)
        return kv_pb2.KVDeleteResponse(success=success)

    async def Watch(self, request: kv_pb2.KVWatchRequest, context: Ctx) -> AsyncIterator[kv_pb2.KVWatchResponse]:
        topic = "kv/" + quote(request.prefix, safe="/") + ("?exact" if request.exact else "")
        async for message in self._calls.watch(context, topic, request.options, _watch_message):
            yield message


def _watch_message(index: int, reset: bool, upserts: list[Any], deletes: list[str]) -> kv_pb2.KVWatchResponse:
    return kv_pb2.KVWatchResponse(
        index=index, reset=reset, upserts=[records.kv_entry(row) for row in upserts], deletes=deletes
    )
