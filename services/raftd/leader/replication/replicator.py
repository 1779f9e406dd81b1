"""One kind's loop: ask the primary datacenter, compare, carry out the steps; again when something changed there."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec

from lictor import telemetry
from lictor.state.commands import AnyResult, Command, Failed
from lictor.state.store import ReadTxn
from raftd.leader.replication.kinds import Kind, row_bytes
from raftd.leader.replication.pace import Backoff, Turns
from raftd.leader.replication.plan import Plan, difference, steps
from raftd.leader.replication.primary import Details, NoReplicationToken, PrimaryError
from raftd.proposer import NotReplicatedError

APPLY_INTERVAL_S = 0.01
"""Between steps (Consul 1.7: ACLReplicationApplyLimit, 100 a second)."""


class Source(Protocol):
    """What is asked of the primary datacenter. Both raise PrimaryError."""

    async def listed(self, kind: str, index: int) -> tuple[bytes, int]: ...
    async def details(self, kind: str, keys: list[str]) -> list[Details]: ...


class Sink(Protocol):
    """Where commands go; fails when this server does not lead any more. Raises NotReplicatedError."""

    async def propose(self, command: Command) -> AnyResult: ...


class Outcomes(Protocol):
    """Who is told how the rounds of a kind end."""

    def succeeded(self, kind: str, index: int, now_ns: int) -> None: ...
    def failed(self, now_ns: int) -> None: ...


class RoundError(Exception):
    """A round that did not come to its end; the next one begins with everything."""


class Replicator:
    """Runs as a task of the leader, which cancels it when it leads no more."""

    def __init__(
        self,
        kind: Kind,
        source: Source,
        sink: Sink,
        read: Callable[[], AbstractContextManager[ReadTxn]],
        outcomes: Outcomes | None = None,
    ) -> None:
        """`read` opens a view of this datacenter's state."""
        self._kind = kind
        self._source = source
        self._sink = sink
        self._read = read
        self._outcomes = outcomes
        self._log = logging.getLogger(f"agent.server.replication.{_log_name(kind)}")
        self._fetch = _sample("fetch", kind.fetch_series)
        self._apply = _sample("apply", kind.apply_series)

    async def run(self) -> None:
        """Rounds without end."""
        kind, turns, backoff = self._kind, Turns(), Backoff()
        clock = asyncio.get_running_loop().time
        self._log.info("started replication")
        last_index = 0
        while True:
            await asyncio.sleep(turns.take(clock()))
            try:
                last_index = await self.round(last_index)
            except NoReplicationToken:
                last_index = 0
                continue
            except (PrimaryError, RoundError, NotReplicatedError) as error:
                last_index = 0
                if self._outcomes is not None:
                    self._outcomes.failed(time.time_ns())
                self._log.warning("replication error (will retry if still leader): error=%r", str(error))
                await asyncio.sleep(backoff.failed(isinstance(error, PrimaryError) and error.unreachable))
                continue
            backoff.succeeded()
            if self._outcomes is not None:
                self._outcomes.succeeded(kind.name, last_index, time.time_ns())
            self._log.debug("replication completed through remote index: index=%d", last_index)

    async def round(self, last_index: int) -> int:
        """Makes this datacenter like the primary one; the index it had. Errors: PrimaryError, RoundError,
        NotReplicatedError."""
        kind = self._kind
        started_s = time.perf_counter()
        body, index = await self._source.listed(kind.name, last_index)
        if self._fetch is not None:
            self._fetch.since(started_s)
        if index < last_index:
            # An archive was restored there, or the server that answered is behind: ask again without a limit, which
            # is answered by the state as it is.
            self._log.warning("remote index moved backwards, forcing a full sync: from=%d to=%d", last_index, index)
            body, index = await self._source.listed(kind.name, 0)
        started_s = time.perf_counter()
        try:
            await self._take_over({kind.key(row): row for row in self._decoded(body)})
        finally:
            if self._apply is not None:
                self._apply.since(started_s)
        return index

    async def _take_over(self, remote: dict[Any, Any]) -> None:
        kind = self._kind
        with self._read() as txn:
            local = {kind.key(row): kind.fingerprint(row) for row in kind.stored(txn)}
        changes = difference(local, {key: kind.fingerprint(row) for key, row in remote.items() if key})
        if not changes.deletes and not changes.upserts:
            return
        deletes = [key for key in changes.deletes if key not in kind.permanent]
        rows = [remote[key] for key in changes.upserts]
        if kind.detailed and rows:
            rows = await self._details(list(changes.upserts))
        self._log.debug("diffed: deletions=%d updates=%d", len(deletes), len(rows))
        plan = Plan(steps(deletes, rows, row_bytes, kind.together))
        while (step := plan.next()) is not None:
            result = await self._sink.propose(kind.command(step))
            if isinstance(result, Failed):
                plan.refused(step, result.text)
            else:
                plan.accepted()
                self._log.debug("applied: deletions=%d updates=%d", len(step.deletes), len(step.rows))
            await asyncio.sleep(APPLY_INTERVAL_S)
        if plan.problems:
            raise RoundError(f"failed to update local {kind.plural}: {plan.problems[0]}")

    async def _details(self, keys: list[str]) -> list[Any]:
        kind = self._kind
        rows: list[Any] = []
        for piece in await self._source.details(kind.name, keys):
            if piece.redacted:
                raise RoundError(
                    f"failed to retrieve unredacted {kind.plural} - replication token in use does not grant acl:write"
                )
            rows += self._decoded(bytes(piece.rows))
        return rows

    def _decoded(self, body: bytes) -> list[Any]:
        try:
            return self._kind.decode(body)
        except msgspec.DecodeError as error:
            raise RoundError(f"the primary datacenter's {self._kind.plural} are not understood: {error}") from None


def _log_name(kind: Kind) -> str:
    name = kind.singular.replace(" ", "_")
    return f"acl.{name}" if kind.is_acl() else name


def _sample(figure: str, part: str) -> telemetry.Sample | None:
    return telemetry.sample(f"leader.replication.<replicator>.{figure}", part=part) if part else None
