"""The one long-lived stream on which a follower passes proposals to the leader."""

import asyncio
import logging
from collections.abc import Callable

import grpc
import grpc.aio

from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from raftd.peers import PeerChannels
from raftd.proposals import LOST, NOT_LEADER, Outcome, Proposal

BATCH_ITEMS = 512
BATCH_BYTES = 4 << 20
CONNECT_TIMEOUT_S = 2.0
RECONNECT_DELAY_S = 0.05

log = logging.getLogger("agent.server.rpc")


class Forwarder:
    """Proposals to one leader. What it surely did not take is given back; what it may have taken is answered as
    uncertain when the stream breaks."""

    def __init__(
        self, leader_id: str, address: str, channels: PeerChannels, give_back: Callable[[list[Proposal]], None]
    ) -> None:
        self.leader_id = leader_id
        self.address = address
        self._channels = channels
        self._give_back = give_back
        self._queue: list[Proposal] = []
        self._sent: dict[int, Proposal] = {}
        self._next_id = 1
        self._wake = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def send(self, proposals: list[Proposal]) -> None:
        """Pass these on."""
        self._queue.extend(proposals)
        self._wake.set()

    async def close(self) -> None:
        """End the stream, and settle what is open."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._settle()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            try:
                await self._stream()
            except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError, TimeoutError) as error:
                # InvalidStateError: written to a call whose end has arrived, but was not looked at yet.
                log.debug("forwarding to the leader failed: address=%s error=%r", self.address, error)
            self._settle()
            await asyncio.sleep(RECONNECT_DELAY_S)

    async def _stream(self) -> None:
        channel = self._channels.get(self.address)
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await channel.channel_ready()
        call = raft_pb2_grpc.ConsensusStub(channel).Propose()  # type: ignore[no-untyped-call]
        tasks = (asyncio.ensure_future(self._read(call)), asyncio.ensure_future(self._write(call)))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            call.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(
        self, call: "grpc.aio.StreamStreamCall[raft_pb2.ProposeRequest, raft_pb2.ProposeResponse]"
    ) -> None:
        while True:
            await self._wake.wait()
            await call.write(self._take())

    def _take(self) -> raft_pb2.ProposeRequest:
        items: list[raft_pb2.Proposal] = []
        size_bytes = 0
        for proposal in self._queue:
            if len(items) == BATCH_ITEMS or (items and size_bytes >= BATCH_BYTES):
                break
            items.append(raft_pb2.Proposal(id=self._next_id, command=proposal.command))
            self._sent[self._next_id] = proposal
            self._next_id += 1
            size_bytes += len(proposal.command)
        del self._queue[: len(items)]
        if not self._queue:
            self._wake.clear()
        return raft_pb2.ProposeRequest(items=items)

    async def _read(self, call: "grpc.aio.StreamStreamCall[raft_pb2.ProposeRequest, raft_pb2.ProposeResponse]") -> None:
        async for message in call:
            refused: list[Proposal] = []
            for item in message.items:
                proposal = self._sent.pop(item.id)
                if item.error == NOT_LEADER:
                    refused.append(proposal)
                else:
                    proposal.sink.answer(proposal.id, Outcome(item.index, item.result, item.error, item.uncertain))
            if refused:
                self._give_back(refused)

    def _settle(self) -> None:
        sent, self._sent = self._sent, {}
        for proposal in sent.values():
            proposal.sink.answer(proposal.id, Outcome(0, b"", LOST, uncertain=True))
        queue, self._queue = self._queue, []
        self._wake.clear()
        if queue:
            self._give_back(queue)
