"""A whole gossip pool in one process under one seed: the real cores, a network that loses and delays, no real time.

Nothing here decides anything about gossip: it carries effects of one core to another, late, or not at all.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Any

from gossipd.core.config import PoolConfig
from gossipd.core.effects import (
    Effect,
    MemberChanged,
    MemberEventKind,
    SendPacket,
    SnapshotAppend,
    SnapshotRewrite,
    StartPushPull,
    StartStreamPing,
    UserEventReceived,
)
from gossipd.core.errors import MergeRefused
from gossipd.core.messages import PushPull
from gossipd.core.policy import OpenPolicy
from gossipd.core.pool import Pool
from gossipd.core.snapshot import SnapshotState, Snapshotter
from gossipd.wire.codec import WireCodec
from gossipd.wire.packet import Received, open_packet
from gossipd.wire.security import Security

PLAIN = Security()
PORT = 8301
DECODED_CACHE_SIZE = 65_536
# IPv4 and UDP headers; a CRC; a compound's count and each part's length.
PACKET_HEADER_BYTES = 28
CRC_BYTES = 5
COMPOUND_BYTES = 2
# The most of a push/pull that is not the nodes: TCP handshake, header, 512 empty event slots.
STREAM_OVERHEAD_BYTES = 900
NODE_STATE_BYTES = 100
MAX_REJOIN_ATTEMPTS = 3
MILLISECOND_NS = 1_000_000

CODEC = WireCodec()


@lru_cache(maxsize=DECODED_CACHE_SIZE)
def decoded(part: bytes) -> tuple[Received, ...]:
    """The messages of an encoded part. Rumours are sent many times over: each is decoded once."""
    opened = open_packet(part, PLAIN)
    assert not opened.errors, f"a core sent what cannot be read: {opened.errors}"
    return tuple(opened.messages)


@dataclass(slots=True)
class Network:
    """What the network does to traffic. Delays are uniform between the two bounds."""

    loss: float = 0.0
    duplication: float = 0.0
    # How much later a duplicate may come: old rumours out of the network's depths.
    late_ns: int = 0
    min_delay_ns: int = 200_000
    max_delay_ns: int = 2 * MILLISECOND_NS
    # Hosts to the number of their side; only hosts of one side hear each other. Empty: no partition.
    sides: dict[str, int] = field(default_factory=dict)
    # (from, to) pairs that are cut in this direction only.
    cut: set[tuple[str, str]] = field(default_factory=set)

    def reaches(self, source: str, target: str) -> bool:
        if (source, target) in self.cut:
            return False
        return not self.sides or self.sides.get(source) == self.sides.get(target)


@dataclass(slots=True)
class Traffic:
    """What one pool has sent."""

    packets: int = 0
    packet_bytes: int = 0
    stream_bytes: int = 0


@dataclass(slots=True)
class Event:
    """One thing that a node told its users."""

    at_ns: int
    node: str
    run: int
    kind: str
    subject: str


class SimNode:
    """One host: a pool while it is up, a snapshot that outlives crashes."""

    def __init__(self, world: World, config: PoolConfig, host: str) -> None:
        self.world = world
        self.config = config
        self.host = host
        self.pool: Pool | None = None
        self.run = 0
        self.snapshot = ""
        self.scheduled_ns = 0
        # Until when this host does nothing (a long pause of the machine); its inputs wait.
        self.paused_until_ns = 0
        self.leaving = False

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def is_up(self) -> bool:
        return self.pool is not None


PoolMaker = Callable[["SimNode", Snapshotter, Random, int], Pool]


def plain_pool(node: SimNode, snapshotter: Snapshotter, random: Random, now_ns: int) -> Pool:
    return Pool(node.config, CODEC, OpenPolicy(), random, now_ns, snapshotter=snapshotter)


class World:
    """The event loop, the network and everything that was told to users."""

    def __init__(self, seed: int, make_pool: PoolMaker = plain_pool) -> None:
        self.random = Random(seed)
        self.network = Network()
        self.now_ns = 1_000_000_000
        self.nodes: dict[str, SimNode] = {}
        self.by_host: dict[str, SimNode] = {}
        self.events: list[Event] = []
        self.traffic: defaultdict[str, Traffic] = defaultdict(Traffic)
        self.message_counts: Counter[str] = Counter()
        self.on_member_change: Callable[[SimNode, MemberChanged], None] | None = None
        self._make_pool = make_pool
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    # --- hosts ---

    def add(self, config: PoolConfig) -> SimNode:
        """A host that is not up yet."""
        host = ".".join(map(str, config.address))
        node = SimNode(self, config, host)
        self.nodes[config.name] = node
        self.by_host[host] = node
        return node

    def start(self, node: SimNode, join: SimNode | None = None) -> None:
        """Boot a host: rejoin whom its snapshot knows, or join another host."""
        assert node.pool is None, "started twice"
        state = SnapshotState()
        state.replay(node.snapshot, node.config.rejoin_after_leave)
        known = [address for name, address in state.alive.items() if name != node.name]
        node.run += 1
        node.leaving = False
        random = Random(self.random.getrandbits(64))
        node.pool = self._make_pool(
            node, Snapshotter(state, len(node.snapshot), node.config.rejoin_after_leave), random, self.now_ns
        )
        node.pool.start({"role": "sim"}, self.now_ns)
        targets = [join.host] if join is not None else []
        random.shuffle(known)
        targets += [address.rpartition(":")[0] for address in known[:MAX_REJOIN_ATTEMPTS]]
        for target in targets:
            self._push_pull(node, target, True)
        self.settle(node)

    def crash(self, node: SimNode) -> None:
        """Power off: memory is lost, the snapshot stays."""
        node.pool = None
        node.scheduled_ns = 0

    def pause(self, node: SimNode, duration_ns: int) -> None:
        """The host stands still; packets wait in its buffers."""
        node.paused_until_ns = self.now_ns + duration_ns

    def leave(self, node: SimNode) -> None:
        assert node.pool is not None
        node.leaving = True
        node.pool.leave(self.now_ns)
        self.settle(node)

    def fire(self, node: SimNode, name: str) -> None:
        assert node.pool is not None
        node.pool.fire_event(name, b"", False, self.now_ns)
        self.settle(node)

    # --- time ---

    def at(self, when_ns: int, call: Callable[..., None], *arguments: Any) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when_ns, self._count, call, arguments))

    def run_until(self, end_ns: int) -> None:
        """Let the world run up to this time."""
        queue = self._queue
        while queue and queue[0][0] <= end_ns:
            when_ns, _, call, arguments = heapq.heappop(queue)
            if when_ns > self.now_ns:
                self.now_ns = when_ns
            call(*arguments)
        self.now_ns = max(self.now_ns, end_ns)

    def _tick(self, node: SimNode, run: int) -> None:
        if node.run != run or node.pool is None or self.now_ns < node.scheduled_ns:
            return
        if self._wait_for_pause(node, self._tick, node, run):
            return
        node.scheduled_ns = 0
        node.pool.tick(self.now_ns)
        self.settle(node)

    def _wait_for_pause(self, node: SimNode, call: Callable[..., None], *arguments: Any) -> bool:
        if self.now_ns >= node.paused_until_ns:
            return False
        self.at(node.paused_until_ns, call, *arguments)
        return True

    def settle(self, node: SimNode) -> None:
        """Carry out what the node's core wants, then wait for its next timer."""
        pool = node.pool
        assert pool is not None
        while effects := pool.take_effects():
            for effect in effects:
                self._carry_out(node, effect)
        wake_ns = pool.wake_at_ns
        if not node.scheduled_ns or wake_ns < node.scheduled_ns:
            node.scheduled_ns = wake_ns
            self.at(wake_ns, self._tick, node, node.run)

    # --- effects ---

    def _carry_out(self, node: SimNode, effect: Effect) -> None:
        kind = type(effect)
        if kind is SendPacket:
            assert isinstance(effect, SendPacket)
            self._send(node, effect)
        elif kind is MemberChanged:
            assert isinstance(effect, MemberChanged)
            name = MemberEventKind(effect.kind).name
            self.events.append(Event(self.now_ns, node.name, node.run, name, effect.member.name))
            if self.on_member_change is not None:
                self.on_member_change(node, effect)
        elif kind is UserEventReceived:
            assert isinstance(effect, UserEventReceived)
            self.events.append(Event(self.now_ns, node.name, node.run, "EVENT", effect.event.name))
        elif kind is StartPushPull:
            assert isinstance(effect, StartPushPull)
            self._push_pull(node, effect.to[0], effect.join)
        elif kind is StartStreamPing:
            assert isinstance(effect, StartStreamPing)
            self._stream_ping(node, effect)
        elif kind is SnapshotAppend:
            assert isinstance(effect, SnapshotAppend)
            node.snapshot += effect.text
        elif kind is SnapshotRewrite:
            assert isinstance(effect, SnapshotRewrite)
            node.snapshot = effect.text

    def _delay_ns(self) -> int:
        network = self.network
        return network.min_delay_ns + int(self.random.random() * (network.max_delay_ns - network.min_delay_ns))

    def _send(self, node: SimNode, effect: SendPacket) -> None:
        traffic = self.traffic[node.name]
        traffic.packets += 1
        size = sum(map(len, effect.parts)) + PACKET_HEADER_BYTES + CRC_BYTES * effect.crc
        if len(effect.parts) > 1:
            size += COMPOUND_BYTES * (1 + len(effect.parts))
        traffic.packet_bytes += size
        network = self.network
        copies = 1 + (network.duplication > 0 and self.random.random() < network.duplication)
        for copy in range(copies):
            if network.loss and self.random.random() < network.loss:
                continue
            late_ns = int(self.random.random() * network.late_ns) if copy else 0
            self.at(self.now_ns + self._delay_ns() + late_ns, self._deliver, node.host, effect)

    def _deliver(self, source: str, effect: SendPacket) -> None:
        target = self.by_host.get(effect.to[0])
        if target is None or target.pool is None or not self.network.reaches(source, target.host):
            return
        if self._wait_for_pause(target, self._deliver, source, effect):
            return
        for part in effect.parts:
            target.pool.receive(decoded(part), (source, PORT), self.now_ns)
        self.settle(target)

    def _stream_ping(self, node: SimNode, effect: StartStreamPing) -> None:
        target = self.by_host.get(effect.to[0])
        if target is None or target.pool is None or not self._connected(node, target):
            return
        answer_ns = max(self.now_ns, target.paused_until_ns) + 2 * self._delay_ns()
        if answer_ns < effect.deadline_ns:
            self.at(answer_ns, self._stream_ping_done, node, node.run, effect.sequence)

    def _stream_ping_done(self, node: SimNode, run: int, sequence: int) -> None:
        if node.pool is not None and node.run == run:
            node.pool.stream_ping_done(sequence, True, self.now_ns)
            self.settle(node)

    def _connected(self, one: SimNode, other: SimNode) -> bool:
        return self.network.reaches(one.host, other.host) and self.network.reaches(other.host, one.host)

    def _push_pull(self, node: SimNode, host: str, join: bool) -> None:
        """Streams are reliable: the request arrives after a delay unless the hosts are cut off."""
        target = self.by_host.get(host)
        assert node.pool is not None
        if target is None or target is node or not self._connected(node, target):
            return
        view = node.pool.push_pull(join)
        self.traffic[node.name].stream_bytes += STREAM_OVERHEAD_BYTES + NODE_STATE_BYTES * len(view.nodes)
        self.at(self.now_ns + self._delay_ns(), self._push_pull_asked, node, node.run, target, view)

    def _push_pull_asked(self, node: SimNode, run: int, target: SimNode, view: PushPull) -> None:
        if target.pool is None or not self._connected(node, target):
            return
        if self._wait_for_pause(target, self._push_pull_asked, node, run, target, view):
            return
        answer = target.pool.push_pull(view.join)
        self.traffic[target.name].stream_bytes += STREAM_OVERHEAD_BYTES + NODE_STATE_BYTES * len(answer.nodes)
        self._merge(target, view)
        self.at(self.now_ns + self._delay_ns(), self._push_pull_answered, node, run, answer)

    def _push_pull_answered(self, node: SimNode, run: int, answer: PushPull) -> None:
        if node.pool is None or node.run != run:
            return
        if self._wait_for_pause(node, self._push_pull_answered, node, run, answer):
            return
        if self._merge(node, answer) and answer.join and not node.leaving:
            node.pool.joined(self.now_ns)
        self.settle(node)

    def _merge(self, node: SimNode, view: PushPull) -> bool:
        assert node.pool is not None
        try:
            node.pool.merge(view, self.now_ns)
        except MergeRefused as error:
            raise AssertionError(f"{node.name} refused a view of its own kind: {error}") from error
        self.settle(node)
        return True
