"""Named calls: duties of the leader that are no log entries, and facts about this server.

Each is a function from a decoded body to an answer. Those of the leader are passed on to it by whoever else is asked,
and held for `rpc_hold_timeout` while there is none.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import msgspec

from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from raftd.driver import Driver
from raftd.peers import PeerChannels
from raftd.proposals import NO_LEADER, NOT_LEADER
from raftd.router import JITTER_FRACTION
from raftd.transport import Transport

FORWARD_TIMEOUT_S = 30.0

Handler = Callable[[Any], Awaitable[Any]]


class CallError(Exception):
    """The text that the caller gets."""


@dataclass(frozen=True, slots=True)
class _Call:
    handler: Handler
    leader_only: bool


class Calls:
    """All named calls of this server."""

    def __init__(self, driver: Driver, transport: Transport, channels: PeerChannels, hold_timeout_ns: int) -> None:
        self._driver = driver
        self._transport = transport
        self._channels = channels
        self._hold_timeout_s = hold_timeout_ns / 1e9
        self._calls: dict[str, _Call] = {}

    def register(self, name: str, handler: Handler, leader_only: bool) -> None:
        """Serve `name`; `leader_only`: by the leader, once it is ready, unless the caller asks for this server."""
        assert name not in self._calls, f"call {name} is registered twice"
        self._calls[name] = _Call(handler, leader_only)

    async def call(self, name: str, body: bytes, local: bool, forward: bool) -> bytes:
        """Carry out a call here or on the leader. Raises CallError."""
        call = self._calls.get(name)
        if call is None:
            raise CallError(f"unknown call {name!r}")
        if local or not call.leader_only:
            return await self._run(call, body)
        deadline_s = asyncio.get_running_loop().time() + self._hold_timeout_s
        while True:
            error = NO_LEADER
            if self._driver.is_ready_leader:
                return await self._run(call, body)
            if not forward:
                raise CallError(NOT_LEADER)
            address = self._transport.address_of(self._driver.state.leader_id) if self._driver.state.leader_id else ""
            if address and not self._driver.is_leader:
                answer = await self._forward(address, name, body)
                if answer is not None:
                    return answer
            if asyncio.get_running_loop().time() >= deadline_s:
                raise CallError(error)
            await asyncio.sleep(random.uniform(0, self._hold_timeout_s / JITTER_FRACTION))

    async def _forward(self, address: str, name: str, body: bytes) -> bytes | None:
        """The leader's answer; None when it surely did nothing and may be asked again. Raises CallError."""
        stub = raft_pb2_grpc.ConsensusStub(self._channels.get(address))  # type: ignore[no-untyped-call]
        try:
            response = await stub.Call(raft_pb2.CallRequest(name=name, body=body), timeout=FORWARD_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return None
            raise CallError(f"rpc error making call: {error.details()}") from error
        if response.error == NOT_LEADER:
            return None
        if response.error:
            raise CallError(response.error)
        return bytes(response.body)

    async def _run(self, call: _Call, body: bytes) -> bytes:
        try:
            decoded = msgspec.msgpack.decode(body) if body else None
        except msgspec.DecodeError as error:
            raise CallError(f"the call's body is no MessagePack: {error}") from error
        return msgspec.msgpack.encode(await call.handler(decoded))
