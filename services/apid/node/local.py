"""The node's checkd as the endpoints see it: a live copy of local services and checks, and its calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Sequence
from typing import Any

import grpc

from apid.core.errors import HttpError
from apid.node import stubs
from apid.node.batching import Batcher, StreamDown
from lictor.pb.lictor.v1 import agent_pb2
from lictor.rpc import DaemonChannel, DaemonNotRunning

log = logging.getLogger("agent.http")

RECONNECT_DELAY_S = 0.05
MAX_RECONNECT_DELAY_S = 0.5
CALL_TIMEOUT_S = 30.0
START_TIMEOUT_S = 5.0
# How long the copy may lag behind a change before checkd is asked for everything.
COPY_TIMEOUT_S = 1.0
_CHANGES = {
    "RegisterService": "register_service",
    "DeregisterService": "deregister_service",
    "RegisterCheck": "register_check",
    "DeregisterCheck": "deregister_check",
    "UpdateTtl": "update_ttl",
    "SetMaintenance": "set_maintenance",
}
"""Method → its field of a LocalChange."""
_Change = tuple[str, Any]


class LocalAgent:
    """Services and checks of this node. `services` and `checks` are as the HTTP API shows them, by ID."""

    def __init__(self, data_dir: str) -> None:
        self._daemon = DaemonChannel(data_dir, "checkd")
        self.services: dict[str, dict[str, Any]] = {}
        self.checks: dict[str, dict[str, Any]] = {}
        self.version = 0
        self._known = False
        self._changed = asyncio.Event()
        # The copy must have come this far to show every change that was made through this apid.
        self._wanted_version = 0
        self._task: asyncio.Task[None] | None = None
        # TTL updates wait for no disk, so they do not wait behind changes that do.
        self._updates = self._stream()
        self._registrations = self._stream()

    def _stream(self) -> Batcher[_Change, agent_pb2.LocalResponse]:
        return Batcher(
            self._daemon,
            lambda channel: stubs.local_agent(channel).Change(metadata=self.metadata),
            _encode_changes,
            lambda message: [(item.id, item.response) for item in message.items],
            lambda change: int(change[1].ByteSize()),
            "checkd",
        )

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return self._daemon.metadata

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._follow())
        self._updates.start()
        self._registrations.start()

    async def stop(self) -> None:
        await self._updates.stop()
        await self._registrations.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._daemon.close()

    def changed(self) -> asyncio.Event:
        """Set at the next change of the copy (each change makes a new event)."""
        return self._changed

    async def wait_known(self) -> None:
        """Returns once there is a copy, or after a while without one: at the agent's start."""
        if self._known:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_TIMEOUT_S):
                while not self._known:
                    await self._changed.wait()

    async def call(self, method: str, request: Any) -> Sequence[agent_pb2.Right]:
        """One change; the rights that it was not made for the lack of. Errors: HttpError with the status and text that
        checkd gives."""
        stream = self._updates if method == "UpdateTtl" else self._registrations
        try:
            await self._daemon.started(START_TIMEOUT_S)
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await stream.submit((_CHANGES[method], request))
        except (StreamDown, DaemonNotRunning) as down:
            raise HttpError(str(down)) from None
        except TimeoutError:
            raise HttpError("checkd: Deadline Exceeded") from None
        if answer.needed:
            needed: Sequence[agent_pb2.Right] = answer.needed
            return needed
        if answer.status != 200:
            raise HttpError(answer.error, answer.status or 500)
        self._wanted_version = max(self._wanted_version, answer.version)
        return ()

    async def history(self, check_id: str) -> bytes:
        """A check's recent changes of status, newest first, as JSON. Errors: HttpError; 404 for an unknown check."""
        answer = await self._ask("CheckHistory", agent_pb2.CheckHistoryRequest(check_id=check_id))
        if answer.status != 200:
            raise HttpError(answer.error, answer.status or 500)
        body: bytes = answer.history_json
        return body

    async def refresh(self) -> None:
        """Brings the copy up to date with what was changed past this apid. Errors: HttpError."""
        self._take(await self._ask("Snapshot", agent_pb2.LocalSnapshotRequest()))

    async def settle(self) -> None:
        """Returns once the copy shows every change that was made through this apid. Errors: HttpError."""
        await self.wait_known()
        if self._wanted_version <= self.version:
            return
        wanted_version = self._wanted_version
        try:
            async with asyncio.timeout(COPY_TIMEOUT_S):
                while self.version < wanted_version:
                    await self._changed.wait()
        except TimeoutError:
            await self.refresh()
            # What is asked for afterwards shows the change, whatever checkd counts from.
            if self._wanted_version == wanted_version:
                self._wanted_version = 0

    async def _ask(self, method: str, request: Any) -> Any:
        try:
            stub = stubs.local_agent(await self._daemon.started(START_TIMEOUT_S))
            return await getattr(stub, method)(request, metadata=self.metadata, timeout=CALL_TIMEOUT_S)
        except DaemonNotRunning as error:
            raise HttpError(str(error)) from None
        except grpc.aio.AioRpcError as error:
            raise HttpError(f"checkd: {error.details()}") from None

    async def _follow(self) -> None:
        delay_s = RECONNECT_DELAY_S
        while True:
            try:
                stub = stubs.local_agent(self._daemon.channel())
                first = True
                async for snapshot in stub.Watch(agent_pb2.LocalSnapshotRequest(deltas=True), metadata=self.metadata):
                    delay_s = RECONNECT_DELAY_S
                    if first:
                        # The first message holds everything, also that of a checkd whose clock was set back.
                        self.version = 0
                        first = False
                    self._take(snapshot)
            except DaemonNotRunning:
                delay_s = RECONNECT_DELAY_S
            except grpc.aio.AioRpcError as error:
                log.debug("local state stream ended: error=%s", error.details())
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, MAX_RECONNECT_DELAY_S)

    def _take(self, snapshot: agent_pb2.LocalSnapshotResponse) -> None:
        if snapshot.version < self.version:
            return
        self.version = snapshot.version
        self._known = True
        services = json.loads(snapshot.services_json or b"{}")
        checks = json.loads(snapshot.checks_json or b"{}")
        if snapshot.delta:
            self.services.update(services)
            self.checks.update(checks)
            for service_id in snapshot.removed_services:
                self.services.pop(service_id, None)
            for check_id in snapshot.removed_checks:
                self.checks.pop(check_id, None)
        else:
            self.services, self.checks = services, checks
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _encode_changes(batch: list[tuple[int, _Change]]) -> agent_pb2.LocalChanges:
    return agent_pb2.LocalChanges(
        items=[agent_pb2.LocalChange(id=number, **{field: request}) for number, (field, request) in batch]
    )
