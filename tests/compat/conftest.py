"""One server agent for the tests of this folder; every test uses names of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compat.backends import Backends
from tests.compat.programs import install_ahead
from tools.agents import Agent, make_agent, running, wait_until

CONFIGURATION = {"performance": {"raft_multiplier": 1}, "telemetry": {"prometheus_retention_time": "60s"}}
MASTER = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b01"


@pytest.fixture(scope="package", autouse=True)
def _clients() -> None:
    """Installed while the first tests run."""
    install_ahead()


@pytest.fixture(scope="package")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    made = make_agent(tmp_path_factory.mktemp("compat"), "n1", "-server", "-bootstrap-expect=1", config=CONFIGURATION)
    with running(made):
        made.wait_leader()
        yield made


@pytest.fixture(scope="package")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A server with access control on; `MASTER` may do everything."""
    tokens = {"master": MASTER, "agent": MASTER}
    config = {**CONFIGURATION, "acl": {"enabled": True, "default_policy": "deny", "tokens": tokens}}
    made = make_agent(tmp_path_factory.mktemp("guarded"), "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(made):
        wait_until("the master token is there", lambda: made.get(f"/v1/acl/token/self?token={MASTER}"), 60)
        yield made


@pytest.fixture
def backends() -> Iterator[Backends]:
    """Small web servers that say who they are."""
    made = Backends()
    yield made
    made.close()
