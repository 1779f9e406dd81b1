"""`lictor.v1.LocalAgent`: what apid asks and changes here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from msgspec.structs import replace

from checkd.core.access import Access, Right, RightsNeeded
from checkd.core.definitions import check_definition, service_definition
from checkd.core.errors import InvalidDefinition, LocalStateError
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
            agent_pb2.DeregisterServiceRequest: lambda asked, now: node.deregister_service(
                asked.service_id, now, _access(asked)
            ),
            agent_pb2.RegisterCheckRequest: self._register_check,
            agent_pb2.DeregisterCheckRequest: lambda asked, now: node.deregister_check(
                asked.check_id, now, _access(asked)
            ),
            agent_pb2.UpdateTtlRequest: lambda asked, now: node.update_ttl(
                asked.check_id, asked.status, asked.output, now, _access(asked)
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
        # Changes are made in the order in which they come; while one batch is being persisted the next ones gather.
        answers: asyncio.Queue[agent_pb2.LocalResponses | None] = asyncio.Queue()
        tasks: set[asyncio.Task[None]] = set()

        async def answer_persisted(batch: agent_pb2.LocalChanges, made: list[agent_pb2.LocalResponse]) -> None:
            answers.put_nowait(_numbered(batch, await self._persisted(made)))

        async def read() -> None:
            async for batch in request_iterator:
                changes = [getattr(item, item.WhichOneof("change") or "", None) for item in batch.items]
                made, persists = self._make(changes)
                if not persists:
                    answers.put_nowait(_numbered(batch, made))
                    continue
                task = asyncio.create_task(answer_persisted(batch, made))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)

        reader = asyncio.create_task(read())
        reader.add_done_callback(lambda _: answers.put_nowait(None))
        try:
            ended = False
            while not ended and (message := await answers.get()) is not None:
                while not answers.empty() and not ended:
                    more = answers.get_nowait()
                    if more is None:
                        ended = True
                    else:
                        message.items.extend(more.items)
                yield message
        finally:
            for task in (reader, *tasks):
                task.cancel()
            await asyncio.gather(reader, *tasks, return_exceptions=True)

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
        made, persists = self._make([request])
        if persists:
            made = await self._persisted(made)
        return made[0]

    def _make(self, requests: list[Any]) -> tuple[list[agent_pb2.LocalResponse], bool]:
        """The answers to changes, made in their order, and whether they may be given only when all is persisted."""
        refusals, version, persists = self._driver.make(partial(self._change, request) for request in requests)
        answers = [
            agent_pb2.LocalResponse(status=200, version=version) if refusal is None else _refused(refusal)
            for refusal in refusals
        ]
        return answers, persists

    async def _persisted(self, made: list[agent_pb2.LocalResponse]) -> list[agent_pb2.LocalResponse]:
        try:
            await self._driver.persisted()
        except LocalStateError as error:
            failed = agent_pb2.LocalResponse(status=error.status, error=str(error))
            return [failed if answer.status == 200 else answer for answer in made]
        return made

    def _change(self, request: Any, now: Moment) -> None:
        make = self._changes.get(type(request))
        if make is None:
            raise InvalidDefinition("unknown change")
        make(request, now)

    def _register_service(self, request: agent_pb2.RegisterServiceRequest, now: Moment) -> None:
        definition = service_definition(parse(request.definition_json))
        if definition.token:
            # The token is the request's: only in files it is part of the definition.
            definition = replace(definition, token="")
        self._node.register_service(
            definition,
            now,
            token=request.token,
            replace_checks=request.replace_existing_checks,
            access=_access(request),
        )

    def _register_check(self, request: agent_pb2.RegisterCheckRequest, now: Moment) -> None:
        definition = check_definition(parse(request.definition_json))
        if definition.token:
            definition = replace(definition, token="")
        self._node.register_check(definition, now, token=request.token, access=_access(request))

    def _set_maintenance(self, request: agent_pb2.SetMaintenanceRequest, now: Moment) -> None:
        self._node.set_maintenance(
            request.service_id, request.enable, request.reason, request.token, now, _access(request)
        )

    def _wake_watchers(self) -> None:
        for wake in self._watchers:
            wake.set()


def _numbered(batch: agent_pb2.LocalChanges, answers: list[agent_pb2.LocalResponse]) -> agent_pb2.LocalResponses:
    return agent_pb2.LocalResponses(
        items=[
            agent_pb2.LocalAnswer(id=item.id, response=answer)
            for item, answer in zip(batch.items, answers, strict=True)
        ]
    )


def _refused(refusal: LocalStateError) -> agent_pb2.LocalResponse:
    rights = refusal.rights if isinstance(refusal, RightsNeeded) else ()
    needed = [agent_pb2.Right(service=right.service, token=right.token) for right in rights]
    return agent_pb2.LocalResponse(status=refusal.status, error=str(refusal), needed=needed)


def _access(request: Any) -> Access | None:
    """What the change's token may do; None while access control is off."""
    if not request.HasField("access"):
        return None
    given = request.access
    granted = [Right(right.service, right.token) for right in given.granted]
    return Access(granted, given.everything, given.unknown)
