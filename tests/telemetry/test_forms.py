"""JSON, Prometheus' text and statsd's lines, and what of them is let out."""

from typing import Any

from lictor.config.runtime import TelemetryConfig
from lictor.telemetry.catalogue import of_agent
from lictor.telemetry.collecting import Collected, message_of
from lictor.telemetry.naming import Naming, naming_of
from lictor.telemetry.registry import Registry
from lictor.telemetry.statsd import MAX_DATAGRAM_BYTES, Increases, datagrams, split_address
from lictor.telemetry.summary import prometheus_text, summary

INTERVAL_START_S = 1_600_000_000


def counted() -> Registry:
    registry = Registry()
    registry.remember_values()
    registry.counter("raft.apply").add(3)
    registry.counter("catalog.service.query", labels=(("service", 'a"b'),)).increment()
    registry.gauge("raft.applied_index").set(12)
    for value in (1.5, 2.5):
        registry.sample("kvs.apply").add(value)
    registry.roll(INTERVAL_START_S)
    return registry


def collected(*registries: Registry) -> Collected:
    found = Collected()
    for registry in registries:
        found.take(message_of(registry, INTERVAL_START_S + 15.0, 10))
    return found


def by_name(series: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in series if one["Name"] == name)


def test_the_json_answer_shows_the_finished_interval() -> None:
    shown = summary(collected(counted()), Naming())
    assert shown["Timestamp"] == "2020-09-13 12:26:40 +0000 UTC"
    assert shown["Points"] == []
    assert by_name(shown["Gauges"], "consul.raft.applied_index") == {
        "Name": "consul.raft.applied_index",
        "Value": 12,
        "Labels": {},
    }
    counter = by_name(shown["Counters"], "consul.raft.apply")
    assert (counter["Count"], counter["Sum"], counter["Rate"], counter["Stddev"]) == (1, 3, 0.3, 0)
    sample = by_name(shown["Samples"], "consul.kvs.apply")
    assert (sample["Count"], sample["Min"], sample["Max"], sample["Mean"]) == (2, 1.5, 2.5, 2)


def test_before_the_first_interval_is_over_the_present_one_is_shown() -> None:
    registry = Registry()
    registry.counter("raft.apply").increment()
    found = collected(registry)
    assert found.interval_start_s == INTERVAL_START_S + 10
    assert found.counters[("raft.apply", ())].interval.count == 1


def test_daemons_are_shown_as_one_process() -> None:
    shown = summary(collected(counted(), counted()), Naming())
    assert by_name(shown["Gauges"], "consul.raft.applied_index")["Value"] == 24
    assert by_name(shown["Samples"], "consul.kvs.apply")["Count"] == 4


def test_series_of_daemons_never_heard_of_are_there_with_zeros() -> None:
    found = Collected()
    found.complete(of_agent(server_mode=True), "n1")
    text = prometheus_text(found, Naming())
    assert "consul_raft_apply 0\n" in text
    assert 'consul_dns_domain_query_count{node="n1"} 0\n' in text
    assert 'consul_kvs_apply{quantile="0.5"} NaN\n' in text


def test_prometheus_gets_totals_help_and_escaped_labels() -> None:
    registry = counted()
    registry.counter("raft.apply").add(2)
    lines = prometheus_text(collected(registry), Naming()).splitlines()
    assert "# TYPE consul_raft_apply counter" in lines
    assert "# HELP consul_raft_apply commands given to the log" in lines
    assert "consul_raft_apply 5" in lines
    assert 'consul_catalog_service_query{service="a\\"b"} 1' in lines
    assert "# TYPE consul_kvs_apply summary" in lines
    assert 'consul_kvs_apply{quantile="0.99"} 2.5' in lines
    assert ("consul_kvs_apply_sum 4" in lines, "consul_kvs_apply_count 2" in lines) == (True, True)
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert names == sorted(set(names))


def test_the_longest_prefix_decides_what_is_let_out() -> None:
    naming = Naming(allowed=("consul.raft.apply",), blocked=("consul.raft", "consul.kvs"), default=True)
    assert naming.lets_out("consul.raft.apply")
    assert not naming.lets_out("consul.raft.barrier")
    assert not naming.lets_out("consul.kvs.apply")
    assert naming.lets_out("consul.txn.apply")
    assert not Naming(allowed=("consul.raft",), default=False).lets_out("consul.txn.apply")
    shown = summary(collected(counted()), naming)
    assert [one["Name"] for one in shown["Samples"]] == []
    assert "consul_raft_applied_index" not in prometheus_text(collected(counted()), naming)


def test_only_gauges_carry_the_host_and_only_beside_an_external_sink() -> None:
    assert naming_of(TelemetryConfig()).host == ""
    external = naming_of(TelemetryConfig(statsd_address="127.0.0.1:8125"))
    assert external.host
    assert external.name("raft.apply") == "consul.raft.apply"
    assert external.name("raft.last_index", is_gauge=True) == f"consul.{external.host}.raft.last_index"
    assert naming_of(TelemetryConfig(prometheus_retention_time_ns=1, disable_hostname=True)).host == ""
    assert Naming(prefix="site").name("raft.apply") == "site.raft.apply"


def test_statsd_is_told_what_changed_since_the_last_time() -> None:
    registry = counted()
    increases = Increases(registry)
    first = [line.plain() for line in increases.lines(Naming())]
    assert first == [
        "consul.raft.applied_index:12|g",
        "consul.raft.apply:3|c",
        'consul.catalog.service.query.a"b:1|c',
        "consul.kvs.apply:1.5|ms",
        "consul.kvs.apply:2.5|ms",
    ]
    registry.counter("raft.apply").add(4)
    assert [line.plain() for line in increases.lines(Naming())] == [
        "consul.raft.applied_index:12|g",
        "consul.raft.apply:4|c",
    ]


def test_dogstatsd_gets_labels_as_tags_and_busy_samples_their_rate() -> None:
    registry = Registry()
    registry.remember_values(2)
    sample = registry.sample("dns.domain_query", labels=(("node", "n1"),))
    for value in (1, 2, 3, 4):
        sample.add(value)
    lines = [line.tagged(("env:test",)) for line in Increases(registry).lines(Naming())]
    assert lines == [
        "consul.dns.domain_query:3|ms|@0.5|#env:test,node:n1",
        "consul.dns.domain_query:4|ms|@0.5|#env:test,node:n1",
    ]


def test_datagrams_are_filled_and_never_too_long() -> None:
    lines = [f"consul.raft.apply:{number}|c" for number in range(500)]
    packed = list(datagrams(lines))
    assert b"\n".join(packed).decode().split("\n") == lines
    assert all(len(datagram) <= MAX_DATAGRAM_BYTES for datagram in packed)
    assert len(packed) < 15


def test_addresses_of_sinks() -> None:
    assert split_address("127.0.0.1:9125") == ("127.0.0.1", 9125)
    assert split_address("stats") == ("stats", 8125)
    assert split_address("[::1]:9") == ("::1", 9)
