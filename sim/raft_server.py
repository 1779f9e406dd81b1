"""One simulated server: the real core, driven as `raftd.core.effects` demands, on a simulated disk and clock."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from raftd.core.api import (
    Entry,
    Message,
    Raft,
    RaftConfig,
    Ready,
    RoleName,
    SnapshotChunk,
    SnapshotMeta,
    SnapshotRead,
    SnapshotWrite,
    SoftState,
)
from sim.clock import DriftingClock, Timeline
from sim.network import MS, Network
from sim.raft_disk import Disk, StoredSnapshot, Write
from sim.raft_machine import KeyValueMachine

SYNC_MIN_NS = MS // 5
READ_MAX_NS = 4 * MS
APPLY_MAX_NS = MS


class Observer(Protocol):
    """Sees everything; raises when a rule is broken."""

    def made_ready(self, server: "Server", ready: Ready) -> None:
        """A server's core asked for effects."""

    def applied(self, server: "Server", entry: Entry) -> None:
        """A server's state machine applied an entry."""

    def restored(self, server: "Server", meta: SnapshotMeta) -> None:
        """A server's state machine was replaced by a snapshot."""


@dataclass(slots=True)
class Page:
    """What other processes of the machine see; it outlives a killed server process."""

    is_leader: bool = False
    term: int = 0
    commit_index: int = 0
    lease_expiry_ns: int = 0


class Server:
    """May be down (`raft` is None), or stopped for a while (`paused`): then what arrives waits."""

    def __init__(
        self,
        config: RaftConfig,
        timeline: Timeline,
        network: Network,
        random: Random,
        observer: Observer,
        snapshot_every: int,
        trailing: int,
        sync_max_ns: int,
        narrow_draws: bool,
    ) -> None:
        self.id = config.id
        self.config = config
        self.timeline = timeline
        self.disk = Disk()
        self.page = Page()
        self.clock = DriftingClock(random.randrange(10**12), random.randint(-90_000, 90_000))
        self.raft: Raft | None = None
        self.paused = False
        self.life = 0
        self._network = network
        self._random = random
        self._observer = observer
        self._snapshot_every = snapshot_every
        self._trailing = trailing
        self._sync_max_ns = sync_max_ns
        self.narrow_draws = narrow_draws
        """Random timeouts hardly differ while this is set."""
        self._waiting: list[Message] = []
        self._timer_at_ns: int | None = None
        self._sync_running = False
        self._unsynced_sequence = 0
        self._applying: list[Entry | SnapshotMeta] = []
        self._apply_running = False
        self.read_answers: dict[int, Callable[[int | None], None]] = {}
        """Called with the index from which a read may be answered, or None."""
        self.applied_waits: list[tuple[int, Callable[[Entry | None], None]]] = []
        """Called with the entry applied at an index; None: a snapshot covered it."""

    # --- life -------------------------------------------------------------------------------------------------

    @property
    def machine(self) -> KeyValueMachine:
        """The state machine."""
        return self.disk.machine

    @property
    def now_ns(self) -> int:
        """This machine's clock."""
        return self.clock.local_ns(self.timeline.now_ns)

    @property
    def is_leader(self) -> bool:
        """Whether it takes itself for the leader."""
        return self.raft is not None and self.raft.soft_state.role == RoleName.LEADER

    def _draw(self, low: int, high: int) -> int:
        return self._random.randint(low, low + (high - low) // 30 if self.narrow_draws else high)

    def start(self) -> None:
        """Start from the disk."""
        assert self.raft is None
        self.life += 1
        stored = self.disk.snapshot
        if stored is not None and self.machine.applied_index < stored.meta.index:
            self.disk.machine = KeyValueMachine.load(stored.data)
            self._observer.restored(self, stored.meta)
        self.page = Page()
        self.raft = Raft(
            self.config,
            self.now_ns,
            self._draw,
            self.disk,
            self.disk.written.hard_state,
            self.disk.summary(),
            stored.meta if stored else None,
            self.machine.applied_index,
        )
        self._timer_at_ns = None
        self.drain()

    def kill(self, *, power: bool) -> None:
        """The process is killed, or the machine loses power (and what was not synced)."""
        if self.raft is None:
            return
        self.raft = None
        self.life += 1
        self.paused = False
        self._waiting.clear()
        self._applying.clear()
        self._sync_running = self._apply_running = False
        self._unsynced_sequence = 0
        self.read_answers.clear()
        self.applied_waits.clear()
        if power:
            self.page = Page()
            self.disk.power_failure(self._random)
        else:
            self.disk.killed()

    def resume(self) -> None:
        """After a pause: first what arrived, then the timers."""
        self.paused = False
        if self.raft is not None:
            waiting, self._waiting = self._waiting, []
            for message in waiting:
                self.receive(message)
            self._tick()

    # --- inputs -----------------------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """A message arrived."""
        if self.raft is None:
            return
        if self.paused:
            self._waiting.append(message)
            return
        self.raft.step(self.now_ns, message)
        self.drain()

    def _later(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Do it later, if this life of the server lasts so long and it is not paused then (else after the pause)."""
        life = self.life

        def act() -> None:
            if self.life != life:
                return
            if self.paused:
                self.timeline.after(5 * MS, act)
                return
            action()

        self.timeline.after(delay_ns, act)

    def _tick(self) -> None:
        self._timer_at_ns = None
        assert self.raft is not None
        self.raft.tick(self.now_ns)
        self.drain()

    # --- effects ----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Carry out what the core asks for, then set the timer."""
        raft = self.raft
        assert raft is not None
        while raft.has_ready():
            ready = raft.ready()
            self._observer.made_ready(self, ready)
            self._carry_out(ready)
        wake_at_ns = raft.wake_at()
        if wake_at_ns is not None and (self._timer_at_ns is None or wake_at_ns < self._timer_at_ns):
            self._timer_at_ns = wake_at_ns
            self._later(self.clock.true_delay_ns(wake_at_ns - self.now_ns), lambda: self._timer(wake_at_ns))

    def _timer(self, planned_ns: int) -> None:
        if self._timer_at_ns == planned_ns:
            self._tick()

    def _carry_out(self, ready: Ready) -> None:
        if ready.soft_state is not None:
            self._publish(ready.soft_state)
        for message in ready.messages:
            self._network.send(self.id, message.target, message)
        if ready.sequence:
            self.disk.write(Write.of(ready))
            self._unsynced_sequence = ready.sequence
            self._maybe_sync()
        if ready.snapshot_restore is not None:
            self._applying.append(ready.snapshot_restore)
        self._applying.extend(ready.committed)
        self._maybe_apply()
        for read in ready.snapshot_reads:
            self._later(self._random.randint(0, READ_MAX_NS), lambda read=read: self._read_chunk(read))  # type: ignore[misc]
        for write in ready.snapshot_writes:
            self._later(self._random.randint(0, READ_MAX_NS), lambda write=write: self._write_chunk(write))  # type: ignore[misc]
        for state in ready.reads:
            self.read_answers.pop(state.context)(state.index)
        for failure in ready.read_failures:
            self.read_answers.pop(failure.context)(None)

    def _publish(self, soft_state: SoftState) -> None:
        self.page = Page(
            soft_state.role == RoleName.LEADER, soft_state.term, soft_state.commit_index, soft_state.lease_expiry_ns
        )

    def _maybe_sync(self) -> None:
        if self._sync_running or not self._unsynced_sequence:
            return
        self._sync_running = True
        sequence, self._unsynced_sequence = self._unsynced_sequence, 0
        self._later(self._random.randint(SYNC_MIN_NS, self._sync_max_ns), lambda: self._synced(sequence))

    def _synced(self, sequence: int) -> None:
        assert self.raft is not None
        self._sync_running = False
        self.disk.sync(sequence)
        self.raft.persisted(self.now_ns, sequence)
        self._maybe_sync()
        self.drain()

    def _maybe_apply(self) -> None:
        if self._apply_running or not self._applying:
            return
        self._apply_running = True
        self._later(self._random.randint(0, APPLY_MAX_NS), self._apply)

    def _apply(self) -> None:
        raft, batch = self.raft, self._applying
        assert raft is not None
        self._apply_running = False
        self._applying = []
        for item in batch:
            if isinstance(item, SnapshotMeta):
                stored = next(stored for stored in self.disk.snapshots if stored.meta.id == item.id)
                self.disk.machine = KeyValueMachine.load(stored.data)
                self._observer.restored(self, item)
            else:
                self.machine.apply(item)
                self._observer.applied(self, item)
            self._answer_applied(item)
        raft.applied(self.now_ns, self.machine.applied_index)
        self._maybe_snapshot()
        self._maybe_apply()
        self.drain()

    def _answer_applied(self, item: Entry | SnapshotMeta) -> None:
        due = [wait for wait in self.applied_waits if wait[0] <= item.index]
        self.applied_waits = [wait for wait in self.applied_waits if wait[0] > item.index]
        for index, answer in due:
            answer(item if isinstance(item, Entry) and item.index == index else None)

    # --- snapshots --------------------------------------------------------------------------------------------

    def _maybe_snapshot(self) -> None:
        raft = self.raft
        assert raft is not None
        index = self.machine.applied_index
        latest = self.disk.snapshot.meta.index if self.disk.snapshot else 0
        if index - latest < self._snapshot_every:
            return
        configuration, configuration_index = raft.configuration_at(index)
        data = self.machine.save()
        name = f"{raft.term_at(index)}-{index}-{self.id}-{self.life}"
        meta = SnapshotMeta(name, index, raft.term_at(index), configuration, configuration_index, len(data))
        self.disk.add_snapshot(StoredSnapshot(meta, data), raft.snapshots_in_use())
        raft.snapshot_taken(self.now_ns, meta)
        self.disk.compact(raft.compact(self.now_ns, index - self._trailing))

    def _read_chunk(self, read: SnapshotRead) -> None:
        assert self.raft is not None
        stored = next((stored for stored in self.disk.snapshots if stored.meta.id == read.meta.id), None)
        if stored is None:
            self.raft.snapshot_unavailable(self.now_ns, read.target)
            self.drain()
            return
        data = stored.data[read.offset : read.offset + read.length]
        chunk = SnapshotChunk(self.id, read.target, read.term, read.round, read.meta, read.offset, data)
        self._network.send(self.id, read.target, chunk)

    def _write_chunk(self, write: SnapshotWrite) -> None:
        assert self.raft is not None
        name = write.meta.id
        if write.offset == 0:
            self.disk.incoming = {name: bytearray()}
        content = self.disk.incoming.get(name)
        if content is None or len(content) != write.offset:
            return
        content.extend(write.data)
        if write.last:
            assert len(content) == write.meta.size_bytes
            del self.disk.incoming[name]
            self.disk.add_snapshot(StoredSnapshot(write.meta, bytes(content)), self.raft.snapshots_in_use())
        self.raft.snapshot_written(self.now_ns, name, write.offset + len(write.data))
        self.drain()
