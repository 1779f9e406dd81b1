"""The core's hands: feeds it time, messages and proposals, and carries out what it asks for.

Everything runs on the event loop, except for the log writer's thread and copies for snapshots. Inputs that arrive in
one turn of the loop are gathered and handed over together; then all effects are carried out in the order that
`raftd.core.effects` lays down.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from lictor.page import PageWriter, RaftState, Role, boottime_ns
from lictor.state.store import StoreError
from raftd.alarm import Alarm
from raftd.changes import Changes
from raftd.core.configuration import Configuration, ConfigurationChange
from raftd.core.effects import Ready, RoleName, SoftState
from raftd.core.entry import Entry
from raftd.core.errors import (
    EntryTooLargeError,
    NoLeaderError,
    NotLeaderError,
    RaftError,
    TooManyReadsError,
)
from raftd.core.messages import Message
from raftd.core.raft import Raft
from raftd.core.snapshot import SnapshotMeta, SnapshotWrite
from raftd.fsm import StateMachine
from raftd.metrics import RaftMetrics
from raftd.page_state import raft_state
from raftd.prechecks import Prechecks
from raftd.proposals import NO_LEADER, Outcome, Proposal, Proposals
from raftd.reads import WAITING_MAX, Read, Reads
from raftd.snapshot_transfers import SnapshotTransfers
from raftd.storage.errors import StorageError
from raftd.storage.log_writer import LogWriter
from raftd.storage.snapshots import Draft, SnapshotStore
from raftd.storage.wal import LogWrite, Wal
from raftd.surroundings import Listener, Outbound

ROUNDS_PER_TURN_MAX = 8
"""Effects carried out before the event loop gets its turn again."""
APPLY_RETRY_S = 1.0
"""Pause between attempts to apply while the disk is full."""

log = logging.getLogger("agent.server.raft")


class Driver:
    """Runs one `Raft`."""

    def __init__(
        self,
        server_id: str,
        raft: Raft,
        wal: Wal,
        machine: StateMachine,
        snapshots: SnapshotStore,
        page: PageWriter,
        changes: Changes,
        on_failure: Callable[[StorageError], None],
    ) -> None:
        self.server_id = server_id
        self.raft = raft
        self.machine = machine
        self.snapshots = snapshots
        self.changes = changes
        self.outbound: Outbound
        self.listeners: list[Listener] = []
        self.state = raft.soft_state
        self.newest_snapshot = snapshots.newest()
        self.write_error = ""
        """Why writes are refused at the moment, "" when they are not."""
        self._on_failure = on_failure
        self._page = page
        self._metrics = RaftMetrics()
        self._metrics.watch(
            {
                "raft.last_index": lambda: raft.last_index,
                "raft.applied_index": lambda: machine.applied_index,
                "raft.leading": lambda: self.is_leader,
                "raft.leader.known": lambda: self.is_leader or bool(self.state.leader_id),
                "raft.writes_refused": lambda: bool(self.write_error),
                "catalog.checks.critical": lambda: machine.checks_in_state("critical"),
                "catalog.checks.warning": lambda: machine.checks_in_state("warning"),
            }
        )
        self.prechecks = Prechecks()
        self._transfers = SnapshotTransfers(server_id, raft, snapshots)
        self._writer = LogWriter(wal, self._durable, self._disk_full, on_failure)
        self._proposals = Proposals()
        self._reads = Reads()
        self._gathered: list[Proposal] = []
        self._gathered_reads: list[Read] = []
        self._refused: Callable[[list[Proposal]], None] = _answer_refused
        self._reads_refused: Callable[[list[Read]], None] = _answer_reads_refused
        self._waiting_entries: list[Entry] = []
        """Committed entries that could not be applied yet, because the disk is full."""
        self._ready_term = 0
        """The term in which this server leads and has applied an entry of its own."""
        self._scheduled = False
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop
        self._alarm = Alarm(self._tick)

    @property
    def is_leader(self) -> bool:
        """Whether this server leads."""
        return self.state.role is RoleName.LEADER

    @property
    def is_ready_leader(self) -> bool:
        """Whether it leads and has applied everything committed before its term."""
        return self.is_leader and self._ready_term == self.state.term

    @property
    def pending_count(self) -> int:
        """Proposals appended here and not yet answered."""
        return len(self._proposals)

    def on_refused(self, proposals: Callable[[list[Proposal]], None], reads: Callable[[list[Read]], None]) -> None:
        """Who takes what surely was not taken here: proposals and barriers."""
        self._refused, self._reads_refused = proposals, reads

    def start(self) -> None:
        """Begin in the running loop. `outbound` must be set."""
        self._loop = asyncio.get_running_loop()
        self._writer.start()
        self.outbound.configure(self.raft.configuration)
        self._write_page()
        self.changes.publish(self.machine.applied_index, ())
        self.wake()

    def stop(self) -> None:
        """Write what is queued and stop; the page says so to readers."""
        self._stopped = True
        self._alarm.set(0)
        self._writer.stop()
        self._page.write(RaftState(role=Role.SHUTDOWN, generation=self.machine.generation))
        self._page.close()
        self.snapshots.drop_incoming()
        self.machine.close()

    # --- inputs -----------------------------------------------------------------------------------------------

    def receive(self, messages: Sequence[Message]) -> None:
        """Messages of other servers."""
        if self._stopped:
            return
        now_ns = boottime_ns()
        try:
            for message in messages:
                started_s = time.perf_counter()
                self.raft.step(now_ns, message)
                self._metrics.received(message, started_s)
        except Exception as error:
            self._fail(error)
        self.wake()

    def unreachable(self, server_id: str) -> None:
        """The stream to this server broke: what was in it may be lost."""
        if not self._stopped:
            self.raft.peer_unreachable(boottime_ns(), server_id)
            self.wake()

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Replicate commands; each one's sink is answered later. Not taken: see `on_refused`."""
        self._gathered.extend(proposals)
        self.wake()

    def read(self, reads: Sequence[Read]) -> None:
        """Confirm barriers; each one's sink is answered later. Not taken: see `on_refused`."""
        self._gathered_reads.extend(reads)
        self.wake()

    def change_configuration(self, change: ConfigurationChange, expected_index: int = 0) -> int:
        """Propose a membership change; returns its index. Raises RaftError."""
        index, _ = self.raft.propose_configuration_change(boottime_ns(), change, expected_index)
        self.wake()
        return index

    def transfer_leadership(self, target_id: str = "") -> str:
        """Hand over; returns to whom. Raises RaftError."""
        target = self.raft.transfer_leadership(boottime_ns(), target_id)
        self.wake()
        return target

    def bootstrap(self, configuration: Configuration) -> None:
        """Start a new cluster. Raises AlreadyBootstrappedError."""
        self.raft.bootstrap(boottime_ns(), configuration)
        self.wake()

    def wake(self) -> None:
        """Carry out effects in the next turn of the loop."""
        if not self._scheduled and not self._stopped:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    # --- one turn ---------------------------------------------------------------------------------------------

    def _fail(self, error: Exception) -> None:
        """A mistake of ours: what this process holds in memory cannot be trusted any more, what is on disk can."""
        log.critical("raftd: internal error, ending", exc_info=error)
        self._stopped = True
        self._on_failure(StorageError(f"internal error: {error!r}"))

    def _turn(self) -> None:
        self._scheduled = False
        if self._stopped:
            return
        try:
            self._take_turn()
        except Exception as error:
            self._fail(error)

    def _take_turn(self) -> None:
        if self._gathered:
            self._hand_over_proposals()
        if self._gathered_reads:
            self._hand_over_reads()
        rounds = 0
        while self.raft.has_ready() and not self._stopped:
            if rounds == ROUNDS_PER_TURN_MAX:
                self.wake()
                break
            rounds += 1
            self._carry_out(self.raft.ready())
        if not self._stopped:
            # Also without any effect the leader's last contact moves.
            self._write_page()
        self._arm()

    def _arm(self) -> None:
        """Wake up when the core wants time to pass, or open proposals are given up."""
        if self._stopped:
            return
        times = [at_ns for at_ns in (self.raft.wake_at(), self._proposals.give_up_at_ns) if at_ns is not None]
        self._alarm.set(min(times, default=0))

    def _tick(self) -> None:
        if self._stopped:
            return
        now_ns = boottime_ns()
        if self.is_leader:
            self._metrics.maybe_contacts(self._voter_contacts_ns, now_ns)
        try:
            self.raft.tick(now_ns)
            self._proposals.expire(now_ns)
        except Exception as error:
            self._fail(error)
        self._turn()

    def _voter_contacts_ns(self) -> list[int]:
        return [peer.last_contact_ns for peer in self.raft.peers()]

    def _hand_over_proposals(self) -> None:
        proposals, self._gathered = self._gathered, []
        if self.write_error:
            for proposal in proposals:
                proposal.sink.answer(proposal.id, Outcome(0, b"", self.write_error))
            return
        now_ns = boottime_ns()
        if self.is_leader:
            proposals = self.prechecks.passed(proposals, self.machine.applied_index, now_ns)
            if not proposals:
                return
        try:
            index, term = self.raft.propose(now_ns, [proposal.command for proposal in proposals])
            self._proposals.appended(index, term, proposals)
            self._metrics.proposed(index, len(proposals))
        except NotLeaderError:
            self._refused(proposals)
        except EntryTooLargeError as error:
            if len(proposals) == 1:
                proposals[0].sink.answer(proposals[0].id, Outcome(0, b"", str(error)))
                return
            # One of them is too large: each for itself, in order.
            for proposal in proposals:
                self._gathered = [proposal]
                self._hand_over_proposals()
        except RaftError as error:
            log.debug("proposals not taken: count=%d error=%s", len(proposals), error)
            self._refused(proposals)

    def _hand_over_reads(self) -> None:
        reads, self._gathered_reads = self._gathered_reads, []
        contexts = self._reads.number(reads)
        try:
            if len(self._reads) > WAITING_MAX:
                raise TooManyReadsError(f"more than {WAITING_MAX} read barriers are waiting")
            self.raft.read_index(boottime_ns(), contexts)
            self._metrics.verified(len(reads))
        except NoLeaderError:
            self._reads_refused(self._reads.refused(contexts))
        except TooManyReadsError as error:
            for read in self._reads.refused(contexts):
                read.sink.answer_read(read.id, 0, str(error))

    # --- effects ----------------------------------------------------------------------------------------------

    def _carry_out(self, ready: Ready) -> None:
        if ready.soft_state is not None:
            self._publish(ready.soft_state)
        if ready.configuration is not None:
            self.outbound.configure(ready.configuration)
        if ready.messages:
            self.outbound.send(ready.messages)
            self._metrics.sent(ready.messages)
        if ready.sequence:
            reset = (ready.log_reset.index, ready.log_reset.term) if ready.log_reset is not None else None
            if ready.entries:
                self._metrics.writing(ready.sequence, len(ready.entries), self.is_leader)
            self._writer.submit(ready.sequence, LogWrite(reset, ready.hard_state, ready.entries))
        if ready.snapshot_restore is not None:
            self._restore(ready)
        if ready.committed:
            self._apply(ready.committed)
        for order in ready.snapshot_reads:
            if (chunk := self._transfers.read(order)) is not None:
                self.outbound.send((chunk,))
        for write in ready.snapshot_writes:
            self._write_snapshot(write)
        if ready.reads:
            self._reads.confirmed(ready.reads, self.machine.applied_index)
        if ready.read_failures:
            self._reads_refused(self._reads.failed(ready.read_failures))
        if ready.configuration is not None:
            for listener in self.listeners:
                listener.configuration_changed(ready.configuration)

    def _publish(self, state: SoftState) -> None:
        previous, self.state = self.state, state
        self._metrics.state_changed(previous, state)
        self._write_page()
        if previous.role is RoleName.LEADER and state.role is not RoleName.LEADER:
            self._proposals.leadership_lost(boottime_ns())
        if (previous.role, previous.term, previous.leader_id) != (state.role, state.term, state.leader_id):
            for listener in self.listeners:
                listener.state_changed(state)

    def _write_page(self) -> None:
        self._page.write(raft_state(self.state, self.machine, self._ready_term, self.raft.last_contact_ns))

    def _apply(self, entries: list[Entry]) -> None:
        if self._waiting_entries:
            self._waiting_entries.extend(entries)
            return
        started_s = time.perf_counter()
        self._metrics.committed(entries[-1].index)
        try:
            batch = self.machine.apply(entries)
            self._metrics.applied(entries, started_s)
        except StoreError as error:
            log.error("failed to apply committed entries, trying again: error=%s", error)
            self._waiting_entries = list(entries)
            self._set_write_error(str(error))
            self._loop.call_later(APPLY_RETRY_S, self._apply_waiting)
            return
        last = entries[-1]
        became_ready = self.is_leader and last.term == self.state.term and self._ready_term != last.term
        if became_ready:
            self._ready_term = last.term
            self._metrics.barrier_passed()
        self._write_page()
        if batch.released_locks and self.is_leader:
            self.prechecks.lock_delays.start(batch.released_locks, boottime_ns())
        for entry, result in zip(entries, batch.results, strict=True):
            self._proposals.applied(entry.index, entry.term, result)
        self.changes.publish(last.index, batch.topics, reset=batch.replaced)
        self._reads.applied(last.index)
        self.raft.applied(boottime_ns(), last.index)
        for listener in self.listeners:
            listener.batch_applied(batch)
            if batch.replaced:
                listener.state_replaced()
            if became_ready:
                listener.leader_ready()

    def _apply_waiting(self) -> None:
        if self._stopped:
            return
        entries, self._waiting_entries = self._waiting_entries, []
        self._apply(entries)
        if not self._waiting_entries:
            self._set_write_error("")
        self.wake()

    def _restore(self, ready: Ready) -> None:
        meta = ready.snapshot_restore
        assert meta is not None
        log.info("installed remote snapshot: id=%s index=%d", meta.id, meta.index)
        self._waiting_entries = []
        started_s = time.perf_counter()
        try:
            self.machine.restore(meta)
            self._metrics.restored(started_s)
        except (StorageError, StoreError) as error:
            # Ending is safe: the snapshot is durable, and the next start begins from it.
            self._on_failure(error if isinstance(error, StorageError) else StorageError(str(error)))
            self._stopped = True
            return
        self.newest_snapshot = meta
        self._proposals.skipped_to(meta.index)
        self._write_page()
        self.changes.publish(meta.index, (), reset=True)
        self._reads.applied(meta.index)
        self.raft.applied(boottime_ns(), meta.index)
        for listener in self.listeners:
            listener.state_replaced()
        self.snapshots.prune(self.raft.snapshots_in_use())

    def _write_snapshot(self, write: SnapshotWrite) -> None:
        try:
            self._transfers.write(write)
        except StorageError as error:
            self._on_failure(error)
            self._stopped = True

    # --- the log writer's reports -----------------------------------------------------------------------------

    def _durable(self, sequence: int) -> None:
        if self._stopped:
            return
        self._metrics.written(sequence)
        try:
            self.raft.persisted(boottime_ns(), sequence)
        except Exception as error:
            self._fail(error)
        if not self._scheduled:
            # At once rather than in the next turn: somebody waits for this.
            self._turn()

    def _disk_full(self, text: str) -> None:
        if text:
            log.error("the log cannot be written, refusing writes until there is space: error=%s", text)
            self._set_write_error(text)
            self._hand_off()
        else:
            log.info("the log can be written again")
            self._set_write_error("")

    def _hand_off(self) -> None:
        """A leader that cannot write lets another one lead, if there is one."""
        if not self.is_leader:
            return
        try:
            target = self.transfer_leadership()
            log.warning("handing leadership over, since the log cannot be written: target=%s", target)
        except RaftError as error:
            log.warning("leadership cannot be handed over: error=%s", error)

    def _set_write_error(self, text: str) -> None:
        self.write_error = text

    # --- snapshots --------------------------------------------------------------------------------------------

    async def publish_snapshot(self, draft: Draft) -> SnapshotMeta:
        """Name a draft, make it durable, tell the core. Raises StorageError."""
        configuration, configuration_index = self.raft.configuration_at(draft.index)
        snapshot_id = f"{draft.term}-{draft.index}-{time.time_ns() // 1_000_000}"
        meta = await asyncio.to_thread(
            self.snapshots.publish, draft, snapshot_id, configuration, configuration_index, draft.term
        )
        if self.newest_snapshot is None or meta.index > self.newest_snapshot.index:
            self.newest_snapshot = meta
        self.raft.snapshot_taken(boottime_ns(), meta)
        self.snapshots.prune(self.raft.snapshots_in_use())
        return meta

    def compact(self, index: int) -> None:
        """Forget log entries up to `index`, as far as the core allows."""
        reached = self.raft.compact(boottime_ns(), index)
        self._writer.compact(reached)


def _answer_refused(proposals: list[Proposal]) -> None:
    for proposal in proposals:
        proposal.sink.answer(proposal.id, Outcome(0, b"", NO_LEADER))


def _answer_reads_refused(reads: list[Read]) -> None:
    for read in reads:
        read.sink.answer_read(read.id, 0, NO_LEADER)
