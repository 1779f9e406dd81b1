"""The fast lane and FastAPI give the same bytes: status line, headers in their order, body."""

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apid import lane_requests
from tests.apid.lanes import Pair
from tools.agents import ROOT, Agent, free_ports, make_agent, running, wait_until

RECORDINGS = Path(os.environ.get("LICTOR_CONFORMANCE", ROOT.parent / "shared" / "conformance"))
NODE_ID = "0e8ad0b4-7d1c-4ad4-9f0a-6a1b2c3d4e5f"
# The recordings of agents with default settings; `blocking` and `session` wait for long.
QUICK_FILES = ("kv", "txn", "catalog", "health", "http", "status", "operator", "config", "query")
SLOW_FILES = ("agent", "blocking", "coordinate", "event", "session", "snapshot")
RUN_NAME = "blanesx"


def lane_agent(folder: Path, host: str, fast_lane: bool) -> Agent:
    """One of two agents that differ in their addresses alone."""
    config = {"performance": {"raft_multiplier": 1}, "http_config": {"fast_lane": fast_lane}}
    flags = ("-server", "-bootstrap-expect=1", "-ui", f"-node-id={NODE_ID}")
    return make_agent(folder, "n1", *flags, host=host, config=config)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("lanes")
    first = lane_agent(folder / "a", "127.0.0.31", True)
    second = lane_agent(folder / "b", "127.0.0.32", False)
    # The same ports on both addresses, so that answers that show them are equally long.
    ports = dict(zip(first.ports, free_ports(len(first.ports), "127.0.0.31"), strict=True))
    for agent in (first, second):
        settings = json.loads((agent.folder / "own.json").read_text())
        settings["ports"] = ports
        (agent.folder / "own.json").write_text(json.dumps(settings))
        agent.ports = dict(ports)
    with running(first, second):
        for agent in (first, second):
            agent.wait_leader()
            wait_until(
                "its node is in the catalog",
                lambda agent=agent: (agent.get("/v1/catalog/node/n1") or {"Node": {}})["Node"].get("TaggedAddresses"),  # type: ignore[misc]
            )
        made = Pair(first, second)
        yield made
        made.close()


def test_every_operation_answers_alike(pair: Pair) -> None:
    found = pair.run("requests", lane_requests.steps(), RUN_NAME)
    assert not found, "\n".join(found)


def test_the_requests_reach_every_documented_operation(pair: Pair) -> None:
    document = pair.first.get("/openapi.json")
    asked = []
    for step in lane_requests.steps():
        method, target = step["http"].split(" ")
        asked.append((method, target.partition("?")[0]))
    missing = []
    for path, operations in document["paths"].items():
        pattern = re.compile(re.sub(r"\{[^}]+\}", ".+", path))
        for method in operations:
            if (method.upper(), path) in lane_requests.LEFT_OUT:
                continue
            if not any(verb == method.upper() and pattern.fullmatch(target) for verb, target in asked):
                missing.append(f"{method.upper()} {path}")
    assert not missing


def test_the_documents_are_the_same(pair: Pair) -> None:
    assert pair.first.get("/openapi.json") == pair.second.get("/openapi.json")


@pytest.mark.parametrize("path", lane_requests.ENDLESS)
def test_endless_answers_begin_alike(pair: Pair, path: str) -> None:
    heads = []
    for agent in (pair.first, pair.second):
        with socket.create_connection((agent.host, agent.ports["http"]), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += connection.recv(4096)
        head = received.partition(b"\r\n\r\n")[0]
        heads.append(re.sub(rb"(Date|X-Consul-Index): [^\r]*", rb"\1: x", head))
    assert heads[0] == heads[1]
    assert b"Transfer-Encoding: chunked" in heads[0]


@pytest.mark.parametrize("name", QUICK_FILES)
def test_recorded_cases_answer_alike(pair: Pair, name: str) -> None:
    run_file(pair, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_FILES)
def test_recorded_cases_that_wait_answer_alike(pair: Pair, name: str) -> None:
    run_file(pair, name)


def run_file(pair: Pair, name: str) -> None:
    """Plays a recorded file where there are recordings; the requests of the repository are compared in any case."""
    path = RECORDINGS / "cases" / f"{name}.json"
    if not path.exists():
        return
    found = []
    for number, case in enumerate(json.loads(path.read_bytes())["cases"]):
        run = f"{RUN_NAME}{number:03}"
        found += pair.run(f"{name}: {case['name']}", case["steps"], run)
        pair.run("cleanup", case.get("cleanup", []), run)
    assert not found, "\n".join(found)
