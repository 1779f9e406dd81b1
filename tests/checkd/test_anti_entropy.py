"""When full and partial syncs are due."""

from __future__ import annotations

from random import Random

import pytest

from checkd.core.anti_entropy import GATHER_NS, SyncSchedule, Work, scale_factor
from checkd.core.coordinate_pace import coordinate_wait_ns

SECOND_NS = 10**9
MINUTE_NS = 60 * SECOND_NS


@pytest.mark.parametrize(("nodes", "factor"), [(1, 1), (128, 1), (129, 2), (256, 2), (512, 3), (1000, 4), (8192, 7)])
def test_intervals_stretch_with_the_cluster(nodes: int, factor: int) -> None:
    assert scale_factor(nodes) == factor


def test_a_comparison_comes_at_start_and_then_every_interval_or_up_to_two() -> None:
    schedule = SyncSchedule(Random(1), MINUTE_NS, 0)
    assert schedule.due(0) is Work.FULL
    schedule.full_done(0)
    assert schedule.due(MINUTE_NS - 1) is None
    assert MINUTE_NS <= schedule.wake_at_ns() < 2 * MINUTE_NS


def test_a_change_is_due_at_once_unless_the_last_comparison_failed() -> None:
    schedule = SyncSchedule(Random(1), MINUTE_NS, 0)
    schedule.full_done(0)
    schedule.changed(5)
    assert schedule.due(5) is Work.PARTIAL and schedule.due(6) is None
    schedule.full_failed(10, reachable=True)
    schedule.changed(11)
    assert schedule.due(11) is None
    assert 15 * SECOND_NS <= schedule.wake_at_ns() - 10 <= 30 * SECOND_NS


def test_changes_right_after_one_was_sent_gather_and_go_together() -> None:
    schedule = SyncSchedule(Random(1), MINUTE_NS, 0)
    schedule.full_done(0)
    schedule.changed(5)
    assert schedule.due(5) is Work.PARTIAL
    schedule.changed(6)
    schedule.changed(GATHER_NS)
    assert schedule.due(GATHER_NS + 4) is None and schedule.wake_at_ns() == GATHER_NS + 5
    assert schedule.due(GATHER_NS + 5) is Work.PARTIAL
    schedule.changed(3 * GATHER_NS)
    assert schedule.due(3 * GATHER_NS) is Work.PARTIAL


def test_a_change_during_the_comparison_that_succeeds_again_is_not_forgotten() -> None:
    schedule = SyncSchedule(Random(1), MINUTE_NS, 0)
    schedule.full_failed(0, reachable=False)
    schedule.changed(1)
    assert schedule.due(SECOND_NS) is Work.FULL
    schedule.changed(SECOND_NS + 1)
    schedule.full_done(SECOND_NS + 2)
    assert schedule.due(SECOND_NS + 2) is Work.PARTIAL
    assert schedule.due(SECOND_NS + 3) is None


def test_a_leader_brings_the_next_comparison_within_three_seconds_and_sooner_on_few_nodes() -> None:
    schedule = SyncSchedule(Random(1), MINUTE_NS, 0)
    schedule.nodes = 200
    schedule.full_failed(0, reachable=True)
    schedule.leader_found(0)
    assert schedule.wake_at_ns() <= 3 * SECOND_NS * scale_factor(200)
    schedule.nodes = 3
    schedule.leader_found(0)
    assert schedule.wake_at_ns() <= SECOND_NS // 10


def test_an_absent_local_api_is_asked_again_soon() -> None:
    schedule = SyncSchedule(Random(1), MINUTE_NS, 0)
    schedule.full_failed(0, reachable=False)
    assert schedule.wake_at_ns() < SECOND_NS
    schedule.full_done(0)
    schedule.partial_failed(0, reachable=False)
    assert schedule.wake_at_ns() < SECOND_NS


def test_coordinates_keep_the_whole_cluster_below_its_rate() -> None:
    random = Random(1)
    small = [coordinate_wait_ns(random, 3, 15 * SECOND_NS, 64.0) for _ in range(100)]
    large = [coordinate_wait_ns(random, 6400, 15 * SECOND_NS, 64.0) for _ in range(100)]
    assert min(small) >= 15 * SECOND_NS and max(small) < 30 * SECOND_NS
    assert min(large) >= 100 * SECOND_NS and max(large) < 200 * SECOND_NS
