"""Whole Raft clusters under many seeds, and the proof that the checkers see what they are for."""

import pytest

from sim.mutations import MUTATIONS, seeds_to_find
from sim.raft import Cluster, run_seeds

SEEDS = range(300)
SEEDS_TO_FIND_MAX = 60
PROCESSES = 2


def test_no_rule_is_broken_under_any_seed() -> None:
    results = run_seeds(SEEDS, PROCESSES)
    failed = [f"seed {result.seed}: {result.failure}" for result in results if result.failure]
    assert not failed, "\n".join(failed) + "\nreplay: python -m sim.raft --seed N -v"
    assert sum(result.writes for result in results) > 30 * len(results), "the runs hardly wrote anything"
    assert sum(result.reads for result in results) > 100 * len(results), "the runs hardly read anything"
    assert sum(result.terms for result in results) > 5 * len(results), "the runs hardly elected anybody"


def test_a_seed_replays_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    traces = []
    for _ in range(2):
        Cluster(11, verbose=True).run()
        traces.append(capsys.readouterr().out)
    assert len(traces[0]) > 10_000
    assert traces[0] == traces[1]


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_checkers_find(name: str) -> None:
    count, failure = seeds_to_find(name, SEEDS_TO_FIND_MAX)
    assert count, f"{name} was not found in {SEEDS_TO_FIND_MAX} seeds"
    assert failure
