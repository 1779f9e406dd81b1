"""Whole Raft clusters under one seed.

python -m sim.raft --seed 7 -v        one run, with everything that happened
python -m sim.raft --seeds 0-999      many, on all cores; prints the seeds that fail
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from random import Random

from raftd.core.api import Configuration, RaftConfig, Ready, RoleName
from raftd.core.api import Server as Member
from sim.clock import Timeline
from sim.network import MS, Network
from sim.raft_checks import RaftChecks, RegisterHistory, demand
from sim.raft_clients import Client
from sim.raft_faults import CLIMATES, Faults
from sim.raft_server import Server

TIMEOUT_NS = 100 * MS
"""Heartbeat and election timeout of the simulated servers; everything else is in proportion."""
FAULTY_NS = 10_000 * MS
HEALING_NS = 4_000 * MS
CLIENTS = 4
PROGRESS_NS = 1_500 * MS
"""Within this time of being mended, a cluster must have acknowledged a write."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run went."""

    seed: int
    failure: str = ""
    events: int = 0
    writes: int = 0
    reads: int = 0
    terms: int = 0


def server_config(name: str, random: Random) -> RaftConfig:
    """Consul's proportions at a tenth of its scale, with limits so tiny that every one of them is met."""
    return RaftConfig(
        id=name,
        heartbeat_timeout_ns=TIMEOUT_NS,
        election_timeout_ns=TIMEOUT_NS,
        lease_timeout_ns=TIMEOUT_NS // 2,
        quorum_timeout_ns=TIMEOUT_NS,
        sole_voter_lease_ns=TIMEOUT_NS // 5,
        commit_notice_ns=2 * MS,
        snapshot_retry_ns=40 * MS,
        read_timeout_ns=TIMEOUT_NS,
        append_max_bytes=400,
        append_max_entries=random.choice((1, 4, 64)),
        inflight_max_messages=random.choice((1, 3, 32)),
        log_cache_max_bytes=random.choice((0, 400, 1 << 20)),
        apply_max_bytes=300,
        apply_inflight_max_bytes=600,
        uncommitted_max_bytes=4000,
        snapshot_chunk_bytes=random.choice((64, 4096)),
    )


class Cluster:
    """Servers, network, clients, faults and checkers of one seed."""

    def __init__(self, seed: int, verbose: bool = False, climate_name: str = "") -> None:
        self.random = Random(seed)
        self.verbose = verbose
        self.timeline = Timeline()
        self.network = Network(self.timeline, Random(self.random.random()), self._deliver)
        self.checks = RaftChecks()
        self.history = RegisterHistory()
        self.servers: dict[str, Server] = {}
        size = self.random.choice((3, 3, 5))
        spare = self.random.choice((0, 1, 2))
        snapshot_every = self.random.choice((10, 30, 100))
        trailing = self.random.choice((0, 3, 20))
        self.climate = climate = self.random.choice(
            [climate for climate in CLIMATES if climate_name in ("", climate.name)]
        )
        self._struck_terms: set[int] = set()
        self._mended = False
        self.checks.servers = self.servers
        for number in range(size + spare):
            name = f"s{number}"
            self.servers[name] = Server(
                server_config(name, self.random),
                self.timeline,
                self.network,
                Random(self.random.random()),
                self,
                snapshot_every,
                trailing,
                climate.sync_max_ns,
                climate.narrow_draws,
            )
        self.trace(f"seed {seed}: {size} servers, {spare} spare, climate {climate.name}")
        self.trace(f"snapshot every {snapshot_every} entries, keep {trailing} more")
        first = Configuration(tuple(Member(f"s{number}", f"s{number}:8300") for number in range(size)))
        for server in self.servers.values():
            server.start()
            if first.is_voter(server.id):
                assert server.raft is not None
                server.raft.bootstrap(server.now_ns, first)
                server.drain()
        self.faults = Faults(
            self.servers, self.network, self.timeline, Random(self.random.random()), self.trace, climate
        )
        self.clients = [
            Client(f"c{number}", self.servers, self.timeline, Random(self.random.random()), self.history)
            for number in range(CLIENTS)
        ]

    # --- what the servers tell --------------------------------------------------------------------------------

    def _deliver(self, target: str, message: object) -> None:
        if self.verbose:
            self.trace(f"      {target} receives {message}")
        self.servers[target].receive(message)  # type: ignore[arg-type]

    def made_ready(self, server: Server, ready: Ready) -> None:
        """See `RaftChecks`."""
        if self.verbose:
            if ready.soft_state is not None:
                self.trace(f"  {server.id} {ready.soft_state}")
            if ready.sequence:
                spans = [(entry.index, entry.term) for entry in ready.entries]
                self.trace(f"  {server.id} writes {ready.sequence}: {ready.hard_state} {spans} {ready.log_reset}")
        self.checks.made_ready(server, ready)
        soft_state = ready.soft_state
        if soft_state is not None and soft_state.role == RoleName.LEADER and soft_state.term not in self._struck_terms:
            self._struck_terms.add(soft_state.term)
            if not self._mended and self.random.randrange(1000) < self.climate.leader_hazard_permille:
                self.timeline.after(self.random.randint(0, 25 * MS), lambda: self._strike(server))

    def _strike(self, server: Server) -> None:
        if not self._mended:
            self.faults.strike(server)

    def applied(self, server: Server, entry: object) -> None:
        """See `RaftChecks`."""
        self.checks.applied(server, entry)  # type: ignore[arg-type]

    def restored(self, server: Server, meta: object) -> None:
        """See `RaftChecks`."""
        self.trace(f"  {server.id} restores {meta}")
        self.checks.restored(server, meta)  # type: ignore[arg-type]

    def trace(self, text: str) -> None:
        """One line of what happened."""
        if self.verbose:
            print(f"{self.timeline.now_ns / MS:12.3f} {text}")

    # --- the run ----------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Faults, then healing; returns the number of events. Raises AssertionError when a rule is broken."""
        events = self.timeline.run_until(300 * MS)
        while self.timeline.now_ns < FAULTY_NS:
            self.faults.act()
            events += self.timeline.run_until(
                self.timeline.now_ns + self.random.randint(10 * MS, self.climate.pause_max_ns)
            )
        self._mended = True
        self.faults.mend()
        mended_ns = self.timeline.now_ns
        events += self.timeline.run_until(mended_ns + PROGRESS_NS)
        latest_ns = max(client.last_write_acknowledged_ns for client in self.clients)
        demand(latest_ns > mended_ns, f"liveness: no write acknowledged within {PROGRESS_NS // MS} ms of healing")
        for client in self.clients:
            client.stopped = True
        events += self.timeline.run_until(mended_ns + HEALING_NS)
        self._check_end()
        return events

    def _check_end(self) -> None:
        leaders = [server for server in self.servers.values() if server.is_leader]
        demand(len(leaders) == 1, f"liveness: leaders after healing: {[leader.id for leader in leaders]}")
        raft = leaders[0].raft
        assert raft is not None
        self.timeline.run_until(self.timeline.now_ns + TIMEOUT_NS)
        self.checks.check_converged([self.servers[name] for name in raft.configuration.ids])


def run_seed(seed: int, verbose: bool = False, climate_name: str = "") -> Result:
    """One run, in the climate the seed chooses or in the one named."""
    cluster = Cluster(seed, verbose, climate_name)
    try:
        events = cluster.run()
    except AssertionError as error:
        if verbose:
            raise
        return Result(seed, f"{type(error).__name__}: {error}")
    history = cluster.history
    return Result(seed, "", events, history.writes, sum(history.reads.values()), len(cluster.checks.leaders))


def run_seeds(seeds: Iterable[int], processes: int | None = None) -> list[Result]:
    """Many runs, in several new processes: a fork would take over what threads of this one hold."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(run_seed, seeds, chunksize=4))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="simulate Raft clusters")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", default="0-199", help="first-last")
    parser.add_argument("--climate", default="", help="of a single seed: " + ", ".join(c.name for c in CLIMATES))
    parser.add_argument("--processes", type=int, default=None)
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    if options.seed is not None:
        results = [run_seed(options.seed, options.verbose, options.climate)]
    else:
        first, _, last = options.seeds.partition("-")
        results = run_seeds(range(int(first), int(last or first) + 1), options.processes)
    failed = [result for result in results if result.failure]
    for result in failed:
        print(f"seed {result.seed}: {result.failure}")
    done = [result for result in results if not result.failure]
    print(
        f"{len(results)} runs, {len(failed)} failed, {sum(r.events for r in done)} events, "
        f"{sum(r.writes for r in done)} writes, {sum(r.reads for r in done)} reads, {sum(r.terms for r in done)} terms"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
