"""Carries out what the core decides: starts and cancels runs, persists, logs, wakes up in time.

One asyncio loop, one core. Changes are made by `make`, many at a time, and acknowledged after `persisted`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from random import Random

from checkd.core.effects import (
    CHECK_STATES,
    CancelCheck,
    DropDocument,
    LogLine,
    RunCheck,
    SaveDocument,
    WatchAlias,
)
from checkd.core.errors import LocalStateError
from checkd.core.node import Node, NodeSettings
from checkd.core.records import Moment
from checkd.core.status import CRITICAL
from checkd.runners.pool import RunnerPool
from checkd.runners.result import Result, Run
from checkd.storage import DocumentWriter
from lictor import logs

SECOND_NS = 1_000_000_000
# A clock that was set back or a suspended machine must not make the loop sleep for good.
MAX_SLEEP_S = 30.0

AliasWatcher = Callable[[WatchAlias], Awaitable[None]]

log = logging.getLogger("agent")


def moment() -> Moment:
    """The time now."""
    return Moment(time.monotonic_ns(), time.time_ns())


class Driver:
    """Owns the core and does its I/O; `changed` is set whenever the state may have changed visibly."""

    def __init__(self, settings: NodeSettings, random: Random, runners: RunnerPool, writer: DocumentWriter) -> None:
        self.node = Node(settings, random, moment())
        self.runners = runners
        self.watch_alias: AliasWatcher | None = None
        self.on_visible_change: Callable[[], None] = lambda: None
        self._writer = writer
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._seen_version = 0
        self._closed = False

    def make(self, changes: Iterable[Callable[[Moment], None]]) -> tuple[list[LocalStateError | None], int, bool]:
        """Make changes in their order: why each was refused (None: it was not), the state's version, and whether
        `persisted` has to be awaited before they may be acknowledged.
        """
        refusals: list[LocalStateError | None] = []
        for change in changes:
            try:
                change(moment())
            except LocalStateError as error:
                refusals.append(error)
            else:
                refusals.append(None)
        persists = self._carry_out()
        return refusals, self.node.state.version, persists

    async def persisted(self) -> None:
        """Return when all that was changed is on disk. Raises LocalStateError when it cannot be persisted."""
        try:
            await self._writer.written()
        except OSError as error:
            raise LocalStateError(f"failed persisting: {error}") from None

    def change_now(self, change: Callable[[Moment], None]) -> None:
        """Make a change that nobody waits for."""
        change(moment())
        self._carry_out()

    def start(self) -> None:
        """Begin running checks."""
        self._tick()

    async def close(self) -> None:
        """Stop all runs and the timer."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _tick(self) -> None:
        self._timer = None
        if not self._closed:
            self.node.tick(moment())
            self._carry_out()

    def _carry_out(self) -> bool:
        """Do what the core wants; True when somebody may have to wait for documents."""
        persists = False
        for effect in self.node.take_effects():
            match effect:
                case RunCheck():
                    self._spawn(effect.check_id, self._run(effect))
                case CancelCheck():
                    if task := self._tasks.pop(effect.check_id, None):
                        task.cancel()
                case WatchAlias():
                    if self.watch_alias is not None:
                        self._spawn(effect.check_id, self.watch_alias(effect))
                case SaveDocument() | DropDocument():
                    self._writer.submit(effect)
                    persists |= effect.folder != CHECK_STATES
                case LogLine():
                    extra = logs.fields(**effect.fields) if effect.fields else None
                    logging.getLogger(effect.logger).log(effect.level, effect.message, extra=extra)
        if self.node.state.version != self._seen_version:
            self._seen_version = self.node.state.version
            self.on_visible_change()
        self._arm()
        return persists

    def _arm(self) -> None:
        """Wake up when the core is due next."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        wait_s = (self.node.wake_at_ns() - time.monotonic_ns()) / SECOND_NS
        due = loop.time() + min(max(wait_s, 0.0), MAX_SLEEP_S)
        if self._timer is not None:
            if self._timer_due <= due:
                return
            self._timer.cancel()
        self._timer, self._timer_due = loop.call_at(due, self._tick), due

    def _spawn(self, check_id: str, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            await work

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks[check_id] = task
        task.add_done_callback(lambda done: self._ended(check_id, done))

    def _ended(self, check_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(check_id) is task:
            del self._tasks[check_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("check runner failed: check=%s", check_id, exc_info=error)

    async def _run(self, run: RunCheck) -> None:
        try:
            result = await self.runners.run(Run(run.definition, run.output_limit_bytes))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            # Whatever goes wrong inside a runner is the check's result, not the end of the check.
            log.exception("check runner failed: check=%s", run.check_id)
            result = Result(CRITICAL, f"{type(error).__name__}: {error}")
        now = moment()
        self.node.take_result(run.check_id, run.token, result.status, result.output, now)
        self.node.start_runs(now)
        self._carry_out()
