"""The agent's own endpoints on a running agent: metrics, host, monitor, check history, profiles."""

import http.client
import json
import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lictor.telemetry.catalogue import of_agent
from tools.agents import Agent, make_agent, running, wait_until

TIMEOUT_S = 20


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with socket.socket(type=socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        statsd.settimeout(TIMEOUT_S)
        config = {
            "enable_debug": True,
            "telemetry": {
                "prometheus_retention_time": "60s",
                "disable_hostname": True,
                "statsd_address": f"127.0.0.1:{statsd.getsockname()[1]}",
                "prefix_filter": ["-consul.txn"],
            },
        }
        folder: Path = tmp_path_factory.mktemp("metrics")
        made = make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config=config)
        with running(made):
            made.wait_leader()
            made.environment["statsd"] = str(statsd.fileno())
            yield made


def text(agent: Agent, path: str) -> str:
    with urllib.request.urlopen(f"http://{agent.http}{path}", timeout=TIMEOUT_S) as answer:
        body: bytes = answer.read()
    return body.decode()


def refusal(agent: Agent, path: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as refused:
        text(agent, path)
    with refused.value as answer:
        return answer.code, answer.read().decode()


def figure(agent: Agent, series: str) -> float:
    for line in text(agent, "/v1/agent/metrics?format=prometheus").splitlines():
        name, _, value = line.rpartition(" ")
        if name == series:
            return float(value)
    raise AssertionError(f"no series {series}")


def test_every_series_is_there_from_the_first_scrape(agent: Agent) -> None:
    shown = agent.get("/v1/agent/metrics")
    names = {one["Name"] for kind in ("Gauges", "Counters", "Samples") for one in shown[kind]}
    expected = {f"consul.{one.named(part)}" for one in of_agent(server_mode=True) for part, _ in one.series("n1")}
    assert expected - names == {"consul.txn.apply", "consul.txn.read"}
    assert {"consul.http.GET.v1.kv._", "consul.fsm.kvs", "consul.consul.cache.health-services.hit"} <= names


def test_requests_are_counted_also_those_answered_from_kept_bytes(agent: Agent) -> None:
    agent.put("/v1/kv/counted", b"x")
    before = figure(agent, "consul_http_GET_v1_kv___count")
    connection = http.client.HTTPConnection(agent.http, timeout=TIMEOUT_S)
    for _ in range(150):
        connection.request("GET", "/v1/kv/counted?raw")
        assert connection.getresponse().read() == b"x"
    connection.close()
    assert figure(agent, "consul_http_GET_v1_kv___count") - before == 150
    assert figure(agent, 'consul_fsm_kvs_count{op="set"}') >= 1


def test_a_daemon_that_is_killed_takes_no_series_away(agent: Agent) -> None:
    os.kill(agent.daemon_pid("dnsd"), signal.SIGKILL)
    assert figure(agent, 'consul_dns_domain_query_count{node="n1"}') == 0


def test_statsd_is_sent_lines(agent: Agent) -> None:
    agent.put("/v1/kv/sent", b"x")
    with socket.socket(fileno=os.dup(int(agent.environment["statsd"]))) as statsd:
        statsd.settimeout(TIMEOUT_S)
        wait_until("the write is told", lambda: b"consul.kvs.apply:" in statsd.recv(65536), TIMEOUT_S)


def test_the_host_is_described(agent: Agent) -> None:
    shown = agent.get("/v1/agent/host")
    assert shown["Errors"] is None
    assert shown["Memory"]["total"] > shown["Memory"]["used"] > 0
    assert shown["Host"]["hostname"] == socket.gethostname()
    assert len(shown["CPU"]) == os.cpu_count()
    assert shown["Disk"]["path"] == str(agent.data_dir)


def test_the_log_is_streamed_below_the_level_it_is_written_at(agent: Agent) -> None:
    connection = http.client.HTTPConnection(agent.http, timeout=TIMEOUT_S)
    connection.request("GET", "/v1/agent/monitor?loglevel=debug&logjson")
    answer = connection.getresponse()
    agent.put("/v1/agent/service/register", {"Name": "logged"})
    while True:
        line = json.loads(answer.readline())
        if line["@level"] == "info" and "logged" in json.dumps(line):
            break
    answer.close()
    connection.close()


def test_an_unknown_level_is_refused(agent: Agent) -> None:
    assert refusal(agent, "/v1/agent/monitor?loglevel=loud") == (400, "Bad request: Unknown log level: loud")


def test_a_check_tells_why_it_is_what_it_is(agent: Agent) -> None:
    agent.put("/v1/agent/check/register", {"Name": "told", "TTL": "1h"})
    agent.put("/v1/agent/check/warn/told?note=slow")
    newest = agent.get("/v1/agent/check/history/told")[0]
    assert (newest["From"], newest["To"], newest["Reason"]) == ("critical", "warning", "slow")
    assert refusal(agent, "/v1/agent/check/history/unheard")[0] == 404


def test_changes_are_read_back_at_once(agent: Agent) -> None:
    for number in range(30):
        agent.put("/v1/agent/service/register", {"Name": f"seen-{number}"})
        assert f"seen-{number}" in agent.get("/v1/agent/services")
        agent.put(f"/v1/agent/service/deregister/seen-{number}")
        assert f"seen-{number}" not in agent.get("/v1/agent/services")


def test_profiles_are_text(agent: Agent) -> None:
    assert "tasks: " in text(agent, "/debug/pprof/goroutine")
    assert "objects: " in text(agent, "/debug/pprof/heap")
    assert "function calls" in text(agent, "/debug/pprof/profile?seconds=0.1")
    assert "late_ms" in text(agent, "/debug/pprof/trace?seconds=0.1")
    assert refusal(agent, "/debug/pprof/nothing")[0] == 404
