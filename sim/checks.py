"""The checks of one node under one seed: `python -m sim.checks --seeds 1-1000`.

The real core (`checkd.core.node`) lives through hours of virtual time: services and checks come and go, runs take
their time and end passing, warning or critical, clients renew TTLs or forget to. Checked all along: never more runs at
once than allowed; a check never overlaps itself; every check runs again in time; results count exactly as a
deliberately simple second counting says; a TTL is critical exactly when its client was late; what left no longer runs.
"""

from __future__ import annotations

import argparse
import heapq
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from checkd.core.definitions import CheckDefinition
from checkd.core.duration import SECOND_NS
from checkd.core.effects import RunCheck
from checkd.core.node import Node, NodeSettings
from checkd.core.records import Moment

DURATION_S = 3600
MAX_RUNNING = 8
MAX_CHECKS = 40
STEP_NS = SECOND_NS
RESULTS = ("passing", "passing", "passing", "warning", "critical", "critical")
START_UNIX_NS = 1_600_000_000 * SECOND_NS
# Held-back checks wait in order of arrival, so at most for the runs of all others.
LATENESS_FACTOR = 2


class SimulationError(AssertionError):
    """A rule was broken; the text says which, and when."""


@dataclass
class Expected:
    """The second counting of one check: all results so far, and what must be shown."""

    definition: CheckDefinition
    status: str
    results: list[str] = field(default_factory=list)
    last_end_ns: int = 0
    due_ns: int = 0

    def take(self, result: str) -> None:
        """Count by looking at the whole list again."""
        self.results.append(result)
        good = [each != "critical" for each in self.results]
        streak = 0
        for each in reversed(good):
            if each != good[-1]:
                break
            streak += 1
        whole_history = streak == len(good)
        need = self.definition.success_before_passing if good[-1] else self.definition.failures_before_critical
        # Both counters start at their thresholds, so an unbroken run from the beginning always counts.
        if whole_history or streak >= need:
            self.status = result


class World:
    """One node, its time, and the runs that are out."""

    def __init__(self, seed: int, mutate: Callable[[Node], None] | None = None) -> None:
        self.random = Random(seed)
        self.now_ns = SECOND_NS
        self.node = Node(NodeSettings("n1", max_running=MAX_RUNNING), Random(seed + 1), self.moment)
        if mutate is not None:
            mutate(self.node)
        self.expected: dict[str, Expected] = {}
        self.out: list[tuple[int, int, str, int]] = []
        self.running: set[str] = set()
        self.runs = 0

    @property
    def moment(self) -> Moment:
        return Moment(self.now_ns, START_UNIX_NS + self.now_ns)

    def play(self, duration_s: int = DURATION_S) -> int:
        """Live for so long; how many runs there were. Raises SimulationError."""
        end_ns = self.now_ns + duration_s * SECOND_NS
        next_step_ns = self.now_ns
        while self.now_ns < end_ns:
            moments = [next_step_ns, self.node.wake_at_ns(), *([self.out[0][0]] if self.out else [])]
            self.now_ns = max(self.now_ns, min(moments))
            while self.out and self.out[0][0] <= self.now_ns:
                self._end(*heapq.heappop(self.out)[2:])
            if self.now_ns >= next_step_ns:
                self._step()
                next_step_ns = self.now_ns + self.random.randrange(1, 20) * STEP_NS
            self.node.tick(self.moment)
            self._collect()
            self._compare()
        return self.runs

    def _step(self) -> None:
        ids = sorted(self.expected)
        ttls = [key for key in ids if self.expected[key].definition.ttl_ns]
        choice = self.random.random()
        if choice < 0.4 and len(ids) < MAX_CHECKS:
            self._register(f"c{self.random.randrange(MAX_CHECKS)}")
        elif choice < 0.5 and ids:
            gone = self.random.choice(ids)
            self.node.deregister_check(gone, self.moment)
            del self.expected[gone]
            self.running.discard(gone)
        elif ttls:
            renewed = self.random.choice(ttls)
            status = self.random.choice(RESULTS)
            self.node.update_ttl(renewed, status, "told", self.moment)
            expected = self.expected[renewed]
            expected.status, expected.due_ns = status, self.now_ns + expected.definition.ttl_ns

    def _register(self, check_id: str) -> None:
        seconds = self.random.randrange(1, 60) * SECOND_NS
        is_ttl = self.random.random() < 0.3
        definition = CheckDefinition(
            check_id=check_id,
            name=check_id,
            tcp="" if is_ttl else "localhost:1",
            interval_ns=0 if is_ttl else seconds,
            ttl_ns=seconds if is_ttl else 0,
            success_before_passing=self.random.randrange(4),
            failures_before_critical=self.random.randrange(4),
        )
        known = self.expected.get(check_id)
        self.node.register_check(definition, self.moment)
        self.running.discard(check_id)
        status = known.status if known is not None else "critical"
        self.expected[check_id] = Expected(
            definition, status, last_end_ns=self.now_ns, due_ns=self.now_ns + definition.ttl_ns
        )

    def _collect(self) -> None:
        for effect in self.node.take_effects():
            if not isinstance(effect, RunCheck):
                continue
            expected = self.expected.get(effect.check_id)
            if expected is None:
                raise self._broken(f"{effect.check_id} runs although it is gone")
            if effect.check_id in self.running:
                raise self._broken(f"{effect.check_id} overlaps itself")
            self.running.add(effect.check_id)
            self.runs += 1
            if len(self.running) > MAX_RUNNING:
                raise self._broken(f"{len(self.running)} runs at once")
            takes_ns = self.random.randrange(1, 3 * SECOND_NS)
            heapq.heappush(self.out, (self.now_ns + takes_ns, self.runs, effect.check_id, effect.token))

    def _end(self, check_id: str, token: int) -> None:
        result = self.random.choice(RESULTS)
        current = self.node.scheduler.running_token(check_id) == token
        self.node.take_result(check_id, token, result, "ran", self.moment)
        if current:
            self.running.discard(check_id)
            self.expected[check_id].take(result)
            self.expected[check_id].last_end_ns = self.now_ns

    def _compare(self) -> None:
        slack_ns = LATENESS_FACTOR * 3 * SECOND_NS * MAX_CHECKS // MAX_RUNNING
        for check_id, expected in self.expected.items():
            entry = self.node.state.check(check_id)
            if entry is None:
                raise self._broken(f"{check_id} is lost")
            if expected.definition.ttl_ns and self.now_ns >= expected.due_ns:
                expected.status = "critical"
            if entry.check.status != expected.status:
                raise self._broken(f"{check_id} shows {entry.check.status}, counted {expected.status}")
            late_ns = self.now_ns - expected.last_end_ns - expected.definition.interval_ns
            if expected.definition.tcp and check_id not in self.running and late_ns > slack_ns:
                raise self._broken(f"{check_id} has not run for too long")

    def _broken(self, what: str) -> SimulationError:
        return SimulationError(f"at {self.now_ns / SECOND_NS:.3f} s: {what}")


def simulate(seed: int, mutate: Callable[[Node], None] | None = None, duration_s: int = DURATION_S) -> int:
    """One life; how many runs it had. Raises SimulationError with the seed."""
    try:
        return World(seed, mutate).play(duration_s)
    except (AssertionError, KeyError) as error:
        raise SimulationError(f"seed {seed}: {error}") from error


def main() -> int:
    """Simulate the seeds asked for; 1 at the first failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1-200", help="first-last")
    first, _, last = parser.parse_args().seeds.partition("-")
    runs = 0
    for seed in range(int(first), int(last or first) + 1):
        try:
            runs += simulate(seed)
        except SimulationError as error:
            print(error)
            return 1
    print(f"checks: seeds {first} to {last or first}: {runs} runs, all rules kept")
    return 0


if __name__ == "__main__":
    sys.exit(main())
