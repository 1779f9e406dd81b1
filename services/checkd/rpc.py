"""`lictor.v1.LocalAgent`: what apid asks and changes here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from checkd.core.definitions import check_definition, service_definition
from checkd.core.errors import LocalStateError
from checkd.core.go_json import parse
from checkd.core.records import Moment
from checkd.driver import Driver
from checkd.snapshot import SnapshotCache
from lictor.pb.lictor.v1 import agent_pb2, agent_pb2_grpc

SERVICE_NAME = "lictor.v1.LocalAgent"
MAX_WATCHERS = 64
# A watcher of full snapshots is sent no more than this, so that a large node's churn costs a bounded share of a core.
FULL_SNAPSHOT_BYTES_PER_S = 20_000_000

Context = grpc.aio.ServicerContext[Any, Any]


class LocalAgentService(agent_pb2_grpc.LocalAgentServicer):
    """Answers from the core through the driver; refusals travel as HTTP status and text."""

    def __init__(self, driver: Driver, node_name: str, sync: Callable[[], Awaitable[str]]) -> None:
        self._driver = driver
        self._node = driver.node
        self._sync = sync
        self._cache = SnapshotCache(driver.node.state, node_name)
        self._watchers: set[asyncio.Event] = set()
        driver.on_visible_change = self._wake_watchers
        node = driver.node
        self._changes: dict[type, Callable[[Any, Moment], None]] = {
            agent_pb2.RegisterServiceRequest: self._register_service,
            agent_pb2.DeregisterServiceRequest: lambda asked, now: node.deregister_service(asked.service_id, now),
            agent_pb2.RegisterCheckRequest: self._register_check,
            agent_pb2.DeregisterCheckRequest: lambda asked, now: node.deregister_check(asked.check_id, now),
            agent_pb2.UpdateTtlRequest: lambda asked, now: node.update_ttl(
                asked.check_id, asked.status, asked.output, now
            ),
            agent_pb2.SetMaintenanceRequest: self._set_maintenance,
        }

    async def RegisterService(
        self, request: agent_pb2.RegisterServiceRequest, context: Context
    ) -> agent_pb2.LocalResponse:
        return await self._answer(request)

    async def DeregisterService(
        self, request: agent_pb2.DeregisterServiceRequest, context: Context
    ) -> agent_pb2.LocalResponse:
        return await self._answer(request)

    async def RegisterCheck(self, request: agent_pb2.RegisterCheckRequest, context: Context) -> agent_pb2.LocalResponse:
        return await self._answer(request)

    async def DeregisterCheck(
        self, request: agent_pb2.DeregisterCheckRequest, context: Context
    ) -> agent_pb2.LocalResponse:
        return await self._answer(request)

    async def UpdateTtl(self, request: agent_pb2.UpdateTtlRequest, context: Context) -> agent_pb2.LocalResponse:
        return await self._answer(request)

    async def SetMaintenance(
        self, request: agent_pb2.SetMaintenanceRequest, context: Context
    ) -> agent_pb2.LocalResponse:
        return await self._answer(request)

    async def Change(
        self, request_iterator: AsyncIterator[agent_pb2.LocalChanges], context: Context
    ) -> AsyncIterator[agent_pb2.LocalResponses]:
        async for batch in request_iterator:
            changes = [getattr(item, item.WhichOneof("change") or "", None) for item in batch.items]
            answers = await asyncio.gather(*(self._answer(change) for change in changes))
            yield agent_pb2.LocalResponses(
                items=[
                    agent_pb2.LocalAnswer(id=item.id, response=answer)
                    for item, answer in zip(batch.items, answers, strict=True)
                ]
            )

    async def Snapshot(
        self, request: agent_pb2.LocalSnapshotRequest, context: Context
    ) -> agent_pb2.LocalSnapshotResponse:
        return self._cache.full()

    async def Watch(
        self, request: agent_pb2.LocalSnapshotRequest, context: Context
    ) -> AsyncIterator[agent_pb2.LocalSnapshotResponse]:
        if len(self._watchers) >= MAX_WATCHERS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {MAX_WATCHERS} watchers")
        wake = asyncio.Event()
        self._watchers.add(wake)
        try:
            message = self._cache.full()
            while True:
                sent = message.version
                yield message
                if not request.deltas:
                    await asyncio.sleep(message.ByteSize() / FULL_SNAPSHOT_BYTES_PER_S)
                await wake.wait()
                wake.clear()
                message = self._cache.since(sent) if request.deltas else self._cache.full()
        finally:
            self._watchers.discard(wake)

    async def CheckHistory(
        self, request: agent_pb2.CheckHistoryRequest, context: Context
    ) -> agent_pb2.CheckHistoryResponse:
        entry = self._node.state.check(request.check_id)
        if entry is None:
            return agent_pb2.CheckHistoryResponse(status=404, error=f'Unknown check "{request.check_id}"')
        shown = [flip.shown() for flip in entry.history]
        return agent_pb2.CheckHistoryResponse(status=200, history_json=json.dumps(shown).encode())

    async def Sync(self, request: agent_pb2.SyncRequest, context: Context) -> agent_pb2.LocalResponse:
        error = await self._sync()
        return agent_pb2.LocalResponse(status=500 if error else 200, error=error, version=self._node.state.version)

    async def _answer(self, request: Any) -> agent_pb2.LocalResponse:
        """Makes the change that the message asks for; answers when it is persisted."""
        make = self._changes.get(type(request))
        if make is None:
            return agent_pb2.LocalResponse(status=400, error="unknown change")
        try:
            version = await self._driver.change(lambda now: make(request, now))
        except LocalStateError as error:
            return agent_pb2.LocalResponse(status=error.status, error=str(error))
        return agent_pb2.LocalResponse(status=200, version=version)

    def _register_service(self, request: agent_pb2.RegisterServiceRequest, now: Moment) -> None:
        definition = service_definition(parse(request.definition_json))
        self._node.register_service(
            definition, now, token=request.token, replace_checks=request.replace_existing_checks
        )

    def _register_check(self, request: agent_pb2.RegisterCheckRequest, now: Moment) -> None:
        definition = check_definition(parse(request.definition_json))
        self._node.register_check(definition, now, token=request.token)

    def _set_maintenance(self, request: agent_pb2.SetMaintenanceRequest, now: Moment) -> None:
        self._node.set_maintenance(request.service_id, request.enable, request.reason, request.token, now)

    def _wake_watchers(self) -> None:
        for wake in self._watchers:
            wake.set()
