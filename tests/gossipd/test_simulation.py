"""Whole pools of the real core under one seed: they agree in the end, and the checkers find known bugs."""

import pytest

from sim.gossip_bugs import BUGS, injected
from sim.gossip_checks import CheckFailed
from sim.gossip_scenario import Scenario

SEEDS_PER_TEST = 20
BUG_SEEDS = range(1, 61)


@pytest.mark.parametrize("first", range(1, 201, SEEDS_PER_TEST))
def test_pools_converge_and_stay_accurate(first: int) -> None:
    for seed in range(first, first + SEEDS_PER_TEST):
        Scenario(seed).run()


@pytest.mark.parametrize("bug", BUGS)
def test_an_injected_bug_is_found(bug: str) -> None:
    with injected(bug):
        for seed in BUG_SEEDS:
            try:
                Scenario(seed).run()
            except CheckFailed:
                return
    pytest.fail(f"no seed of {BUG_SEEDS} finds the bug: {bug}")


def test_a_seed_replays_exactly() -> None:
    one, other = Scenario(5), Scenario(5)
    one.run()
    other.run()
    assert one.world.events == other.world.events
    assert one.world.traffic == other.world.traffic
