"""What goes wrong in a run, chosen by the seed: a fault about every `PAUSE`, and everything well at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from raftd.core.api import ChangeKind, ConfigurationChange, RaftError
from sim.clock import Timeline
from sim.network import MS, Network, NetworkFaults
from sim.raft_server import Server

Trace = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Climate:
    """What kind of trouble a seed is about."""

    name: str
    weights: dict[str, int]
    """How often which act, where not once in a while."""
    pause_max_ns: int = 400 * MS
    sync_max_ns: int = 4 * MS
    """How slow the disks are."""
    narrow_draws: bool = False
    """Random timeouts hardly differ: candidates collide."""
    leader_hazard_permille: int = 0
    """How often a new leader is struck at once."""
    lasting_loss_permille: int = 0
    """Of all messages, always."""
    changes_at_once: tuple[int, ...] = (1, 1, 3)
    """How many membership changes are asked for in one act: one of these."""


CLIMATES = (
    Climate("mixed", {}),
    Climate("mixed", {}, pause_max_ns=150 * MS, sync_max_ns=15 * MS),
    Climate(
        "power",
        {"cut_power": 12, "cut_power_everywhere": 5, "restart": 16, "heal": 8},
        pause_max_ns=150 * MS,
        sync_max_ns=40 * MS,
        leader_hazard_permille=300,
    ),
    Climate(
        "elections",
        {"isolate_leader": 10, "heal": 14, "split": 8, "cut_power": 8, "restart": 16, "change_membership": 0},
        pause_max_ns=200 * MS,
        sync_max_ns=15 * MS,
        narrow_draws=True,
        leader_hazard_permille=600,
        lasting_loss_permille=50,
    ),
    Climate(
        "leases",
        {"one_way": 12, "pause": 12, "kill_process": 10, "restart": 20, "resume": 10, "transfer": 25, "split": 1},
        pause_max_ns=120 * MS,
    ),
    Climate(
        "loyalty",
        {
            "one_way": 6,
            "heal": 6,
            "bounce": 50,
            "restart": 10,
            "split": 0,
            "isolate_leader": 0,
            "kill_process": 0,
            "cut_power": 0,
            "pause": 0,
            "change_membership": 0,
            "weather": 0,
            "transfer": 0,
        },
        pause_max_ns=80 * MS,
    ),
    Climate(
        "churn",
        {"heal": 2, "restart": 6, "change_membership": 0, "isolate_leader": 0, "split": 0, "pause": 0, "one_way": 1},
        sync_max_ns=10 * MS,
        narrow_draws=True,
        leader_hazard_permille=900,
    ),
    Climate(
        "members",
        {"change_membership": 40, "split": 10, "isolate_leader": 8, "heal": 16},
        pause_max_ns=120 * MS,
        changes_at_once=(1, 3, 5),
    ),
)


class Faults:
    """Breaks and mends the cluster, one act at a time."""

    def __init__(
        self,
        servers: dict[str, Server],
        network: Network,
        timeline: Timeline,
        random: Random,
        trace: Trace,
        climate: Climate,
    ) -> None:
        self._timeline = timeline
        self._servers = servers
        self._network = network
        self._random = random
        self._trace = trace
        self._network.faults.loss_permille = climate.lasting_loss_permille
        self._climate = climate
        self._acts: tuple[tuple[str, int, Callable[[], str]], ...] = (
            ("isolate_leader", 4, self._isolate_leader),
            ("split", 4, self._split),
            ("one_way", 3, self._one_way),
            ("heal", 6, self._heal),
            ("kill_process", 3, self._kill_process),
            ("cut_power", 3, self._cut_power),
            ("cut_power_everywhere", 1, self._cut_power_everywhere),
            ("restart", 6, self._restart),
            ("bounce", 2, self._bounce),
            ("pause", 3, self._pause),
            ("resume", 4, self._resume),
            ("weather", 3, self._weather),
            ("change_membership", 6, self._change_membership),
            ("transfer", 3, self._transfer),
        )

    def act(self) -> None:
        """Do one thing."""
        weights = [self._climate.weights.get(name, weight) for name, weight, _ in self._acts]
        ((_, _, action),) = self._random.choices(self._acts, weights)
        self._trace(action())

    def strike(self, server: Server) -> None:
        """Something happens to this server right now, and ends soon."""
        dice = self._random.random()
        if dice < 0.5:
            server.kill(power=True)
            self._trace(f"{server.id} struck: lost power")
        else:
            self._network.isolate(server.id, self._servers)
            self._trace(f"{server.id} struck: isolated")
        self._timeline.after(self._random.randint(50 * MS, 400 * MS), lambda: self._recover(server))

    def _recover(self, server: Server) -> None:
        self._network.heal()
        if server.raft is None:
            server.start()
        self._trace(f"{server.id} recovers")

    def mend(self) -> None:
        """Repair everything."""
        self._network.heal()
        self._network.faults = NetworkFaults()
        for server in self._servers.values():
            server.narrow_draws = False
            if server.paused:
                server.resume()
            if server.raft is None:
                server.start()
        self._trace("everything mended")

    def _any(self) -> Server:
        return self._random.choice(list(self._servers.values()))

    def _leader(self) -> Server | None:
        leaders = [server for server in self._servers.values() if server.is_leader]
        return self._random.choice(leaders) if leaders else None

    def _isolate_leader(self) -> str:
        leader = self._leader() or self._any()
        self._network.isolate(leader.id, self._servers)
        return f"{leader.id} isolated"

    def _split(self) -> str:
        names = list(self._servers)
        self._random.shuffle(names)
        size = self._random.randint(1, len(names) - 1)
        self._network.cut(names[:size], names[size:])
        self._network.cut(names[size:], names[:size])
        return f"split: {sorted(names[:size])} | {sorted(names[size:])}"

    def _one_way(self) -> str:
        leader = self._leader() or self._any()
        self._network.heal()
        source, target = self._random.sample(list(self._servers), 2)
        if self._random.random() < 0.5 and target != leader.id:
            source = leader.id
        self._network.cut([source], [target])
        if self._random.random() < 0.5:
            self._network.cut([target], [source])
            return f"nothing passes between {source} and {target}"
        return f"nothing passes from {source} to {target}"

    def _heal(self) -> str:
        self._network.heal()
        return "network healed"

    def _kill_process(self) -> str:
        server = self._any()
        server.kill(power=False)
        return f"{server.id} killed"

    def _cut_power(self) -> str:
        server = self._any()
        server.kill(power=True)
        return f"{server.id} lost power"

    def _cut_power_everywhere(self) -> str:
        for server in self._servers.values():
            server.kill(power=True)
            server.start()
        return "all lost power and started again"

    def _restart(self) -> str:
        down = [server for server in self._servers.values() if server.raft is None]
        for server in down:
            server.start()
        return f"started: {[server.id for server in down]}"

    def _bounce(self) -> str:
        server = self._any()
        server.kill(power=self._random.random() < 0.5)
        if server.raft is None:
            server.start()
        return f"{server.id} restarted at once"

    def _pause(self) -> str:
        server = self._any()
        server.paused = server.raft is not None
        return f"{server.id} paused"

    def _resume(self) -> str:
        for server in self._servers.values():
            if server.paused:
                server.resume()
        return "all resumed"

    def _weather(self) -> str:
        random = self._random
        self._network.faults = NetworkFaults(
            loss_permille=max(self._climate.lasting_loss_permille, random.choice((0, 0, 20, 100, 300))),
            duplicate_permille=random.choice((0, 50, 200)),
            slow_permille=random.choice((0, 20, 100)),
            slow_max_ns=random.choice((20, 100, 500)) * MS,
        )
        return f"{self._network.faults}"

    def _change_membership(self) -> str:
        return "; ".join(self._change_one() for _ in range(self._random.choice(self._climate.changes_at_once)))

    def _change_one(self) -> str:
        leader = self._leader()
        if leader is None or leader.raft is None or leader.paused:
            return "no leader to change members"
        target = self._any()
        members = leader.raft.configuration
        if members.get(target.id) is None:
            kind = self._random.choice((ChangeKind.ADD_NONVOTER, ChangeKind.ADD_VOTER))
        elif members.is_voter(target.id):
            if len(members.voters) <= 2 and self._random.random() < 0.8:
                return "two voters are few enough"
            kind = self._random.choice((ChangeKind.REMOVE, ChangeKind.DEMOTE))
        else:
            kind = self._random.choice((ChangeKind.ADD_VOTER, ChangeKind.ADD_VOTER, ChangeKind.REMOVE))
        try:
            leader.raft.propose_configuration_change(
                leader.now_ns, ConfigurationChange(kind, target.id, f"{target.id}:8300")
            )
        except RaftError as error:
            return f"{kind} {target.id} through {leader.id}: {error}"
        leader.drain()
        return f"{kind} {target.id} through {leader.id}"

    def _transfer(self) -> str:
        leader = self._leader()
        if leader is None or leader.raft is None or leader.paused:
            return "no leader to replace"
        try:
            target = leader.raft.transfer_leadership(leader.now_ns)
        except RaftError as error:
            return f"transfer from {leader.id}: {error}"
        leader.drain()
        if self._random.random() < 0.5:
            self._timeline.after(self._random.randint(0, 3 * MS), lambda: self.strike(leader))
        return f"transfer from {leader.id} to {target}"
