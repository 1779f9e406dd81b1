"""Proposals and read barriers of this node: to our own core when we lead, else to the leader; held while there is none.

Rules:
* A proposal that surely was not taken is tried again until its deadline (`rpc_hold_timeout`), then answered with
  "No cluster leader".
* One that was sent to a leader and not answered is never sent again: it is answered as uncertain.
* Barriers change nothing and are tried again freely; a follower's core asks the leader itself.
"""

import asyncio
import random
from collections.abc import Sequence

from lictor.page import boottime_ns
from raftd.core.configuration import Configuration
from raftd.core.effects import SoftState
from raftd.driver import Driver
from raftd.forwarder import Forwarder
from raftd.fsm import Batch
from raftd.peers import PeerChannels
from raftd.proposals import NO_LEADER, NOT_TAKEN, NOT_TAKEN_HERE, Outcome, Proposal, Sink
from raftd.reads import Read, ReadSink
from raftd.transport import Transport

HELD_MAX = 65536
"""Proposals (and as many barriers) that wait for a leader."""
JITTER_FRACTION = 16
"""Held requests are tried again after a random pause of up to this part of the hold time (Consul 1.7: rpc.go)."""
TOO_MANY = Outcome(0, b"", "too many requests are waiting for a leader")


class Router:
    """Where this node's requests enter."""

    def __init__(self, driver: Driver, transport: Transport, channels: PeerChannels, hold_timeout_ns: int) -> None:
        self._driver = driver
        self._transport = transport
        self._channels = channels
        self._hold_timeout_ns = hold_timeout_ns
        self._held: list[Proposal] = []
        self._held_reads: list[Read] = []
        self._forwarder: Forwarder | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._stopped = False
        driver.on_refused(self._refused, self._reads_refused)
        driver.listeners.append(self)

    # --- requests ---------------------------------------------------------------------------------------------

    def propose(self, sink: Sink, items: Sequence[tuple[int, bytes]]) -> None:
        """Replicate commands (id, command); `sink` gets one answer for each."""
        deadline_ns = boottime_ns() + self._hold_timeout_ns
        self._route([Proposal(sink, number, command, deadline_ns) for number, command in items])

    def propose_here(self, sink: Sink, items: Sequence[tuple[int, bytes]]) -> None:
        """As `propose`, for another server: answered `NOT_TAKEN_HERE` unless this server leads."""
        self._driver.propose([Proposal(sink, number, command, 0) for number, command in items])

    def read(self, sink: ReadSink, ids: Sequence[int]) -> None:
        """Confirm barriers; `sink` gets one answer for each."""
        deadline_ns = boottime_ns() + self._hold_timeout_ns
        self._driver.read([Read(sink, number, deadline_ns) for number in ids])

    def _route(self, proposals: list[Proposal]) -> None:
        if self._driver.is_leader:
            self._driver.propose(proposals)
            return
        forwarder = self._forwarder_to_leader()
        if forwarder is not None:
            forwarder.send(proposals)
        else:
            self._hold(proposals)

    def _forwarder_to_leader(self) -> Forwarder | None:
        """The stream to the present leader; an earlier leader's is closed."""
        leader_id = self._driver.state.leader_id
        address = self._transport.address_of(leader_id) if leader_id else ""
        if self._driver.is_leader or self._stopped:
            address = ""
        forwarder = self._forwarder
        if forwarder is not None and (forwarder.leader_id, forwarder.address) != (leader_id, address):
            self._forwarder = None
            self._keep(forwarder)
        if self._forwarder is None and address:
            self._forwarder = Forwarder(leader_id, address, self._channels, self._hold)
        return self._forwarder

    def _keep(self, forwarder: Forwarder) -> None:
        task = asyncio.get_running_loop().create_task(forwarder.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    # --- holding ----------------------------------------------------------------------------------------------

    def _refused(self, proposals: list[Proposal]) -> None:
        for proposal in proposals:
            if proposal.deadline_ns == 0:
                proposal.sink.answer(proposal.id, NOT_TAKEN_HERE)
        self._hold([proposal for proposal in proposals if proposal.deadline_ns])

    def _hold(self, proposals: list[Proposal]) -> None:
        room = HELD_MAX - len(self._held)
        for proposal in proposals[room:]:
            proposal.sink.answer(proposal.id, TOO_MANY)
        self._held.extend(proposals[:room])
        self._plan_retry()

    def _reads_refused(self, reads: list[Read]) -> None:
        room = HELD_MAX - len(self._held_reads)
        for read in reads[room:]:
            read.sink.answer_read(read.id, 0, TOO_MANY.error)
        self._held_reads.extend(reads[:room])
        self._plan_retry()

    def _plan_retry(self) -> None:
        """Try again after a random pause, and no later than the first deadline."""
        if self._retry is not None or self._stopped or not (self._held or self._held_reads):
            return
        pause_s = random.uniform(0, self._hold_timeout_ns / JITTER_FRACTION / 1e9)
        self._retry = asyncio.get_running_loop().call_later(pause_s, self._try_again)

    def _try_again(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        now_ns = boottime_ns()
        held, self._held = self._held, []
        reads, self._held_reads = self._held_reads, []
        for proposal in held:
            if proposal.deadline_ns <= now_ns:
                proposal.sink.answer(proposal.id, NOT_TAKEN)
        for read in reads:
            if read.deadline_ns <= now_ns:
                read.sink.answer_read(read.id, 0, NO_LEADER)
        if alive := [proposal for proposal in held if proposal.deadline_ns > now_ns]:
            self._route(alive)
        if alive_reads := [read for read in reads if read.deadline_ns > now_ns]:
            self._driver.read(alive_reads)

    # --- what the driver tells --------------------------------------------------------------------------------

    def state_changed(self, state: SoftState) -> None:
        """Another leader, or none: close the stream to the earlier one, send what is held."""
        self._forwarder_to_leader()
        if state.leader_id and not self._stopped and (self._held or self._held_reads):
            asyncio.get_running_loop().call_soon(self._try_again)

    def leader_ready(self) -> None:
        """Nothing waits for this here."""

    def configuration_changed(self, configuration: Configuration) -> None:
        """The leader's address may have become known."""
        self._forwarder_to_leader()

    def batch_applied(self, batch: Batch) -> None:
        """Nothing waits for this here."""

    def state_replaced(self) -> None:
        """Nothing waits for this here."""

    async def close(self) -> None:
        """Answer what is held, end the stream."""
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._forwarder is not None:
            self._keep(self._forwarder)
            self._forwarder = None
        await asyncio.gather(*self._closing)
        for proposal in self._held:
            proposal.sink.answer(proposal.id, NOT_TAKEN)
        for read in self._held_reads:
            read.sink.answer_read(read.id, 0, NO_LEADER)
        self._held, self._held_reads = [], []
