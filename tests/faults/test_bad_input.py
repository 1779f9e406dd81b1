"""Bad input gives one clear line and harms nothing that runs."""

import http.client
import json
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import FAST
from tools.agents import CONSUL, Agent, make_agent, running, wait_until

GARBAGE_SEED = 20200413
START_TIMEOUT_S = 20


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    made = make_agent(tmp_path_factory.mktemp("bad"), "n1", "-server", "-bootstrap-expect=1", config=FAST)
    with running(made):
        made.wait_leader()
        yield made


def refused(*argv: str) -> str:
    """Runs an agent that must not start; returns what it printed."""
    done = subprocess.run(
        [str(CONSUL), "agent", *argv], capture_output=True, text=True, timeout=START_TIMEOUT_S, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_unknown_flag_is_named() -> None:
    assert "flag provided but not defined: -nonsense" in refused("-nonsense", "-data-dir=/nonexistent")


def test_a_missing_data_dir_is_said() -> None:
    assert "data_dir cannot be empty" in refused("-server", "-bind=127.0.0.1")


def test_an_unreadable_configuration_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    assert str(missing) in refused(f"-config-file={missing}", f"-data-dir={tmp_path}")


def test_a_malformed_configuration_file_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"datacenter": ')
    assert str(broken) in refused(f"-config-file={broken}", f"-data-dir={tmp_path}")
    unknown = tmp_path / "unknown.json"
    unknown.write_text('{"dataacenter": "x"}')
    assert "invalid config key dataacenter" in refused(f"-config-file={unknown}", f"-data-dir={tmp_path}")


def test_an_address_in_use_is_named_with_its_setting(agent: Agent, tmp_path: Path) -> None:
    other = make_agent(tmp_path, "n2", "-server", "-bootstrap-expect=1")
    settings = json.loads((tmp_path / "own.json").read_text())
    settings["ports"]["http"] = agent.ports["http"]
    (tmp_path / "own.json").write_text(json.dumps(settings))
    said = refused(*other.argv[2:])
    assert f"127.0.0.1:{agent.ports['http']}" in said
    assert "address already in use" in said


def test_a_data_dir_locked_by_a_running_agent_is_refused(agent: Agent, tmp_path: Path) -> None:
    other = make_agent(tmp_path, "n2", "-server", "-bootstrap-expect=1")
    argv = [part for part in other.argv[2:] if not part.startswith("-data-dir")]
    assert str(agent.data_dir) in refused(*argv, f"-data-dir={agent.data_dir}")


def test_a_data_dir_of_another_node_id_is_refused(tmp_path: Path) -> None:
    mine = make_agent(tmp_path, "n1", "-server", "-bootstrap-expect=1", config=FAST)
    with running(mine):
        mine.wait_leader()
        mine.stop()
    said = refused(*mine.argv[2:], "-node-id=11111111-2222-3333-4444-555555555555")
    assert "11111111-2222-3333-4444-555555555555" in said


def test_two_nodes_of_one_name_leave_the_first_one_alone(agent: Agent, tmp_path: Path) -> None:
    twin = make_agent(tmp_path, "n1", config=FAST)
    with running(twin):
        twin.cli("join", agent.lan)
        members = agent.get("/v1/agent/members")
        assert [(member["Name"], member["Port"]) for member in members] == [("n1", agent.ports["serf_lan"])]
        assert agent.get("/v1/catalog/node/n1")["Node"]["ID"] == agent.get("/v1/agent/self")["Config"]["NodeID"]


def garbage(chooser: random.Random) -> bytes:
    return chooser.randbytes(chooser.randrange(1, 1400))


def test_garbage_on_every_port_harms_nothing(agent: Agent) -> None:
    chooser = random.Random(GARBAGE_SEED)
    agent.put("/v1/kv/before", b"garbage")
    pids = {service: agent.daemon_pid(service) for service in ("raftd", "gossipd", "apid", "dnsd", "checkd")}
    for name in ("serf_lan", "serf_wan", "dns"):
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            for _ in range(300):
                udp.sendto(garbage(chooser), (agent.host, agent.ports[name]))
    for name in ("serf_lan", "serf_wan", "dns", "server", "http", "api"):
        for _ in range(30):
            with socket.create_connection((agent.host, agent.ports[name]), timeout=5) as tcp:
                try:
                    tcp.sendall(garbage(chooser))
                except (BrokenPipeError, ConnectionResetError):
                    continue
    assert agent.get("/v1/kv/before")[0]["Value"] == "Z2FyYmFnZQ=="
    agent.put("/v1/kv/after", b"garbage")
    wait_until("DNS answers", lambda: dns_answers(agent))
    assert [member["Name"] for member in agent.get("/v1/agent/members")] == ["n1"]
    assert {service: agent.daemon_pid(service) for service in pids} == pids


def dns_answers(agent: Agent) -> bool:
    """Whether the node's own name resolves."""
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x02n1\x04node\x06consul\x00\x00\x01\x00\x01"
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(2)
        udp.sendto(question, (agent.host, agent.ports["dns"]))
        return udp.recv(512)[:2] == b"\x12\x34"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "text"),
    [
        ("PUT", "/v1/catalog/register", b"{", 400, b"Request decode failed"),
        ("PUT", "/v1/catalog/register", b'{"Node": 5}', 400, b"Request decode failed"),
        ("PUT", "/v1/agent/service/register", b'{"Nonsense": 1}', 400, b'unknown field "Nonsense"'),
        ("PUT", "/v1/session/create", b"[1]", 400, b"Request decode failed"),
        ("PUT", "/v1/kv/big", b"x" * 600_000, 413, b"too large"),
        ("GET", "/v1/kv/x?index=minus", b"", 400, b"Invalid index"),
        ("GET", "/v1/kv/x?wait=never", b"", 400, b"Invalid wait time"),
        ("GET", "/v1/health/service/x?stale&consistent", b"", 400, b"Cannot specify ?stale with ?consistent"),
        ("POST", "/v1/status/leader", b"", 405, b"method POST not allowed"),
    ],
)
def test_bad_requests_get_a_clear_answer(
    agent: Agent, method: str, path: str, body: bytes, status: int, text: bytes
) -> None:
    connection = http.client.HTTPConnection(agent.host, agent.ports["http"], timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    said = answer.read()
    connection.close()
    assert (answer.status, text in said) == (status, True), said
