"""Limits on a running agent: told in the answer, the log and the figures; changed by a reload; sockets' permissions."""

import http.client
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.agents import Agent, make_agent, running, wait_until

LIMIT = 5
TOKEN = "7c1f3a52-secret"


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    config = {
        "performance": {"raft_multiplier": 1},
        "limits": {"http_max_conns_per_client": LIMIT},
        "addresses": {"http": f"127.0.0.1 unix://{tmp_path / 'http.sock'}"},
        "unix_sockets": {"mode": "640", "user": str(os.getuid()), "group": str(os.getgid())},
        "log_level": "trace",
    }
    made = make_agent(tmp_path, "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(made):
        made.wait_leader()
        yield made


def ask(connection: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    connection.request("GET", path, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def set_limit(agent: Agent, limit: int) -> None:
    file = agent.folder / "own.json"
    settings = json.loads(file.read_text())
    settings["limits"]["http_max_conns_per_client"] = limit
    file.write_text(json.dumps(settings))


def test_a_client_with_too_many_connections_is_told_and_a_reload_helps_it(agent: Agent) -> None:
    opened = [http.client.HTTPConnection(agent.http, timeout=10) for _ in range(LIMIT)]
    for connection in opened:
        # Connections of those who asked before may be on their way out.
        wait_until("a place is free", lambda connection=connection: ask(connection, "/v1/status/leader")[0] == 200)  # type: ignore[misc]
    further = http.client.HTTPConnection(agent.http, timeout=10)
    status, text = ask(further, "/v1/status/leader")
    assert (status, "limits.http_max_conns_per_client" in text) == (429, True)
    further.close()
    assert f"limit={LIMIT} (limits.http_max_conns_per_client)" in agent.log()
    set_limit(agent, LIMIT + 1)
    opened[0].request("PUT", "/v1/agent/reload")
    assert opened[0].getresponse().read() == b""
    further = http.client.HTTPConnection(agent.http, timeout=10)
    wait_until("the new limit holds", lambda: ask(further, "/v1/status/leader")[0] == 200)
    figures = json.loads(ask(opened[0], "/v1/agent/metrics?format=json")[1])
    (refused,) = [one for one in figures["Counters"] if one["Name"] == "consul.http.refused_conn"]
    assert refused["Count"] >= 1
    for connection in (*opened, further):
        connection.close()


def test_a_unix_socket_has_the_permissions_that_are_set(agent: Agent) -> None:
    found = os.stat(agent.folder / "http.sock")
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert (found.st_uid, found.st_gid) == (os.getuid(), os.getgid())


def test_a_token_is_in_no_line_of_the_log(agent: Agent) -> None:
    paths = (
        "/v1/kv/a?dc=mars&token={}",
        "/v1/kv/a?dc=mars&%74oken={}",
        "/v1/kv/a?dc=mars;token={}",
        "/v1/acl/info/{}?dc=mars",
        "/v1/acl/token/{}",
        "/v1/agent/self?token={}",
    )
    connection = http.client.HTTPConnection(agent.http, timeout=10)
    for path in paths:
        ask(connection, path.format(TOKEN))
    for headers in ({"X-Consul-Token": TOKEN}, {"Authorization": f"Bearer {TOKEN}"}):
        assert ask(connection, "/v1/kv/a?dc=mars", headers)[0] == 500
    connection.close()
    wait_until("the failures are in the log", lambda: "No path to datacenter" in agent.log())
    assert TOKEN not in agent.log()
