"""Any one process may die without harm: kill -9 of every daemon on every node, one after the other, under load."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.cluster import leader_of, make_cluster, started
from tests.faults.load import Load
from tools.agents import Agent, wait_until

DAEMONS = ("raftd", "gossipd", "apid", "dnsd", "checkd")
BACK_WITHIN_S = 3.0


def kill_daemon(agent: Agent, daemon: str) -> float:
    """kill -9 of one daemon; returns after how many seconds a new one had taken its place."""
    old = agent.daemon_pid(daemon)
    os.kill(old, signal.SIGKILL)
    killed = time.monotonic()
    wait_until(f"{daemon} of {agent.name} is back", lambda: agent.daemon_pid(daemon) != old, 10)
    return time.monotonic() - killed


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Agent]]:
    """One cluster; the last test loses a server of it."""
    with started(make_cluster(tmp_path_factory.mktemp("daemons"))) as whole:
        yield whole


@pytest.mark.slow
def test_killing_any_daemon_of_any_node_loses_nothing_and_it_is_back_within_three_seconds(agents: list[Agent]) -> None:
    with Load(agents, "daemons") as load:
        wait_until("the load runs", lambda: len(load.acknowledged) > 50)
        late = {}
        for agent in agents:
            for daemon in DAEMONS:
                took_s = kill_daemon(agent, daemon)
                if took_s > BACK_WITHIN_S:
                    late[f"{agent.name} {daemon}"] = took_s
                before = len(load.acknowledged)
                wait_until("writes go on", lambda before=before: len(load.acknowledged) > before + 20, 20)
        load.__exit__()
        leader_of(agents)
        assert not late
        assert not load.wrong_reads
        for agent in agents:
            assert not load.lost(agent)


def recovery_s(agents: list[Agent]) -> float:
    """Kills the leader's whole agent under load and returns how long no write was acknowledged."""
    leader = leader_of(agents)
    survivors = [agent for agent in agents if agent is not leader]
    with Load(survivors, "leader") as load:
        wait_until("the load runs", lambda: len(load.acknowledged) > 50)
        leader.kill()
        killed, before = time.monotonic(), len(load.acknowledged)
        wait_until("writes work again", lambda: len(load.acknowledged) > before + 20, 40)
        recovered_s = time.monotonic() - killed
    assert not load.lost(survivors[0])
    assert not load.wrong_reads
    return recovered_s


@pytest.mark.slow
def test_writes_work_again_within_five_seconds_of_the_leaders_whole_agent_being_killed(agents: list[Agent]) -> None:
    assert recovery_s(agents) < 5.0


@pytest.mark.slow
def test_with_the_default_timing_writes_work_again_within_fifteen_seconds(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path, config={"performance": {"raft_multiplier": 5}})) as agents:
        assert recovery_s(agents) < 15.0
