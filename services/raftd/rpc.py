"""The Consensus and RaftPeer services: gRPC streams in front of router and driver."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from lictor import telemetry
from lictor.page import boottime_ns
from lictor.pb.lictor.v1 import raft_pb2, raft_pb2_grpc
from raftd.archive import ArchiveFailedError, Archives
from raftd.calls import CallError, Calls
from raftd.codec import MalformedMessageError, decode_message
from raftd.core.effects import RoleName
from raftd.core.messages import Message
from raftd.driver import Driver
from raftd.proposals import Outcome
from raftd.router import Router
from raftd.transport import Transport

Context = grpc.aio.ServicerContext[Any, Any]

UNANSWERED_MAX = 16384
"""Proposals or barriers of one stream on their way; the stream is not read further until some are answered."""
RESPONSE_ITEMS_MAX = 512
TOPICS_PER_MESSAGE_MAX = 8192

_PEER_STREAMS = telemetry.counter("rpc.raft_handoff")

_STATES = {
    RoleName.FOLLOWER: "follower",
    RoleName.PRE_CANDIDATE: "candidate",
    RoleName.CANDIDATE: "candidate",
    RoleName.LEADER: "leader",
}


class _Answers:
    """Answers of one stream on their way out, gathered while the last message is being written."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.open_count = 0
        self.ended = False
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def answer(self, proposal_id: int, outcome: Outcome) -> None:
        """As a `Sink`."""
        self._add(
            raft_pb2.ProposeResult(id=proposal_id, index=outcome.index, result=outcome.result)
            if not outcome.error
            else raft_pb2.ProposeResult(id=proposal_id, error=outcome.error, uncertain=outcome.uncertain)
        )

    def answer_read(self, read_id: int, index: int, error: str) -> None:
        """As a `ReadSink`."""
        self._add(raft_pb2.ReadIndexResult(id=read_id, index=index, error=error))

    def _add(self, item: Any) -> None:
        self.items.append(item)
        self.open_count -= 1
        if self.open_count < UNANSWERED_MAX:
            self._room.set()
        self._ready.set()

    def asked(self, count: int) -> None:
        """The stream asked for so many; to be called before they are answered."""
        self.open_count += count
        if self.open_count >= UNANSWERED_MAX:
            self._room.clear()

    async def room(self) -> None:
        """Waits while too many are open."""
        await self._room.wait()

    def end(self) -> None:
        """Nothing more is asked."""
        self.ended = True
        self._ready.set()

    async def take(self) -> list[Any]:
        """The next answers; empty when the stream has ended and all is answered."""
        while not self.items:
            if self.ended and self.open_count == 0:
                return []
            self._ready.clear()
            await self._ready.wait()
        taken, self.items = self.items[:RESPONSE_ITEMS_MAX], self.items[RESPONSE_ITEMS_MAX:]
        return taken


async def _converse(
    requests: AsyncIterator[Any], ask: Callable[[_Answers, Any], None], respond: Callable[[list[Any]], Any]
) -> AsyncIterator[Any]:
    """Read requests and yield batches of answers until both are done."""
    answers = _Answers()

    async def read() -> None:
        try:
            async for request in requests:
                ask(answers, request)
                await answers.room()
        finally:
            answers.end()

    reader = asyncio.ensure_future(read())
    try:
        while items := await answers.take():
            yield respond(items)
        await reader
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


class ConsensusService(raft_pb2_grpc.ConsensusServicer):
    """On loopback for this node's daemons, and (`for_peers`) for other servers, whose requests go no further."""

    def __init__(self, driver: Driver, router: Router, calls: Calls, archives: Archives, for_peers: bool) -> None:
        self._driver = driver
        self._router = router
        self._calls = calls
        self._archives = archives
        self._for_peers = for_peers

    async def Propose(self, request_iterator: Any, context: Context) -> AsyncIterator[raft_pb2.ProposeResponse]:
        """See raft.proto."""
        propose = self._router.propose_here if self._for_peers else self._router.propose

        def ask(answers: _Answers, request: raft_pb2.ProposeRequest) -> None:
            answers.asked(len(request.items))
            propose(answers, [(item.id, item.command) for item in request.items])

        async for response in _converse(request_iterator, ask, lambda items: raft_pb2.ProposeResponse(items=items)):
            yield response

    async def ReadIndex(self, request_iterator: Any, context: Context) -> AsyncIterator[raft_pb2.ReadIndexResponse]:
        """See raft.proto."""

        def ask(answers: _Answers, request: raft_pb2.ReadIndexRequest) -> None:
            answers.asked(len(request.ids))
            self._router.read(answers, request.ids)

        async for response in _converse(request_iterator, ask, lambda items: raft_pb2.ReadIndexResponse(items=items)):
            yield response

    async def Changes(
        self, request: raft_pb2.ChangesRequest, context: Context
    ) -> AsyncIterator[raft_pb2.ChangesResponse]:
        """See raft.proto."""
        changes = self._driver.changes
        subscriber = changes.subscribe()
        if subscriber is None:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many subscribers to changes")
            raise AssertionError("abort always raises")
        try:
            # Tells the caller that from here on nothing escapes it.
            await context.send_initial_metadata(())
            while True:
                change = await subscriber.next()
                topics = [topic.encode("utf-8", "surrogateescape") for topic in change.topics]
                for start in range(0, len(topics), TOPICS_PER_MESSAGE_MAX):
                    part = topics[start : start + TOPICS_PER_MESSAGE_MAX]
                    yield raft_pb2.ChangesResponse(index=change.index, topics=part)
                if change.reset or not topics:
                    yield raft_pb2.ChangesResponse(index=change.index, reset=change.reset)
        finally:
            changes.unsubscribe(subscriber)

    async def Call(self, request: raft_pb2.CallRequest, context: Context) -> raft_pb2.CallResponse:
        """See raft.proto."""
        try:
            body = await self._calls.call(request.name, request.body, request.local, forward=not self._for_peers)
        except CallError as error:
            return raft_pb2.CallResponse(error=str(error))
        return raft_pb2.CallResponse(body=body)

    async def SnapshotSave(
        self, request: raft_pb2.SnapshotSaveRequest, context: Context
    ) -> AsyncIterator[raft_pb2.SnapshotChunk]:
        """See raft.proto."""
        try:
            async for chunk in self._archives.save(request.stale, forward=not self._for_peers):
                yield chunk
        except ArchiveFailedError as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))

    async def SnapshotRestore(self, request_iterator: Any, context: Context) -> raft_pb2.SnapshotRestoreResponse:
        """See raft.proto."""
        try:
            await self._archives.restore(request_iterator, forward=not self._for_peers)
        except ArchiveFailedError as error:
            return raft_pb2.SnapshotRestoreResponse(error=str(error))
        return raft_pb2.SnapshotRestoreResponse()

    async def Status(self, request: raft_pb2.StatusRequest, context: Context) -> raft_pb2.StatusResponse:
        """See raft.proto."""
        return status(self._driver)


def status(driver: Driver) -> raft_pb2.StatusResponse:
    """This server's view of consensus."""
    raft, state = driver.raft, driver.state
    snapshot = driver.newest_snapshot
    servers = raft.configuration.servers
    leader = raft.configuration.get(state.leader_id) if state.leader_id else None
    contact_ns = raft.last_contact_ns
    if driver.is_leader:
        contact_ms = 0
    else:
        contact_ms = (boottime_ns() - contact_ns) // 1_000_000 if contact_ns else -1
    return raft_pb2.StatusResponse(
        state=_STATES[state.role],
        term=state.term,
        last_log_index=raft.last_index,
        last_log_term=raft.last_term,
        commit_index=state.commit_index,
        applied_index=driver.machine.applied_index,
        last_snapshot_index=snapshot.index if snapshot else 0,
        last_snapshot_term=snapshot.term if snapshot else 0,
        leader_id=state.leader_id,
        leader_address=leader.address if leader else "",
        last_contact_ms=contact_ms,
        servers=[raft_pb2.RaftServer(id=s.id, address=s.address, voter=s.voter) for s in servers],
        write_error=driver.write_error,
        configuration_index=raft.configuration_index,
    )


class RaftPeerService(raft_pb2_grpc.RaftPeerServicer):
    """Raft's messages from other servers."""

    def __init__(self, driver: Driver, transport: Transport) -> None:
        self._driver = driver
        self._transport = transport

    async def Deliver(self, request_iterator: Any, context: Context) -> raft_pb2.DeliverResponse:
        """See raft.proto."""
        _PEER_STREAMS.increment()
        async for batch in request_iterator:
            self._transport.heard_from(batch.from_id, batch.from_address)
            try:
                messages: list[Message] = [decode_message(data) for data in batch.messages]
            except MalformedMessageError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            self._driver.receive(messages)
        return raft_pb2.DeliverResponse()

    async def Peers(self, request: raft_pb2.PeersRequest, context: Context) -> raft_pb2.PeersResponse:
        """See raft.proto."""
        return raft_pb2.PeersResponse(addresses=[s.address for s in self._driver.raft.configuration.servers])
