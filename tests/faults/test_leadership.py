"""What must not move the leader, and how the cluster goes on when something does."""

import contextlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faults.cluster import leader_of, make_cluster, started
from tests.faults.load import Load
from tests.faults.raftview import terms
from tools.agents import Agent, make_agent, running, wait_until

SATURATION_S = 5.0
"""Several election timeouts."""
SATURATING_CONNECTIONS = 32
PAUSE_S = 5.0
READERS = 10
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Agent]]:
    """One cluster for all: each test leaves it whole."""
    with started(make_cluster(tmp_path_factory.mktemp("leadership"))) as whole:
        yield whole


@contextlib.contextmanager
def flood(agents: list[Agent]) -> Iterator[list[int]]:
    """As many requests as the agents' apid can take, and more; yields the count of answers."""
    stop, answered = threading.Event(), [0]

    def ask(agent: Agent) -> None:
        while not stop.is_set():
            connection = http.client.HTTPConnection(agent.host, agent.ports["http"], timeout=20)
            with contextlib.suppress(OSError, http.client.HTTPException):
                while not stop.is_set():
                    connection.request("GET", "/v1/catalog/nodes?pretty")
                    with connection.getresponse() as answer:
                        answer.read()
                    answered[0] += 1
            connection.close()

    threads = [
        threading.Thread(target=ask, args=(agent,), daemon=True)
        for agent in agents
        for _ in range(SATURATING_CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join(25)


def test_requests_that_saturate_every_apid_cause_no_election(agents: list[Agent]) -> None:
    before = terms(agents)
    with flood(agents) as answered:
        wait_until("the flood runs", lambda: answered[0] > 200, 60)
        end = time.monotonic() + SATURATION_S
        wait_until("the flood has lasted", lambda: time.monotonic() > end, 2 * SATURATION_S)
    assert terms(agents) == before, f"{answered[0]} requests moved the leader"


def test_a_leaders_raftd_paused_for_seconds_is_replaced_and_returns_as_a_follower(agents: list[Agent]) -> None:
    leader = leader_of(agents)
    others = [agent for agent in agents if agent is not leader]
    pid = leader.daemon_pid("raftd")
    with Load(others, "paused") as load:
        wait_until("the load runs", lambda: len(load.acknowledged) > 50)
        os.kill(pid, signal.SIGSTOP)
        paused = time.monotonic()
        try:
            count = len(load.acknowledged)
            wait_until("writes go on", lambda: len(load.acknowledged) > count + 20, 15)
            recovered_s = time.monotonic() - paused
            others[0].put("/v1/kv/newest", b"after the pause")
            wait_until("the pause is over", lambda: time.monotonic() > paused + PAUSE_S, PAUSE_S + 5)
        finally:
            # The supervisor may have taken it for hung meanwhile: either way it comes back.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        # The paused leader's lease is over: its first answer is the new leader's.
        first = wait_until("the old leader answers", lambda: leader.get("/v1/kv/newest?consistent"), 20)
        assert first[0]["Value"] == "YWZ0ZXIgdGhlIHBhdXNl"
    assert recovered_s < 6.0
    assert leader_of(agents) is not leader
    assert not load.wrong_reads
    for agent in agents:
        assert not load.lost(agent)


def test_default_reads_of_a_leader_that_was_paused_are_never_old(agents: list[Agent]) -> None:
    leader = leader_of(agents)
    other = next(agent for agent in agents if agent is not leader)
    other.put("/v1/kv/clock", b"0")
    pid = leader.daemon_pid("raftd")
    # Its apid goes on, with the page as raftd left it.
    os.kill(pid, signal.SIGSTOP)

    def read(_number: int) -> str | None:
        with contextlib.suppress(OSError, TimeoutError):
            return str(leader.get("/v1/kv/clock", 2)[0]["Value"])
        return None

    try:
        wait_until("another leads", lambda: other.put("/v1/kv/clock", b"1", 20), 20)
        with ThreadPoolExecutor(READERS) as readers:
            values = list(readers.map(read, range(2 * READERS)))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert set(values) <= {None, "MQ=="}
    assert leader_of(agents)


def test_writes_and_catalog_reads_go_on_while_the_leaders_apid_is_gone(agents: list[Agent], tmp_path: Path) -> None:
    """A client agent is forwarded to whichever server's apid answers."""
    leader = leader_of(agents)
    client = make_agent(tmp_path / "client", "client", *(f"-retry-join={agent.lan}" for agent in agents))
    with running(client):
        wait_until("the client writes", lambda: client.put("/v1/kv/client", b"1"), 30)
        followers = [agent for agent in agents if agent is not leader]
        with Load([client, *followers], "apid") as load:
            wait_until("the load runs", lambda: len(load.acknowledged) > 50)
            for _ in range(3):
                old = leader.daemon_pid("apid")
                os.kill(old, signal.SIGKILL)
                count = len(load.acknowledged)
                wait_until("writes go on", lambda count=count: len(load.acknowledged) > count + 50, 20)
                wait_until("apid is back", lambda old=old: leader.daemon_pid("apid") != old, 10)
        assert load.write_gap_s < 2.0
        assert not load.wrong_reads
        assert not load.lost(client)
        assert [node["Node"] for node in client.get("/v1/catalog/nodes")] == ["client", "s1", "s2", "s3"]
