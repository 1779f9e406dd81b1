"""A test bench for whole clusters without time of its own: messages pass at once, disks sync when told to."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from raftd.core.api import (
    Configuration,
    Entry,
    HardState,
    LogSummary,
    Message,
    Raft,
    RaftConfig,
    Ready,
    RoleName,
    Server,
    SnapshotChunk,
    SnapshotMeta,
)

MS = 1_000_000
TIMEOUT_NS = 1000 * MS


def bench_config(server_id: str) -> RaftConfig:
    """Consul's times at multiplier 1, small chunks."""
    return RaftConfig(
        id=server_id,
        heartbeat_timeout_ns=TIMEOUT_NS,
        election_timeout_ns=TIMEOUT_NS,
        lease_timeout_ns=TIMEOUT_NS // 2,
        quorum_timeout_ns=TIMEOUT_NS,
        snapshot_chunk_bytes=10,
    )


@dataclass
class Stored:
    """One server's disk: entries by index."""

    hard_state: HardState = field(default_factory=HardState)
    log: dict[int, Entry] = field(default_factory=dict)
    before: tuple[int, int] = (0, 0)
    """Index and term of what precedes the log."""
    snapshot: SnapshotMeta | None = None
    snapshot_data: bytes = b""

    def entries(self, low: int, high: int, max_bytes: int) -> Sequence[Entry]:
        return [self.log[index] for index in range(low, high + 1)]

    def summary(self) -> LogSummary:
        summary = LogSummary(*self.before)
        for index in sorted(self.log):
            summary.append(self.log[index])
        return summary


class Node:
    """A core with its disk; keeps all it ever asked for."""

    def __init__(self, bench: "Bench", server_id: str, config: RaftConfig, stored: Stored | None = None) -> None:
        self.id = server_id
        self.bench = bench
        self.stored = stored or Stored()
        self.auto_sync = True
        self.unsynced: list[Ready] = []
        self.applied: list[Entry] = []
        self.reads: dict[int, int] = {}
        self.failed_reads: list[int] = []
        self.incoming = bytearray()
        snapshot = self.stored.snapshot
        self.raft = Raft(
            config,
            bench.now_ns,
            bench.random.randint,
            self.stored,
            self.stored.hard_state,
            self.stored.summary(),
            snapshot,
            snapshot.index if snapshot else 0,
        )

    @property
    def role(self) -> RoleName:
        return self.raft.soft_state.role

    def drain(self) -> None:
        """Carry out everything the core asks for."""
        while self.raft.has_ready():
            ready = self.raft.ready()
            self.bench.sent.extend(ready.messages)
            if ready.sequence:
                self.unsynced.append(ready)
            if ready.snapshot_restore is not None:
                self.raft.applied(self.bench.now_ns, ready.snapshot_restore.index)
            if ready.committed:
                self.applied.extend(ready.committed)
                self.raft.applied(self.bench.now_ns, ready.committed[-1].index)
            self.reads.update({state.context: state.index for state in ready.reads})
            self.failed_reads.extend(failure.context for failure in ready.read_failures)
            for order in ready.snapshot_reads:
                data = self.stored.snapshot_data[order.offset : order.offset + order.length]
                self.bench.sent.append(
                    SnapshotChunk(self.id, order.target, order.term, order.round, order.meta, order.offset, data)
                )
            for write in ready.snapshot_writes:
                del self.incoming[write.offset :]
                self.incoming.extend(write.data)
                if write.last:
                    self.stored.snapshot, self.stored.snapshot_data = write.meta, bytes(self.incoming)
                self.raft.snapshot_written(self.bench.now_ns, write.meta.id, write.offset + len(write.data))
            if self.auto_sync:
                self.sync()

    def sync(self) -> None:
        """Make what was written durable, and say so."""
        for ready in self.unsynced:
            if ready.log_reset is not None:
                self.stored.log.clear()
                self.stored.before = (ready.log_reset.index, ready.log_reset.term)
            if ready.hard_state is not None:
                self.stored.hard_state = ready.hard_state
            if ready.entries:
                first = ready.entries[0].index
                self.stored.log = {i: e for i, e in self.stored.log.items() if i < first}
                self.stored.log.update({entry.index: entry for entry in ready.entries})
        if self.unsynced:
            sequence = self.unsynced[-1].sequence
            self.unsynced.clear()
            self.raft.persisted(self.bench.now_ns, sequence)

    def take_snapshot(self, size_bytes: int, keep: int = 0) -> SnapshotMeta:
        """Snapshot at the applied index, compact all but `keep` entries."""
        index = self.raft.applied_index
        configuration, configuration_index = self.raft.configuration_at(index)
        term = self.raft.term_at(index)
        meta = SnapshotMeta(f"{term}-{index}-{self.id}", index, term, configuration, configuration_index, size_bytes)
        self.stored.snapshot, self.stored.snapshot_data = meta, bytes(size_bytes)
        self.raft.snapshot_taken(self.bench.now_ns, meta)
        compacted = self.raft.compact(self.bench.now_ns, index - keep)
        self.stored.log = {i: e for i, e in self.stored.log.items() if i > compacted}
        self.stored.before = (compacted, self.raft.term_at(compacted))
        return meta

    def commands(self) -> list[bytes]:
        """Data of all applied commands."""
        return [entry.data for entry in self.applied if entry.kind == 0]


class Bench:
    """A cluster `n1`, `n2`, … whose messages pass when `settle` is called, unless `blocks` says no."""

    def __init__(self, voters: int, spares: int = 0, seed: int = 1, config: Callable[[str], RaftConfig] = bench_config):
        self.now_ns = 10_000 * MS
        self.random = Random(seed)
        self.sent: list[Message] = []
        self.delivered: list[Message] = []
        self.cut: set[str] = set()
        self.blocks: Callable[[Message], bool] = lambda message: False
        self._config = config
        names = [f"n{number}" for number in range(1, voters + spares + 1)]
        self.nodes = {name: Node(self, name, config(name)) for name in names}
        self.configuration = Configuration(tuple(Server(name, f"{name}:8300") for name in names[:voters]))
        for name in names[:voters]:
            self.nodes[name].raft.bootstrap(self.now_ns, self.configuration)
        self.drain()

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def drain(self) -> None:
        for node in self.nodes.values():
            node.drain()

    def settle(self) -> None:
        """Deliver messages until none is left."""
        for _ in range(10_000):
            self.drain()
            if not self.sent:
                return
            messages, self.sent = self.sent, []
            for message in messages:
                if self.passes(message):
                    self.delivered.append(message)
                    self.nodes[message.target].raft.step(self.now_ns, message)
        raise AssertionError("the cluster never comes to rest")

    def passes(self, message: Message) -> bool:
        return not ({message.source, message.target} & self.cut) and not self.blocks(message)

    def advance(self, milliseconds: int, names: Iterable[str] | None = None) -> None:
        """Let time pass in steps of 10 ms, delivering what is sent."""
        for _ in range(milliseconds // 10):
            self.now_ns += 10 * MS
            for name in names or self.nodes:
                self.nodes[name].raft.tick(self.now_ns)
            self.settle()

    def elect(self, name: str) -> Node:
        """Make this one the leader, by letting time pass for it alone."""
        node = self.nodes[name]
        for _ in range(2 * TIMEOUT_NS // (10 * MS) + 1):
            self.advance(10, [name])
            if node.role == RoleName.LEADER:
                return node
        raise AssertionError(f"{name} is {node.role}")

    def propose(self, node: Node, *data: bytes) -> int:
        """Propose and settle; returns the index of the first."""
        index, _ = node.raft.propose(self.now_ns, list(data))
        self.settle()
        return index

    def restart(self, name: str, **changes: object) -> Node:
        """Start again from the disk; what was not synced is lost."""
        old = self.nodes[name]
        config = replace(self._config(name), **changes)  # type: ignore[arg-type]
        self.nodes[name] = Node(self, name, config, old.stored)
        return self.nodes[name]

    def of(self, kind: type, target: str = "") -> list[Message]:
        """Messages waiting to be delivered, of one type."""
        return [m for m in self.sent if isinstance(m, kind) and target in ("", m.target)]
