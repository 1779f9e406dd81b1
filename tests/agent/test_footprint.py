"""What a whole idle agent takes: memory, and time until it answers and is gone."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.memory import tree_pss_mb
from tools.agents import Agent, make_agent, running

PSS_MAX_MB = 120.0
STOP_MAX_S = 1.0


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    config = {"performance": {"raft_multiplier": 1}}
    made = make_agent(tmp_path, "n1", "-server", "-bootstrap-expect=1", "-ui", config=config)
    with running(made):
        made.wait_leader()
        yield made


def test_an_idle_server_takes_less_than_120_mb_and_is_gone_within_a_second_of_sigint(agent: Agent) -> None:
    assert agent.process is not None
    taken_mb = tree_pss_mb(agent.process.pid)
    assert taken_mb < PSS_MAX_MB
    begin = time.monotonic()
    agent.stop()
    assert time.monotonic() - begin < STOP_MAX_S
