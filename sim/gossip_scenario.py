"""One seed's story: a small pool grows, suffers faults for a minute, is healed, and must then agree on the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from gossipd.core.config import MILLISECOND_NS, SECOND_NS, PoolConfig, lan
from sim.gossip_checks import Truth, check_accuracy, check_convergence, check_events, check_stability, disagreements
from sim.gossip_world import PoolMaker, SimNode, World, plain_pool

MIN_NODES = 3
MAX_NODES = 9
FAULTS_NS = 40 * SECOND_NS
CONVERGENCE_LIMIT_NS = 400 * SECOND_NS
CHECK_EVERY_NS = 5 * SECOND_NS
# What the failure detector must bear without declaring a living node dead: loss of packets, and a pause shorter than
# the shortest suspicion (4 s here, after at least one probe interval).
ACCEPTABLE_LOSS = 0.10
ACCEPTABLE_PAUSE_MS = 3_000
LATE_NS = 20 * SECOND_NS
REAL_DEATH_NS = 30 * SECOND_NS
STABLE_NS = 20 * SECOND_NS


@dataclass(slots=True)
class Result:
    """How a seed ended."""

    seed: int
    nodes: int
    faults: list[str] = field(default_factory=list)
    converged_after_s: float = 0.0


def config(name: str, number: int) -> PoolConfig:
    """LAN timings; repair loops run faster, so that a seed does not need simulated hours."""
    return replace(
        lan(name, bytes((10, 0, number // 250, number % 250 + 1)), 8301),
        push_pull_interval_ns=8 * SECOND_NS,
        reconnect_interval_ns=5 * SECOND_NS,
        leave_propagate_delay_ns=SECOND_NS,
    )


class Scenario:
    """Builds, hurts, heals and judges one pool. Raises CheckFailed."""

    def __init__(self, seed: int, make_pool: PoolMaker = plain_pool) -> None:
        self.seed = seed
        self.random = Random(f"gossip scenario {seed}")
        self.world = World(seed, make_pool)
        self.truth = Truth()
        self.quiet = self.random.random() < 0.35
        self.result = Result(seed, 0)
        self._fired = 0

    def run(self) -> Result:
        self._grow()
        if self.quiet:
            self._suffer_only_loss()
        else:
            self._suffer()
        self._heal()
        self._converge()
        check_events(self.world, self.truth, self.seed)
        check_accuracy(self.world, self.truth, self.seed)
        return self.result

    def _grow(self) -> None:
        count = self.random.randint(MIN_NODES, MAX_NODES)
        self.result.nodes = count
        first: SimNode | None = None
        for number in range(count):
            node = self.world.add(config(f"n{number}", number))
            self.world.start(node, join=first)
            self.truth.started(node, self.world.now_ns)
            first = first or node
            self.world.run_until(self.world.now_ns + self.random.randint(0, 400) * MILLISECOND_NS)
        self.world.run_until(self.world.now_ns + 3 * SECOND_NS)

    def _suffer_only_loss(self) -> None:
        """Loss, delay, old duplicates and short pauses, as must be borne: no living node may be called dead."""
        self.truth.no_false_death = True
        network = self.world.network
        network.loss = self.random.uniform(0.0, ACCEPTABLE_LOSS)
        network.duplication = self.random.uniform(0.1, 0.5)
        network.late_ns = LATE_NS
        network.max_delay_ns = self.random.randint(2, 150) * MILLISECOND_NS
        self.result.faults.append(f"loss {network.loss:.2f}")
        end_ns = self.world.now_ns + FAULTS_NS
        deeds = (self._fire, self._short_pause) if self.random.random() < 0.5 else (self._fire,)
        while self.world.now_ns < end_ns:
            self.random.choice(deeds)()
            self.world.run_until(self.world.now_ns + self.random.randint(1000, 6000) * MILLISECOND_NS)
        if len(self._up()) > MIN_NODES:
            self._crash()
            self.world.run_until(self.world.now_ns + REAL_DEATH_NS)
            self._restart()
            self.world.run_until(self.world.now_ns + LATE_NS)

    def _short_pause(self) -> None:
        node = self.random.choice(self._up())
        self.truth.pauses += 1
        self.world.pause(node, self.random.randint(500, ACCEPTABLE_PAUSE_MS) * MILLISECOND_NS)

    def _suffer(self) -> None:
        network = self.world.network
        network.loss = self.random.choice((0.0, 0.02, 0.1, 0.3))
        network.duplication = self.random.choice((0.0, 0.1))
        network.max_delay_ns = self.random.choice((2, 20, 200)) * MILLISECOND_NS
        end_ns = self.world.now_ns + FAULTS_NS
        faults = (self._crash, self._crash, self._restart, self._pause, self._split, self._cut, self._leave)
        while self.world.now_ns < end_ns:
            fault = self.random.choice((*faults, self._mend, self._fire, self._fire))
            fault()
            self.world.run_until(self.world.now_ns + self.random.randint(500, 6000) * MILLISECOND_NS)

    # --- faults ---

    def _up(self) -> list[SimNode]:
        return [node for node in self.world.nodes.values() if node.is_up and not node.leaving]

    def _note(self, text: str) -> None:
        self.result.faults.append(f"{self.world.now_ns / 1e9:.1f}s {text}")

    def _crash(self) -> None:
        up = self._up()
        if len(up) <= 2:
            return
        node = self.random.choice(up)
        self._note(f"crash {node.name}")
        self.world.crash(node)
        self.truth.stopped(node)

    def _restart(self) -> None:
        down = [node for node in self.world.nodes.values() if not node.is_up and node.name not in self.truth.left]
        if not down:
            return
        node = self.random.choice(down)
        self._note(f"restart {node.name}")
        self.world.start(node)
        self.truth.started(node, self.world.now_ns)

    def _pause(self) -> None:
        node = self.random.choice(self._up())
        self._note(f"pause {node.name}")
        self.world.pause(node, self.random.randint(500, 15_000) * MILLISECOND_NS)

    def _split(self) -> None:
        self._note("split")
        self.world.network.sides = {node.host: self.random.randint(0, 1) for node in self.world.nodes.values()}

    def _cut(self) -> None:
        hosts = [node.host for node in self.world.nodes.values()]
        one, other = self.random.sample(hosts, 2)
        self._note(f"cut {one} to {other}")
        self.world.network.cut.add((one, other))

    def _mend(self) -> None:
        self.world.network.sides.clear()
        self.world.network.cut.clear()

    def _leave(self) -> None:
        up = self._up()
        if len(up) <= 3 or self.random.random() < 0.5:
            return
        node = self.random.choice(up)
        self._note(f"leave {node.name}")
        self.world.leave(node)
        self.truth.leaves(node)
        self.world.at(self.world.now_ns + 15 * SECOND_NS, self._gone, node)

    def _gone(self, node: SimNode) -> None:
        if node.is_up:
            self.world.crash(node)

    def _fire(self) -> None:
        up = self._up()
        node = self.random.choice(up)
        self._fired += 1
        name = f"event{self._fired}"
        self.world.fire(node, name)
        self.truth.fired(name, node, self.world)

    # --- the end ---

    def _heal(self) -> None:
        self._mend()
        network = self.world.network
        network.loss = min(network.loss, 0.02)
        network.max_delay_ns = 2 * MILLISECOND_NS
        for node in self.world.nodes.values():
            node.paused_until_ns = 0

    def _converge(self) -> None:
        start_ns = self.world.now_ns
        while self.world.now_ns < start_ns + CONVERGENCE_LIMIT_NS:
            self.world.run_until(self.world.now_ns + CHECK_EVERY_NS)
            if not disagreements(self.world, self.truth) and not self.truth.missing_events(self.world):
                break
        self.result.converged_after_s = (self.world.now_ns - start_ns) / 1e9
        check_convergence(self.world, self.truth, self.seed)
        settled_ns = self.world.now_ns
        self.world.run_until(settled_ns + STABLE_NS)
        check_stability(self.world, self.truth, settled_ns, self.seed)
