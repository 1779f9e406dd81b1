"""Counting: what intervals, totals and quantiles say."""

from random import Random

import pytest

from lictor.telemetry import known_values
from lictor.telemetry.catalogue import DESCRIPTIONS, of_agent, of_daemon
from lictor.telemetry.registry import MAX_SERIES, RECENT_VALUES, Interval, Registry


def test_an_interval_holds_what_was_added_in_it_and_totals_hold_all() -> None:
    registry = Registry()
    sample = registry.sample("kvs.apply")
    for value in (1.0, 2.0, 6.0):
        sample.add(value)
    registry.roll(100)
    sample.add(4.0)
    finished = sample.finished
    assert (finished.count, finished.sum, finished.minimum, finished.maximum, finished.mean) == (3, 9.0, 1.0, 6.0, 3.0)
    assert finished.deviation == pytest.approx(7**0.5)
    assert (sample.total_count, sample.total_sum) == (4, 13.0)
    registry.roll(110)
    registry.roll(120)
    assert sample.finished.count == 0
    assert (sample.finished.minimum, sample.finished.maximum, sample.finished.deviation) == (0.0, 0.0, 0.0)
    assert (sample.total_count, sample.total_sum) == (4, 13.0)


def test_many_at_once_count_as_if_they_were_added_one_by_one() -> None:
    at_once, one_by_one = Registry().sample("txn.apply"), Registry().sample("txn.apply")
    at_once.add_many(2.5, 4)
    at_once.add_many(7.0, 0)
    for _ in range(4):
        one_by_one.add(2.5)
    assert at_once.present == one_by_one.present


def test_intervals_of_two_processes_add_up() -> None:
    seed = 7
    random = Random(seed)
    values = [random.uniform(0, 10) for _ in range(50)]
    whole, left, right = (Registry().sample("txn.read") for _ in range(3))
    for number, value in enumerate(values):
        whole.add(value)
        (left if number % 3 else right).add(value)
    joined = left.present.plus(right.present)
    assert joined.count == whole.present.count, f"seed {seed}"
    assert joined.deviation == pytest.approx(whole.present.deviation), f"seed {seed}"
    assert (joined.minimum, joined.maximum) == (min(values), max(values)), f"seed {seed}"
    assert Interval().plus(joined) == joined == joined.plus(Interval())


def test_quantiles_are_those_of_recent_values_only() -> None:
    registry = Registry()
    registry.remember_values()
    sample = registry.sample("session.apply")
    assert sample.quantiles((0.5,)) == ()
    for number in range(1, 101):
        sample.add(number)
    assert sample.quantiles((0.5, 0.9, 0.99)) == (50, 90, 99)
    registry.roll(100)
    assert sample.quantiles((0.5,)) == (50,)
    registry.roll(110)
    assert sample.quantiles((0.5,)) == ()
    for number in range(3 * RECENT_VALUES):
        sample.add(number)
    assert len(sample.recent) == RECENT_VALUES


def test_values_are_not_remembered_where_nobody_wants_them() -> None:
    sample = Registry().sample("session.apply")
    sample.add(1.0)
    assert not sample.recent


def test_a_gauge_is_read_from_its_source_when_the_interval_ends() -> None:
    registry = Registry()
    held = [3.0]
    gauge = registry.gauge("raft.applied_index")
    gauge.source = lambda: held[0]
    registry.roll(100)
    held[0] = 5.0
    assert (gauge.finished, gauge.read()) == (3.0, 5.0)


def test_every_known_series_of_a_daemon_exists_from_the_start() -> None:
    registry = Registry()
    registry.make_all("dnsd", "n1")
    assert ("dns.domain_query", (("node", "n1"),)) in registry.samples
    assert ("dns.stale_queries", ()) in registry.counters
    assert ("runtime.alloc_bytes", ()) in registry.gauges
    made = len(registry.samples) + len(registry.counters) + len(registry.gauges)
    assert made == sum(len(list(description.series("n1"))) for description in of_daemon("dnsd"))


def test_series_whose_label_or_part_has_known_values_exist_from_the_start() -> None:
    registry = Registry()
    registry.make_all("raftd", "n1")
    assert ("fsm.kvs", (("op", "delete-tree"),)) in registry.samples
    assert ("fsm.config_entry.service-router", (("op", "upsert"),)) in registry.samples
    assert not [name for name, _ in registry.samples if "<" in name]


def test_no_operation_is_counted_that_the_catalogue_does_not_know() -> None:
    import raftd.metrics as applied

    for name, operation in applied._OPERATIONS.values():
        assert operation in known_values.OPERATIONS.get(name, ("",)), name
    assert set(applied.KV_VERBS) == set(known_values.OPERATIONS["fsm.kvs"])


def test_series_of_another_daemon_whose_modules_are_loaded_too_are_left_out() -> None:
    registry = Registry()
    registry.gauge("autopilot.healthy")
    registry.counter("raft.apply")
    registry.sample("fsm.register")
    registry.counter("memberlist.tcp.sent").increment()
    registry.make_all("gossipd", "n1")
    names = {name for kept in (registry.counters, registry.samples, registry.gauges) for name, _ in kept}
    assert names >= {"memberlist.tcp.sent"}
    assert not {name for name in names if DESCRIPTIONS[name].daemon == "raftd"}


def test_names_outside_the_catalogue_and_of_another_kind_are_mistakes() -> None:
    registry = Registry()
    with pytest.raises(AssertionError, match="not in the catalogue"):
        registry.counter("raft.aply")
    with pytest.raises(AssertionError, match="is a counter"):
        registry.sample("raft.apply")
    with pytest.raises(AssertionError, match="needs part"):
        registry.sample("http.<route>")


def test_series_that_clients_make_up_are_limited() -> None:
    registry = Registry()
    for number in range(MAX_SERIES + 10):
        registry.counter("catalog.service.query", labels=(("service", str(number)),)).increment()
    assert len(registry.counters) == MAX_SERIES


def test_a_client_agent_has_no_series_of_consensus() -> None:
    names = {description.name for description in of_agent(server_mode=False)}
    assert "raft.apply" not in names
    assert "client.rpc" in names
    assert {description.name for description in of_agent(server_mode=True)} == set(DESCRIPTIONS)
