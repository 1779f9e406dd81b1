"""What apid asks of consensus through its local raftd: proposals, read barriers, leader duties."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import grpc
import msgspec

from apid.core.errors import BadRequest, Forbidden, HttpError, NoLeader, NotFound
from apid.node import stubs
from apid.node.batching import Batcher, StreamDown
from apid.node.rounds import Rounds
from lictor import telemetry
from lictor.pb.lictor.v1 import raft_pb2
from lictor.rpc import DaemonChannel, DaemonNotRunning
from lictor.state import commands
from lictor.state.commands import AnyResult, Command, Failed, decode_result, encode_command

# A refused request is tried again after up to this part of the hold timeout (Consul 1.7: rpc.go, jitterFraction).
JITTER_FRACTION = 16
CALL_TIMEOUT_S = 30.0
# Raft answers a write when a quorum has it; beyond this nobody waits any more.
PROPOSE_TIMEOUT_S = 60.0


_DURATIONS: dict[type[Command], telemetry.Sample] = {
    command: telemetry.sample(name)
    for command, name in (
        (commands.KV, "kvs.apply"),
        (commands.Txn, "txn.apply"),
        (commands.Register, "catalog.register"),
        (commands.Deregister, "catalog.deregister"),
        (commands.SessionCreate, "session.apply"),
        (commands.SessionDestroy, "session.apply"),
        (commands.QuerySet, "prepared-query.apply"),
        (commands.QueryDelete, "prepared-query.apply"),
        (commands.ConfigSet, "config_entry.apply"),
        (commands.ConfigDelete, "config_entry.delete"),
        (commands.IntentionSet, "intention.apply"),
        (commands.IntentionDelete, "intention.apply"),
        (commands.TokenSet, "acl.token.upsert"),
        (commands.TokenDelete, "acl.token.delete"),
        (commands.PolicySet, "acl.policy.upsert"),
        (commands.PolicyDelete, "acl.policy.delete"),
        (commands.RoleSet, "acl.role.upsert"),
        (commands.RoleDelete, "acl.role.delete"),
        (commands.BindingRuleSet, "acl.bindingrule.upsert"),
        (commands.BindingRuleDelete, "acl.bindingrule.delete"),
        (commands.AuthMethodSet, "acl.authmethod.upsert"),
        (commands.AuthMethodDelete, "acl.authmethod.delete"),
    )
}


@dataclass(frozen=True, slots=True)
class Applied:
    """A command that was applied at `index`, and its result."""

    index: int
    result: AnyResult


@dataclass(frozen=True, slots=True)
class _Outcome:
    index: int
    result: bytes
    error: str
    uncertain: bool


_FAILURES: dict[str, type[HttpError]] = {"bad-request": BadRequest, "denied": Forbidden, "not-found": NotFound}


def refusal(failed: Failed) -> HttpError:
    """A refused command as the error its endpoint answers."""
    return _FAILURES.get(failed.kind, HttpError)(failed.text)


class Consensus:
    """The node's raftd as the endpoints see it."""

    def __init__(self, data_dir: str, hold_timeout_ns: int) -> None:
        self._daemon = DaemonChannel(data_dir, "raftd")
        self._hold_timeout_s = hold_timeout_ns / 1e9
        self._random = random.Random()
        metadata = self._daemon.metadata
        self._proposals: Batcher[bytes, _Outcome] = Batcher(
            self._daemon,
            lambda channel: stubs.consensus(channel).Propose(metadata=metadata),
            _encode_proposals,
            _decode_outcomes,
            len,
        )
        self._barriers: Batcher[None, tuple[int, str]] = Batcher(
            self._daemon,
            lambda channel: stubs.consensus(channel).ReadIndex(metadata=metadata),
            lambda batch: raft_pb2.ReadIndexRequest(ids=[number for number, _ in batch]),
            lambda message: [(item.id, (item.index, item.error)) for item in message.items],
            lambda _: 8,
        )
        self._rounds = Rounds(self._round)

    @property
    def hold_timeout_s(self) -> float:
        return self._hold_timeout_s

    @property
    def daemon(self) -> DaemonChannel:
        return self._daemon

    def stub(self) -> Any:
        """For the rarer calls. Raises DaemonNotRunning."""
        return stubs.consensus(self._daemon.channel())

    def start(self) -> None:
        self._proposals.start()
        self._barriers.start()

    async def stop(self) -> None:
        await self._proposals.stop()
        await self._barriers.stop()
        await self._daemon.close()

    async def propose(self, command: Command) -> Applied:
        """Replicates a command and waits until it is applied.

        A command that surely was not taken (no leader) is tried again until the hold timeout. Errors: NoLeader; the
        refusal of a `Failed` result; HttpError when it is not known whether the command took effect.
        """
        started_s = perf_counter()
        try:
            return await self._propose(command)
        finally:
            if (duration := _DURATIONS.get(type(command))) is not None:
                duration.since(started_s)

    async def _propose(self, command: Command) -> Applied:
        raw = encode_command(command)
        deadline_s = asyncio.get_running_loop().time() + self._hold_timeout_s
        while True:
            try:
                async with asyncio.timeout(PROPOSE_TIMEOUT_S):
                    outcome = await self._proposals.submit(raw)
            except StreamDown as down:
                if down.sent:
                    raise HttpError("leadership lost while committing log") from None
                outcome = _Outcome(0, b"", "No cluster leader", False)
            except TimeoutError:
                raise HttpError("timed out enqueuing operation") from None
            if not outcome.error:
                applied = Applied(outcome.index, decode_result(outcome.result))
                if isinstance(applied.result, Failed):
                    raise refusal(applied.result)
                return applied
            if outcome.uncertain or outcome.error != "No cluster leader":
                raise HttpError(outcome.error)
            await self.pause_before_retry(deadline_s)

    async def pause_before_retry(self, deadline_s: float) -> None:
        """Waits a random moment; raises NoLeader when the hold timeout is over."""
        now_s = asyncio.get_running_loop().time()
        if now_s >= deadline_s:
            raise NoLeader()
        await asyncio.sleep(self._random.uniform(0, self._hold_timeout_s / JITTER_FRACTION))

    async def barrier(self) -> int:
        """An index: a read from a local state that has applied it is linearizable.

        Everybody who asks while a round is on its way shares the next one. Errors: NoLeader after the hold timeout.
        """
        return await self._rounds.ask()

    async def _round(self) -> int:
        deadline_s = asyncio.get_running_loop().time() + self._hold_timeout_s
        while True:
            try:
                async with asyncio.timeout(self._hold_timeout_s):
                    index, error = await self._barriers.submit(None)
            except (StreamDown, TimeoutError):
                index, error = 0, "No cluster leader"
            if not error:
                return index
            if error != "No cluster leader":
                raise HttpError(error)
            await self.pause_before_retry(deadline_s)

    async def call(self, name: str, body: Any = None, local: bool = False, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """A named leader duty (protos: CallRequest). Errors: NoLeader, HttpError with the duty's text."""
        raw = msgspec.msgpack.encode(body)
        request = raft_pb2.CallRequest(name=name, body=raw, local=local)
        deadline_s = asyncio.get_running_loop().time() + self._hold_timeout_s
        while True:
            try:
                answer = await self.stub().Call(request, metadata=self._daemon.metadata, timeout=timeout_s)
                error = answer.error
            except DaemonNotRunning:
                error = "No cluster leader"
            except grpc.aio.AioRpcError as failed:
                if failed.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise HttpError(f"rpc error: {failed.details()}") from None
                error = "No cluster leader"
            if not error:
                return msgspec.msgpack.decode(answer.body) if answer.body else None
            if error != "No cluster leader":
                raise HttpError(error)
            await self.pause_before_retry(deadline_s)

    async def status(self) -> raft_pb2.StatusResponse:
        """The local server's own view. Errors: DaemonNotRunning, grpc.aio.AioRpcError."""
        answer: raft_pb2.StatusResponse = await self.stub().Status(
            raft_pb2.StatusRequest(), metadata=self._daemon.metadata, timeout=CALL_TIMEOUT_S
        )
        return answer


def _encode_proposals(batch: list[tuple[int, bytes]]) -> raft_pb2.ProposeRequest:
    return raft_pb2.ProposeRequest(items=[raft_pb2.Proposal(id=number, command=command) for number, command in batch])


def _decode_outcomes(message: raft_pb2.ProposeResponse) -> list[tuple[int, _Outcome]]:
    return [(item.id, _Outcome(item.index, item.result, item.error, item.uncertain)) for item in message.items]
