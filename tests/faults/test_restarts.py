"""Restarts keep everything: one by one, all at once, and kill -9 of everything at the same instant under load."""

import os
from pathlib import Path

import pytest

from tests.faults.cluster import leader_of, make_cluster, started
from tests.faults.load import Load
from tools.agents import wait_until

ROUNDS = int(os.environ.get("LICTOR_CRASH_ROUNDS", "3"))


@pytest.mark.slow
def test_kill_everything_at_the_same_instant_under_load_loses_nothing_acknowledged(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path)) as agents:
        acknowledged: dict[str, str] = {}
        for number in range(ROUNDS):
            load = Load(agents, f"round{number}", seed=number)
            with load:
                wait_until("the load runs", lambda load=load: len(load.acknowledged) > 100, 30)
                for agent in agents:
                    agent.kill()
            for agent in agents:
                agent.start()
            for agent in agents:
                agent.wait_http()
            leader_of(agents)
            assert not load.lost(agents[number % len(agents)]), f"round {number}"
            acknowledged |= load.acknowledged
            print(f"round {number}: {len(load.acknowledged)} acknowledged writes kept")
        everything = Load(agents, "round", acknowledged=acknowledged)
        entries = {entry["Key"] for entry in agents[0].get("/v1/kv/round?recurse&consistent")}
        assert set(everything.acknowledged) <= entries


@pytest.mark.slow
def test_restarting_servers_one_by_one_and_all_at_once_keeps_all_data(tmp_path: Path) -> None:
    with started(make_cluster(tmp_path)) as agents:
        agents[0].put("/v1/kv/kept", b"value")
        agents[0].put("/v1/agent/service/register", {"Name": "kept", "Port": 1})
        for agent in agents:
            agent.stop()
            agent.start()
            agent.wait_http()
            leader_of(agents)
            assert agent.get("/v1/kv/kept?consistent")[0]["Value"] == "dmFsdWU="
        for agent in agents:
            agent.stop()
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.wait_http()
        leader_of(agents)
        for agent in agents:
            assert agent.get("/v1/kv/kept")[0]["Value"] == "dmFsdWU="
            assert [item["ServiceID"] for item in agent.get("/v1/catalog/service/kept")] == ["kept"]
