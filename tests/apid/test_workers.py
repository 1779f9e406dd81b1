"""`http_config.workers`: several processes behind one port, each with the same state."""

import contextlib
import http.client
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.agents import Agent, make_agent, running, wait_until

WORKERS = 3
ROUNDS = 60


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    folder = tmp_path_factory.mktemp("workers")
    config = {
        "performance": {"raft_multiplier": 1},
        "http_config": {"workers": WORKERS},
        "addresses": {"http": f"127.0.0.1 unix://{folder / 'http.sock'}"},
    }
    made = make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(made):
        made.wait_leader()
        wait_until("all workers run", lambda: len(pids(made)) == WORKERS)
        yield made


def pids(agent: Agent) -> set[int]:
    """The apid processes that listen, from their run files."""
    found = set()
    for file in (agent.data_dir / "run").glob("apid*.json"):
        with contextlib.suppress(ValueError, KeyError, ProcessLookupError):
            pid = int(json.loads(file.read_bytes())["pid"])
            os.kill(pid, 0)
            found.add(pid)
    return found


def connections_of(pid: int) -> int:
    return sum("socket:" in os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink())


def test_connections_are_spread_over_the_processes(agent: Agent) -> None:
    before = {pid: connections_of(pid) for pid in pids(agent)}
    opened = []
    for _ in range(90):
        connection = http.client.HTTPConnection(agent.http, timeout=10)
        connection.request("GET", "/v1/status/leader")
        connection.getresponse().read()
        opened.append(connection)
    assert all(connections_of(pid) > count for pid, count in before.items())
    for connection in opened:
        connection.close()


def test_what_one_process_has_acknowledged_every_process_shows(agent: Agent) -> None:
    for number in range(ROUNDS):
        value = str(number).encode()
        assert agent.put("/v1/kv/k", value) == b"true"
        for _ in range(WORKERS):
            connection = http.client.HTTPConnection(agent.http, timeout=10)
            connection.request("GET", "/v1/kv/k?raw")
            assert connection.getresponse().read() == value
            connection.close()


def test_the_unix_socket_is_served(agent: Agent) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(agent.folder / "http.sock"))
        connection.sendall(b"GET /v1/kv/none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 404 ")


def test_figures_are_those_of_all_processes(agent: Agent) -> None:
    for _ in range(ROUNDS):
        agent.get("/v1/status/peers")

    def counted() -> bool:
        figures = agent.get("/v1/agent/metrics")
        return any(
            sample["Name"] == "consul.http.GET.v1.status.peers" and sample["Count"] >= ROUNDS
            for sample in figures["Samples"]
        )

    wait_until("all requests are counted", counted, 30)


def test_every_process_reloads(agent: Agent) -> None:
    for _ in range(WORKERS * 3):
        agent.put("/v1/agent/reload")


def test_a_killed_worker_comes_back_and_the_others_serve(agent: Agent) -> None:
    for file in sorted((agent.data_dir / "run").glob("apid*.json")):
        pid = int(json.loads(file.read_bytes())["pid"])
        os.kill(pid, signal.SIGKILL)
        wait_until("the port is served", lambda: agent.get("/v1/status/leader"))
        wait_until("a new process is there", lambda pid=pid: pid not in pids(agent) and len(pids(agent)) == WORKERS)  # type: ignore[misc]


def test_the_agent_takes_all_of_them_along(tmp_path: Path) -> None:
    config = {"performance": {"raft_multiplier": 1}, "http_config": {"workers": 2}}
    made = make_agent(tmp_path, "n2", "-server", "-bootstrap-expect=1", config=config)
    with running(made):
        made.wait_leader()
        wait_until("both workers run", lambda: len(pids(made)) == 2)
        alive = pids(made)
        made.stop()
        wait_until("no process is left", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in alive))
