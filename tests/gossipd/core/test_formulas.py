"""The formulas, as tables."""

from random import Random

import pytest

from gossipd.core.awareness import Awareness
from gossipd.core.broadcasts import BroadcastQueue
from gossipd.core.config import SECOND_NS
from gossipd.core.coordinate import HEIGHT_MIN_S, Coordinate, CoordinateClient, CoordinateError
from gossipd.core.events import RecentBuffer
from gossipd.core.formulas import (
    push_pull_interval_ns,
    query_timeout_ns,
    retransmit_limit,
    suspicion_min_ns,
    suspicion_remaining_ns,
)
from gossipd.core.lamport import LamportClock
from gossipd.core.suspicion import Suspicion


@pytest.mark.parametrize(("nodes", "limit"), [(1, 4), (9, 4), (10, 8), (99, 8), (100, 12), (10_000, 20)])
def test_retransmissions_grow_with_the_digits_of_the_pool(nodes: int, limit: int) -> None:
    assert retransmit_limit(4, nodes) == limit


@pytest.mark.parametrize(("nodes", "seconds"), [(1, 4), (10, 4), (100, 8), (1000, 12), (10_000, 16)])
def test_shortest_suspicion(nodes: int, seconds: int) -> None:
    assert suspicion_min_ns(4, nodes, SECOND_NS) == seconds * SECOND_NS


@pytest.mark.parametrize(
    ("confirmations", "expected", "elapsed_s", "remaining_s"),
    # memberlist's own table for 2 s to 30 s: each confirmation counts less than the one before.
    [(0, 3, 0, 30), (1, 3, 2, 14), (2, 3, 3, 4.810), (3, 3, 4, -2), (4, 3, 5, -3), (5, 3, 10, -8)],
)
def test_confirmations_shorten_a_suspicion(
    confirmations: int, expected: int, elapsed_s: int, remaining_s: float
) -> None:
    remaining_ns = suspicion_remaining_ns(confirmations, expected, elapsed_s * SECOND_NS, 2 * SECOND_NS, 30 * SECOND_NS)
    assert remaining_ns == pytest.approx(remaining_s * SECOND_NS, abs=1e6)


def test_only_new_confirmers_count_and_only_as_many_as_expected() -> None:
    suspicion = Suspicion("a", 2, 1, 100, 0, 1)
    assert [suspicion.maybe_confirm(sender) for sender in ("a", "b", "b", "c", "d")] == [
        False,
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(("nodes", "factor"), [(2, 1), (32, 1), (33, 2), (64, 2), (65, 3), (5000, 9)])
def test_push_pull_gets_rarer_in_large_pools(nodes: int, factor: int) -> None:
    assert push_pull_interval_ns(30, nodes) == 30 * factor


def test_default_query_timeout_is_sixteen_gossip_intervals_per_digit() -> None:
    assert query_timeout_ns(200, 16, 100) == 200 * 16 * 3


def test_awareness_stays_within_its_bounds_and_scales() -> None:
    awareness = Awareness(8)
    scores = []
    for delta in (-1, 1, 1, 20, -1, -20):
        awareness.apply(delta)
        scores.append(awareness.score)
    assert scores == [0, 1, 2, 7, 6, 0]
    awareness.apply(2)
    assert awareness.scaled(100) == 300


def test_lamport_clock_is_after_what_it_has_seen() -> None:
    clock = LamportClock()
    for seen, time in ((0, 1), (1, 2), (1, 2), (10, 11), (2**63, 11)):
        clock.witness(seen)
        assert clock.time == time


def test_events_are_delivered_once_and_not_when_too_old() -> None:
    buffer: RecentBuffer[str] = RecentBuffer(LamportClock())
    assert [buffer.maybe_add(time, item) for time, item in ((1, "a"), (1, "a"), (1, "b"), (2, "a"))] == [
        True,
        False,
        True,
        True,
    ]
    assert buffer.maybe_add(1000, "late")
    assert not buffer.maybe_add(488, "older than 512 before the clock")
    assert buffer.maybe_add(489, "just young enough")
    buffer.minimum_time = 2000
    assert not buffer.maybe_add(1999, "before this node came")


def test_broadcasts_go_least_sent_first_then_largest_then_newest() -> None:
    queue = BroadcastQueue(1)
    for data in (b"bb", b"1", b"ccc", b"2", b"3"):
        queue.queue(data)
    assert queue.take(0, 5, 99) == [b"ccc", b"bb"]
    assert queue.take(0, 6, 99) == [b"3", b"2", b"1", b"ccc"]
    assert queue.take(0, 9, 99) == [b"bb", b"3", b"2", b"1"]
    assert len(queue) == 0


def test_what_does_not_fit_waits() -> None:
    queue = BroadcastQueue(4)
    queue.queue(b"x" * 50)
    queue.queue(b"y" * 10)
    assert queue.take(2, 20, 1) == [b"y" * 10]
    assert queue.take(2, 52, 1) == [b"x" * 50]


def test_news_about_a_subject_replaces_older_news_and_ends_its_wait() -> None:
    queue = BroadcastQueue(4)
    queue.queue(b"suspect", "n", waiter=5)
    queue.queue(b"alive", "n")
    assert queue.finished_waiters == [5]
    assert queue.take(0, 100, 1) == [b"alive"]


def test_pruning_drops_what_was_sent_most() -> None:
    queue = BroadcastQueue(4)
    queue.queue(b"old")
    queue.take(0, 100, 1)
    queue.queue(b"new")
    assert queue.prune(1) == 1
    assert [item.data for item in queue] == [b"new"]


def test_coordinates_find_the_distances_of_a_line() -> None:
    """Vivaldi's purpose, as a number: after some thousand pings estimates are within a few percent."""
    random = Random(3)
    clients = [CoordinateClient(Random(number)) for number in range(10)]
    for _ in range(4000):
        one, other = random.sample(range(10), 2)
        distance_s = abs(one - other) * 0.010 + 0.002
        clients[one].update(str(other), clients[other].coordinate, distance_s)
    errors = [
        abs(clients[one].coordinate.distance_s(clients[other].coordinate) / (abs(one - other) * 0.010 + 0.002) - 1)
        for one in range(10)
        for other in range(10)
        if one != other
    ]
    assert sum(errors) / len(errors) < 0.05


@pytest.mark.parametrize("round_trip_s", [-0.001, 10.1, float("nan")])
def test_an_impossible_round_trip_changes_nothing(round_trip_s: float) -> None:
    client = CoordinateClient(Random(1))
    with pytest.raises(CoordinateError):
        client.update("n", Coordinate(), round_trip_s)
    assert client.coordinate == Coordinate()


def test_an_invalid_coordinate_is_refused() -> None:
    with pytest.raises(CoordinateError):
        CoordinateClient(Random(1)).update("n", Coordinate(error=float("inf")), 0.1)


def test_height_never_falls_below_its_minimum() -> None:
    client = CoordinateClient(Random(1))
    for _ in range(50):
        client.update("n", Coordinate((1.0,) + (0.0,) * 7), 0.0001)
    assert client.coordinate.height_s >= HEIGHT_MIN_S
