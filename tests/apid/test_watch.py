"""Server-sent watches on running agents: exact, resumable, through servers and client agents."""

import base64
import http.client
import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apid.watch_client import WatchClient, knows_leader
from tools.agents import Agent, make_agent, running, wait_until

FAST = {"performance": {"raft_multiplier": 1}}


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """A server and a client agent."""
    folder = tmp_path_factory.mktemp("watch")
    server = make_agent(folder / "s", "ws", "-server", "-bootstrap-expect=1", config=FAST)
    client = make_agent(folder / "c", "wc", f"-retry-join={server.lan}")
    with running(server, client):
        for agent in (server, client):
            wait_until("the agent knows a leader", lambda agent=agent: knows_leader(agent))  # type: ignore[misc]
        wait_until("the server is registered", lambda: server.get("/v1/health/service/consul?passing"))
        yield server, client


def put(agent: Agent, key: str, value: bytes) -> bool:
    """Whether the write was acknowledged."""
    connection = http.client.HTTPConnection(agent.http, timeout=10)
    try:
        connection.request("PUT", f"/v1/kv/{key}", value)
        return connection.getresponse().read() == b"true"
    finally:
        connection.close()


def read_prefix(agent: Agent, prefix: str) -> dict[str, bytes]:
    rows = agent.get(f"/v1/kv/{prefix}?recurse&consistent")
    return {row["Key"]: base64.b64decode(row["Value"] or "") for row in rows}


@pytest.mark.parametrize("through", [0, 1], ids=["server", "client agent"])
def test_replayed_deltas_under_concurrent_writes_give_what_a_read_gives(
    agents: tuple[Agent, Agent], through: int
) -> None:
    server = agents[0]
    prefix = f"load{through}/"

    def write(seed: int) -> None:
        source = random.Random(seed)
        connection = http.client.HTTPConnection(server.http, timeout=10)
        for number in range(150):
            draw = source.random()
            method, suffix = ("PUT", "") if draw < 0.7 else ("DELETE", "" if draw < 0.95 else "?recurse")
            name = f"{source.randrange(20)}" if "recurse" not in suffix else f"{source.randrange(2)}"
            connection.request(method, f"/v1/kv/{prefix}{name}{suffix}", f"{seed}.{number}".encode())
            connection.getresponse().read()
        connection.close()

    topic = f"kv/{prefix}"
    with WatchClient(agents[through].http, topic) as watch, WatchClient(agents[through].http, "kv/quiet/") as quiet:
        writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        server.put(f"/v1/kv/{prefix}end", b"end")
        watch.wait("the last write arrives", lambda: "end" in "".join(watch.copies[topic]))
        assert watch.values(topic) == read_prefix(server, prefix)
        assert watch.names(topic)[0] == "reset"
        assert set(watch.names(topic)[1:]) == {"update"}
        indexes = [data["Index"] for _, data in watch.events]
        assert indexes == sorted(indexes)
        # Watchers of other keys hear nothing of all this.
        quiet.wait("the first answer", lambda: bool(quiet.events))
        assert len(quiet.events) == 1


def test_a_service_watch_brings_exactly_the_instances_that_change(agents: tuple[Agent, Agent]) -> None:
    server = agents[0]
    topic = "health/shop?passing"
    with WatchClient(server.http, topic, "services", "health/other") as watch:
        for number in (1, 2):
            body = {"ID": f"shop{number}", "Name": "shop", "Port": number, "Check": {"TTL": "60s", "Status": "passing"}}
            server.put("/v1/agent/service/register", body)
        watch.wait("both instances", lambda: len(watch.copies[topic]) == 2)
        seen = len(watch.events)
        server.put("/v1/agent/check/fail/service:shop1")
        watch.wait("the failed one is gone", lambda: len(watch.copies[topic]) == 1)
        assert [data["Deletes"] for _, data in watch.events[seen:]] == [[{"Node": "ws", "ServiceID": "shop1"}]]
        server.put("/v1/agent/check/pass/service:shop1")
        watch.wait("it is back", lambda: len(watch.copies[topic]) == 2)
        upserts = watch.events[-1][1]["Upserts"]
        assert [row["Service"]["ID"] for row in upserts] == ["shop1"]
        assert watch.names("health/other") == ["reset"]
        assert watch.copies["services"]["shop"]["Tags"] == []
        for number in (1, 2):
            server.put(f"/v1/agent/service/deregister/shop{number}")
        watch.wait("no instance", lambda: not watch.copies[topic] and "shop" not in watch.copies["services"])


@pytest.mark.parametrize("through", [0, 1], ids=["server", "client agent"])
def test_a_client_that_comes_back_is_told_only_what_changed(agents: tuple[Agent, Agent], through: int) -> None:
    server = agents[0]
    address, prefix = agents[through].http, f"resume{through}/"
    topic = f"kv/{prefix}"
    for name in ("a", "b", "c"):
        server.put(f"/v1/kv/{prefix}{name}", b"1")
    with WatchClient(address, topic, "nodes") as watch:
        watch.wait("the state", lambda: len(watch.copies[topic]) == 3 and bool(watch.copies["nodes"]))
        last_id = watch.last_id
    server.put(f"/v1/kv/{prefix}b", b"2")
    server.cli("kv", "delete", f"{prefix}c")
    with WatchClient(address, topic, "nodes", last_id=last_id) as again:
        again.wait("both topics", lambda: len(again.events) == 2)
        (name, data), (other_name, other) = again.events
        assert (name, [row["Key"] for row in data["Upserts"]], data["Deletes"]) == (
            "update",
            [f"{prefix}b"],
            [f"{prefix}c"],
        )
        assert (other_name, other["Upserts"], other["Deletes"]) == ("update", [], [])
    for unknown in ("1-1", "999999999-999999999", "rubbish"):
        with WatchClient(address, topic, "nodes", last_id=unknown) as fresh:
            fresh.wait("both topics", lambda fresh=fresh: len(fresh.events) == 2)  # type: ignore[misc]
            assert {name for name, _ in fresh.events} == {"reset"}


def test_a_slow_reader_gets_changes_merged_and_nothing_is_collected_for_it(agents: tuple[Agent, Agent]) -> None:
    server = agents[0]
    with WatchClient(server.http, "kv/slow/", min_interval_ms="1500") as watch:
        watch.wait("the first answer", lambda: bool(watch.events))
        for number in range(200):
            server.put(f"/v1/kv/slow/{number % 10}", b"%d" % number)
        watch.wait("the last value", lambda: watch.values("kv/slow/").get("slow/9") == b"199")
        assert watch.values("kv/slow/") == read_prefix(server, "slow/")
        assert len(watch.events) < 20


def test_user_events_are_pushed_as_they_arrive(agents: tuple[Agent, Agent]) -> None:
    server, client = agents
    with WatchClient(client.http, "events/deploy") as watch, WatchClient(client.http, "events/other") as other:
        watch.wait("the first answer", lambda: bool(watch.events))
        other.wait("the first answer", lambda: bool(other.events))
        server.put("/v1/event/fire/deploy", b"now")
        watch.wait("the event", lambda: len(watch.events) == 2)
        (row,) = watch.events[1][1]["Upserts"]
        assert (row["Name"], base64.b64decode(row["Payload"])) == ("deploy", b"now")
        assert len(other.events) == 1


def test_an_agent_keeps_the_events_whose_filters_it_matches(agents: tuple[Agent, Agent]) -> None:
    server, client = agents
    client.put("/v1/agent/service/register", {"ID": "ev-1", "Name": "events", "Tags": ["blue"]})
    for query in ("node=^wc", "node=^ws", "service=^ev-", "service=ev-1&tag=^blue$", "service=ev-1&tag=red", ""):
        server.put(f"/v1/event/fire/filtered?{query}")

    def kept(agent: Agent) -> list[str]:
        rows = agent.get("/v1/event/list?name=filtered")
        return [row["NodeFilter"] or row["TagFilter"] or row["ServiceFilter"] for row in rows]

    wait_until("the last event", lambda: "" in kept(client) and "" in kept(server))
    assert sorted(kept(client)) == ["", "^blue$", "^ev-", "^wc"]
    assert sorted(kept(server)) == ["", "^ws"]
    client.put("/v1/agent/service/deregister/ev-1")


@pytest.mark.parametrize(
    ("topic", "text"),
    [
        ("bad/x", "Unknown topic 'bad/x'"),
        ("services/x", "Unknown topic"),
        ("kv/x?passing", "Unknown option 'passing'"),
        ("kv/?exact", "Missing key name"),
        ("health/", "Missing service name"),
        ("health/web?passing=perhaps", "Invalid value for ?passing"),
        ("kv/%zz", "Invalid escape"),
    ],
)
def test_a_topic_that_is_none_is_refused_by_name(agents: tuple[Agent, Agent], topic: str, text: str) -> None:
    for agent in agents:
        with WatchClient(agent.http, topic) as watch:
            assert watch.status == 400
            assert text in watch.text


def test_malformed_parameters_are_refused(agents: tuple[Agent, Agent]) -> None:
    server = agents[0]
    for parameters, text in (
        ({"index": "x"}, "Invalid index"),
        ({"min_interval_ms": "x"}, "Invalid min_interval_ms"),
        ({"stale": "", "consistent": ""}, "conflicting semantics"),
        ({"dc": "nowhere"}, "No path to datacenter"),
    ):
        with WatchClient(server.http, "nodes", **parameters) as watch:
            assert watch.status in (400, 500)
            assert text in watch.text
    with WatchClient(server.http) as watch:
        assert (watch.status, watch.text) == (400, "Missing topic")
    with WatchClient(server.http, *(f"kv/{number}" for number in range(65))) as watch:
        assert (watch.status, watch.text) == (400, "More than 64 topics")


def test_a_restored_snapshot_resets_the_stream(agents: tuple[Agent, Agent], tmp_path: Path) -> None:
    server = agents[0]
    server.put("/v1/kv/snap/kept", b"1")
    archive = tmp_path / "state.tgz"
    connection = http.client.HTTPConnection(server.http, timeout=30)
    connection.request("GET", "/v1/snapshot")
    archive.write_bytes(connection.getresponse().read())
    server.put("/v1/kv/snap/later", b"2")
    with WatchClient(server.http, "kv/snap/") as watch, WatchClient(agents[1].http, "kv/snap/") as relayed:
        for stream in (watch, relayed):
            stream.wait("both keys", lambda stream=stream: len(stream.copies["kv/snap/"]) == 2)  # type: ignore[misc]
        connection.request("PUT", "/v1/snapshot", archive.read_bytes())
        assert connection.getresponse().status == 200
        connection.close()
        for stream in (watch, relayed):
            stream.wait(  # type: ignore[misc]
                "the restored state", lambda stream=stream: list(stream.copies["kv/snap/"]) == ["snap/kept"]
            )
            assert stream.names("kv/snap/")[-1] == "reset"


def test_a_stream_survives_the_end_of_its_raftd(agents: tuple[Agent, Agent]) -> None:
    server = agents[0]
    with WatchClient(server.http, "kv/daemon/") as watch:
        watch.wait("the first answer", lambda: bool(watch.events))
        os.kill(server.daemon_pid("raftd"), signal.SIGKILL)
        wait_until("writes work again", lambda: put(server, "daemon/x", b"1"))
        watch.wait("the write arrives", lambda: watch.values("kv/daemon/") == {"daemon/x": b"1"})


def resident_mb(agent: Agent) -> float:
    status = Path(f"/proc/{agent.daemon_pid('apid')}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.parametrize("through", [0, 1], ids=["server", "client agent"])
def test_a_reader_that_stopped_reading_costs_no_memory(agents: tuple[Agent, Agent], through: int) -> None:
    server, agent = agents[0], agents[through]
    key = f"stuck{through}/x"
    value_bytes, writes = 400_000, 300
    stuck = http.client.HTTPConnection(agent.http, timeout=30)
    stuck.request("GET", f"/v1/watch?topic=kv/{key}")
    answer = stuck.getresponse()
    put(server, key, bytes(value_bytes))
    before_mb = {name: resident_mb(known) for name, known in zip("sc", agents, strict=True)}
    for number in range(writes):
        assert put(server, key, b"%d" % number + bytes(value_bytes))
    growth_mb = {name: resident_mb(known) - before_mb[name] for name, known in zip("sc", agents, strict=True)}
    # Encoded, what was written is more than 150 MB.
    assert all(grown < 40 for grown in growth_mb.values()), growth_mb
    last = base64.b64encode(b"%d" % (writes - 1))[:3]
    seen = 0
    while line := answer.readline():
        if line.startswith(b"data: "):
            seen += 1
            if b'"Value":"' + last in line and line.count(b"A") > value_bytes:
                break
    assert 0 < seen < writes / 2
    answer.close()
    stuck.close()
