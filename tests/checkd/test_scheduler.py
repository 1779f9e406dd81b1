"""The scheduler in virtual time."""

from __future__ import annotations

from collections import Counter
from random import Random

from checkd.core.scheduler import Scheduler
from checkd.core.timers import Timers

SECOND_NS = 10**9


def play(scheduler: Scheduler, until_ns: int, duration_ns: int) -> tuple[dict[str, list[int]], int]:
    """Run everything for a while, each run taking so long: start times per check, and the most at once."""
    starts: dict[str, list[int]] = {}
    ends: list[tuple[int, str, int]] = []
    now_ns, most = 0, 0
    while now_ns <= until_ns:
        while ends and ends[0][0] <= now_ns:
            _, check_id, token = ends.pop(0)
            scheduler.finished(check_id, token, now_ns)
        for check_id, token in scheduler.due(now_ns):
            starts.setdefault(check_id, []).append(now_ns)
            ends.append((now_ns + duration_ns, check_id, token))
        most = max(most, scheduler.running)
        moments = [due for due in (scheduler.next_due_ns(), ends[0][0] if ends else None) if due is not None]
        now_ns = max(min(moments), now_ns + 1)
    return starts, most


def test_two_thousand_checks_registered_together_spread_evenly_and_stay_spread() -> None:
    scheduler = Scheduler(Random(7), max_running=256)
    for number in range(2000):
        scheduler.add(f"c{number}", 10 * SECOND_NS, 0)
    starts, most = play(scheduler, 60 * SECOND_NS, SECOND_NS // 100)
    assert len(starts) == 2000
    assert all(times[0] < 10 * SECOND_NS for times in starts.values())
    for second in (0, 20, 49):
        count = sum(second * SECOND_NS <= at < (second + 1) * SECOND_NS for times in starts.values() for at in times)
        assert 140 <= count <= 260, f"seed 7: {count} starts in second {second}"
    assert most < 20


def test_each_check_runs_one_interval_after_its_last_end() -> None:
    scheduler = Scheduler(Random(1))
    scheduler.add("a", 10 * SECOND_NS, 0)
    starts, _ = play(scheduler, 100 * SECOND_NS, 2 * SECOND_NS)
    gaps = {second - first for first, second in zip(starts["a"], starts["a"][1:], strict=False)}
    assert gaps == {12 * SECOND_NS}


def test_the_limit_on_running_checks_holds_and_nobody_starves() -> None:
    scheduler = Scheduler(Random(3), max_running=5)
    for number in range(50):
        scheduler.add(f"c{number}", SECOND_NS, 0)
    starts, most = play(scheduler, 60 * SECOND_NS, SECOND_NS)
    assert most == 5
    counts = Counter({check: len(times) for check, times in starts.items()})
    assert len(counts) == 50 and max(counts.values()) - min(counts.values()) <= 1


def test_removed_and_replaced_checks_give_their_place_back() -> None:
    scheduler = Scheduler(Random(1), max_running=1)
    scheduler.add("a", SECOND_NS, 0)
    ((check_id, token),) = scheduler.due(SECOND_NS)
    scheduler.add("b", SECOND_NS, SECOND_NS)
    assert scheduler.due(3 * SECOND_NS) == []
    scheduler.add("a", SECOND_NS, 3 * SECOND_NS)
    assert not scheduler.finished(check_id, token, 3 * SECOND_NS)
    assert [run[0] for run in scheduler.due(3 * SECOND_NS)] == ["b"]
    scheduler.remove("b")
    scheduler.remove("a")
    assert scheduler.next_due_ns() is None and scheduler.running == 0


def test_the_heap_does_not_grow_when_checks_are_replaced_again_and_again() -> None:
    scheduler = Scheduler(Random(1))
    for _ in range(20_000):
        scheduler.add("a", SECOND_NS, 0)
    assert len(scheduler._heap) <= 1025


def test_only_the_newest_timer_of_a_name_and_key_fires() -> None:
    timers = Timers()
    timers.set("ttl", "a", 5)
    timers.set("ttl", "a", 8)
    timers.set("ttl", "b", 6)
    timers.clear("ttl", "b")
    assert timers.next_due_ns() == 8
    assert timers.expired(7) == []
    assert timers.expired(8) == [("ttl", "a")]
    assert not timers.is_set("ttl", "a") and timers.next_due_ns() is None
