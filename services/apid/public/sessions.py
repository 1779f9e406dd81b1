"""`lictor.v1.Sessions`: see session.proto."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from apid.public import records
from apid.public.calls import Calls, Context, abort, meta_of, path, read_parameters
from lictor.pb.lictor.v1 import session_pb2, session_pb2_grpc

Ctx = Context[Any, Any]


def _datacenter(name: str) -> list[tuple[str, str]]:
    return [("dc", name)] if name else []


class SessionsServicer(session_pb2_grpc.SessionsServicer):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Create(
        self, request: session_pb2.SessionCreateRequest, context: Ctx
    ) -> session_pb2.SessionCreateResponse:
        fields: dict[str, Any] = {
            "Name": request.name,
            "Node": request.node or None,
            "Behavior": request.behavior or None,
            "TTL": request.ttl,
            "ServiceChecks": [{"ID": check_id} for check_id in request.service_checks] or None,
        }
        if request.HasField("lock_delay_ms"):
            fields["LockDelay"] = f"{request.lock_delay_ms}ms"
        if request.node_checks:
            fields["NodeChecks"] = list(request.node_checks)
        body = msgspec.json.encode({name: value for name, value in fields.items() if value is not None})
        made = await self._calls.put(context, "/v1/session/create", _datacenter(request.datacenter), body)
        return session_pb2.SessionCreateResponse(id=made["ID"])

    async def Destroy(
        self, request: session_pb2.SessionDestroyRequest, context: Ctx
    ) -> session_pb2.SessionDestroyResponse:
        await self._calls.put(context, path("/v1/session/destroy/", request.id), _datacenter(request.datacenter))
        return session_pb2.SessionDestroyResponse()

    async def Renew(self, request: session_pb2.SessionRenewRequest, context: Ctx) -> session_pb2.SessionRenewResponse:
        rows = await self._calls.put(context, path("/v1/session/renew/", request.id), _datacenter(request.datacenter))
        return session_pb2.SessionRenewResponse(session=records.session(rows[0]))

    async def List(self, request: session_pb2.SessionListRequest, context: Ctx) -> session_pb2.SessionListResponse:
        if request.id and request.node:
            await abort(context, 400, "Only one of id and node may be set")
        target = "/v1/session/list"
        if request.id:
            target = path("/v1/session/info/", request.id)
        elif request.node:
            target = path("/v1/session/node/", request.node)
        rows, response = await self._calls.get(context, target, read_parameters(request.options))
        return session_pb2.SessionListResponse(sessions=[records.session(row) for row in rows], meta=meta_of(response))

    async def Watch(
        self, request: session_pb2.SessionWatchRequest, context: Ctx
    ) -> AsyncIterator[session_pb2.SessionWatchResponse]:
        async for message in self._calls.watch(context, "sessions", request.options, _watch_message):
            yield message


def _watch_message(index: int, reset: bool, upserts: list[Any], deletes: list[str]) -> session_pb2.SessionWatchResponse:
    return session_pb2.SessionWatchResponse(
        index=index, reset=reset, upserts=[records.session(row) for row in upserts], deletes=deletes
    )
