"""The scheduling core in the simulator: the rules hold, and the simulator sees when they do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from checkd.core.node import Node
from checkd.core.status import CRITICAL, Threshold, Verdict
from sim.checks import SimulationError, simulate

SEEDS = 60


def test_the_rules_hold_for_many_seeds() -> None:
    runs = sum(simulate(seed, duration_s=1800) for seed in range(SEEDS))
    assert runs > 10_000


def no_limit(node: Node) -> None:
    node.scheduler.max_running = 1000


def never_again(node: Node) -> None:
    original = node.scheduler.finished

    def finished(check_id: str, token: int, now_ns: int) -> bool:
        done = original(check_id, token, now_ns)
        if done and check_id == "c1":
            node.scheduler._tokens.pop(check_id)
        return done

    node.scheduler.finished = finished  # type: ignore[method-assign]


def no_expiry(node: Node) -> None:
    node._expire_ttl = lambda check_id, now: None  # type: ignore[method-assign]


def overlapping(node: Node) -> None:
    original = node.scheduler.due

    def due(now_ns: int) -> list[tuple[str, int]]:
        runs = original(now_ns)
        return runs + runs[:1]

    node.scheduler.due = due  # type: ignore[method-assign]


@pytest.mark.parametrize("bug", [no_limit, never_again, no_expiry, overlapping])
def test_the_simulator_finds_a_bug_put_in(bug: Callable[[Node], None]) -> None:
    with pytest.raises(SimulationError, match="seed"):
        for seed in range(SEEDS):
            simulate(seed, bug, duration_s=1800)


def test_the_simulator_finds_counters_that_do_not_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Threshold.count

    def count(self: Threshold, result: str) -> tuple[str | None, Verdict]:
        failures = self.failures
        outcome = original(self, result)
        if result != CRITICAL:
            self.failures = failures
        return outcome

    monkeypatch.setattr(Threshold, "count", count)
    with pytest.raises(SimulationError, match="seed"):
        for seed in range(SEEDS):
            simulate(seed, duration_s=1800)
