"""One server agent for the tests of this folder; every test uses names of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.backends import Backends
from tools.agents import Agent, make_agent, running

CONFIGURATION = {
    "performance": {"raft_multiplier": 1},
    "telemetry": {"prometheus_retention_time": "60s", "disable_hostname": True},
}


@pytest.fixture(scope="package")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    made = make_agent(tmp_path_factory.mktemp("deploy"), "n1", "-server", "-bootstrap-expect=1", config=CONFIGURATION)
    with running(made):
        made.wait_leader()
        yield made


@pytest.fixture
def backends() -> Iterator[Backends]:
    """Small web servers that say who they are."""
    made = Backends()
    yield made
    made.close()
