"""One large pool: how fast news spreads, what it costs, and what SWIM, Lifeguard and memberlist predict."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from random import Random

from gossipd.core.config import SECOND_NS, PoolConfig, lan
from gossipd.core.effects import MemberChanged, MemberEventKind
from gossipd.core.formulas import push_pull_interval_ns, retransmit_limit, suspicion_min_ns
from gossipd.core.member import Member, MemberStatus
from gossipd.core.node import Node, NodeState
from gossipd.core.policy import OpenPolicy
from gossipd.core.pool import Pool
from gossipd.core.snapshot import Snapshotter
from sim.gossip_roster import LayeredRoster, SharedBase, StrideRing
from sim.gossip_world import CODEC, SimNode, World

LOSS = 0.01
QUIET_NS = 10 * SECOND_NS
SPREAD_LIMIT_NS = 60 * SECOND_NS
FAILURE_LIMIT_NS = 180 * SECOND_NS
STEP_NS = SECOND_NS // 10
TAGS = {"role": "node", "dc": "dc1", "build": "1.7.2:", "id": "00000000-0000-0000-0000-000000000000"}
# SWIM 3.1: the expected number of intervals until somebody probes a failed node.
FIRST_PROBE_INTERVALS = math.e / (math.e - 1)


@dataclass(slots=True)
class Spread:
    """When the first, half, 99% and all of the members knew, in seconds after it happened."""

    first_s: float
    half_s: float
    most_s: float
    all_s: float
    reached: int
    expected: int


@dataclass(slots=True)
class Report:
    """The figures of one run."""

    members: int
    seed: int
    join: Spread
    event: Spread
    leave: Spread
    failure: Spread
    quiet_bytes_per_s: float
    quiet_packets_per_s: float
    busy_bytes_per_s: float
    stream_bytes_per_s: float
    false_deaths: int
    simulated_s: float
    wall_s: float
    predictions: dict[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """A table in Markdown."""
        rows = [
            f"{self.members} members, seed {self.seed}, {LOSS:.0%} loss, LAN profile; {self.simulated_s:.0f} s "
            f"simulated in {self.wall_s:.0f} s",
            "",
            "| news | first (s) | half | 99% | all | reached | predicted 99% (s) |",
            "|---|---|---|---|---|---|---|",
        ]
        for name in ("join", "event", "leave", "failure"):
            spread: Spread = getattr(self, name)
            rows.append(
                f"| {name} | {spread.first_s:.2f} | {spread.half_s:.2f} | {spread.most_s:.2f} | {spread.all_s:.2f} "
                f"| {spread.reached}/{spread.expected} | {self.predictions[name]:.2f} |"
            )
        rows += [
            "",
            "| per member | measured | predicted |",
            "|---|---|---|",
            f"| quiet pool, packets sent per s | {self.quiet_packets_per_s:.2f} | {self.predictions['packets']:.2f} |",
            f"| quiet pool, bytes sent per s (UDP) | {self.quiet_bytes_per_s:.0f} | {self.predictions['bytes']:.0f} |",
            f"| while news spreads, bytes per s (UDP) | {self.busy_bytes_per_s:.0f} | |",
            f"| push/pull, bytes per s (TCP) | {self.stream_bytes_per_s:.0f} | {self.predictions['stream']:.0f} |",
            f"| living members called dead | {self.false_deaths} | 0 |",
        ]
        return "\n".join(rows)


class LargePool:
    """A pool that has already converged, in rosters shared by all its nodes."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.random = Random(f"large gossip pool {seed}")
        meta = CODEC.encode_tags(TAGS)
        configs = [self._config(number) for number in range(count)]
        self._nodes = SharedBase({config.name: self._node(config, meta) for config in configs})
        tags = CODEC.decode_tags(meta)
        self._members = SharedBase(
            {name: Member(node, tags, MemberStatus.ALIVE, 1, 0) for name, node in self._nodes.entries.items()}
        )
        self.world = World(seed, self._make_pool)
        self.world.network.loss = LOSS
        self.world.on_member_change = self._changed
        self.heard: dict[tuple[MemberEventKind, str], dict[str, int]] = {}
        for config in configs:
            sim_node = self.world.add(config)
            self._resume(sim_node)
        self.world.events.clear()

    @staticmethod
    def _config(number: int) -> PoolConfig:
        return lan(f"node-{number:05d}", bytes((10, number >> 16, number >> 8 & 255, number & 255)), 8301)

    @staticmethod
    def _node(config: PoolConfig, meta: bytes) -> Node:
        host = ".".join(map(str, config.address))
        state = NodeState.ALIVE
        return Node(config.name, config.address, host, config.port, meta, config.versions, 1, state, 0)

    def _resume(self, sim_node: SimNode) -> None:
        """Up and running as it was, with nothing to announce."""
        sim_node.run += 1
        random = Random(self.world.random.getrandbits(64))
        pool = Pool(
            sim_node.config,
            CODEC,
            OpenPolicy(),
            random,
            self.world.now_ns,
            nodes=LayeredRoster(self._nodes),
            members=LayeredRoster(self._members),
            ring=StrideRing(self._nodes.names, random),
        )
        pool.swim.incarnation = 1
        pool.swim.alive_versions[sim_node.config.versions] = self.count
        pool.serf.clock.witness(1)
        pool.start_timers()
        sim_node.pool = pool
        self.world.settle(sim_node)

    def _make_pool(self, node: SimNode, snapshotter: Snapshotter, random: Random, now_ns: int) -> Pool:
        """A newcomer knows nobody."""
        return Pool(node.config, CODEC, OpenPolicy(), random, now_ns)

    def _changed(self, node: SimNode, change: MemberChanged) -> None:
        heard = self.heard.setdefault((change.kind, change.member.name), {})
        heard.setdefault(node.name, self.world.now_ns)

    # --- measuring ---

    def bytes_sent(self) -> tuple[int, int, int]:
        """Packets, bytes in packets, bytes in streams, of all members so far."""
        traffic = self.world.traffic.values()
        return (
            sum(item.packets for item in traffic),
            sum(item.packet_bytes for item in traffic),
            sum(item.stream_bytes for item in traffic),
        )

    def up(self) -> set[str]:
        return {node.name for node in self.world.nodes.values() if node.is_up}

    def spread(self, kind: MemberEventKind, subject: str, limit_ns: int) -> Spread:
        """Run until everybody has heard it."""
        start_ns = self.world.now_ns
        expected = self.up() - {subject}
        while self.world.now_ns < start_ns + limit_ns:
            self.world.run_until(self.world.now_ns + STEP_NS)
            if len(self.heard.get((kind, subject), {})) >= len(expected):
                break
        heard = self.heard.get((kind, subject), {})
        return spread_of([heard[name] - start_ns for name in expected if name in heard], len(expected))

    def event_spread(self, limit_ns: int) -> Spread:
        start_ns = self.world.now_ns
        self.world.events.clear()
        self.world.fire(next(iter(self.world.nodes.values())), "large")
        expected = len(self.up())
        while self.world.now_ns < start_ns + limit_ns:
            self.world.run_until(self.world.now_ns + STEP_NS)
            if sum(event.kind == "EVENT" for event in self.world.events) >= expected:
                break
        times = [event.at_ns - start_ns for event in self.world.events if event.kind == "EVENT"]
        return spread_of(times, expected)


def spread_of(times_ns: list[int], expected: int) -> Spread:
    times = sorted(time_ns / 1e9 for time_ns in times_ns) or [math.nan]

    def at(share: float) -> float:
        index = math.ceil(share * expected) - 1
        return times[index] if index < len(times) else math.inf

    return Spread(times[0], at(0.5), at(0.99), at(1.0), len(times_ns), expected)


def predictions(config: PoolConfig, count: int) -> dict[str, float]:
    """SWIM 4.1 (infection: x = n / (1 + (n-1) e^(-kt))), Lifeguard's shortest suspicion, memberlist's intervals."""
    interval_s = config.gossip_interval_ns / 1e9
    spread_s = interval_s / config.gossip_nodes * (math.log(count - 1) + math.log(99)) + interval_s / 2
    suspicion_s = suspicion_min_ns(config.suspicion_mult, count, config.probe_interval_ns) / 1e9
    probe_s = config.probe_interval_ns / 1e9
    ping_bytes, ack_bytes = 52, 178
    return {
        "join": spread_s,
        "event": spread_s,
        # The leave intent goes first; the death that ends it once the intent's sends are used up.
        "leave": spread_s
        + interval_s * math.ceil(retransmit_limit(config.retransmit_mult, count) / config.gossip_nodes),
        "failure": FIRST_PROBE_INTERVALS * probe_s + probe_s + suspicion_s + spread_s,
        "packets": 2 / probe_s,
        "bytes": (ping_bytes + ack_bytes) / probe_s,
        "stream": 2 * (900 + 100 * count) / (push_pull_interval_ns(config.push_pull_interval_ns, count) / 1e9),
    }


def simulate(count: int, seed: int) -> Report:
    """Quiet, then a join, an event, a graceful leave and a crash in one pool of `count` members."""
    started = time.monotonic()
    pool = LargePool(count, seed)
    world = pool.world
    start_ns = world.now_ns
    world.run_until(start_ns + QUIET_NS)
    quiet_packets, quiet_bytes, _ = pool.bytes_sent()
    busy_ns = world.now_ns

    newcomer = world.add(pool._config(count))
    world.start(newcomer, join=next(iter(world.nodes.values())))
    join = pool.spread(MemberEventKind.JOIN, newcomer.name, SPREAD_LIMIT_NS)
    event = pool.event_spread(SPREAD_LIMIT_NS)
    _, busy_bytes, _ = pool.bytes_sent()
    busy_s = (world.now_ns - busy_ns) / 1e9
    leaver = world.nodes[f"node-{count // 2:05d}"]
    world.leave(leaver)
    leave = pool.spread(MemberEventKind.LEAVE, leaver.name, SPREAD_LIMIT_NS)
    world.crash(leaver)
    victim = world.nodes[f"node-{count // 3:05d}"]
    world.crash(victim)
    failure = pool.spread(MemberEventKind.FAILED, victim.name, FAILURE_LIMIT_NS)

    false_deaths = sum(
        len(heard)
        for (kind, subject), heard in pool.heard.items()
        if kind is MemberEventKind.FAILED and subject not in (victim.name, leaver.name)
    )
    _, _, stream_bytes = pool.bytes_sent()
    simulated_s = (world.now_ns - start_ns) / 1e9
    return Report(
        count,
        seed,
        join,
        event,
        leave,
        failure,
        quiet_bytes / count / (QUIET_NS / 1e9),
        quiet_packets / count / (QUIET_NS / 1e9),
        (busy_bytes - quiet_bytes) / count / busy_s,
        stream_bytes / count / simulated_s,
        false_deaths,
        simulated_s,
        time.monotonic() - started,
        predictions(pool.world.nodes["node-00000"].config, count),
    )
