"""Recorded exchanges with a real Consul, asked of a follower and of a client agent: the same answers as from a leader;
and those about access control, asked of one server.

`make conformance` plays every file; these are the quick ones. The recordings are not part of this repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.agents import Agent, running
from tools.conformance import (
    ACL_TOKEN,
    DEFAULT_FOLDER,
    agent_for,
    all_vote,
    cluster_for,
    ready,
    replay,
    strangers_are_known,
    via_cases,
)

RECORDINGS = Path(os.environ.get("LICTOR_CONFORMANCE", DEFAULT_FOLDER))
QUICK_FILES = ("agent", "catalog", "config", "health", "http", "kv", "query", "status", "txn")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (RECORDINGS / "replay.py").exists(), reason=f"no recordings at {RECORDINGS}"),
]


@pytest.fixture(scope="module", params=["follower", "client"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Agent]]:
    """Which way the cluster is asked, and the agent n1 that is."""
    via: str = request.param
    agents = cluster_for("default", via, RECORDINGS, tmp_path_factory.mktemp(via))
    with running(*agents):
        if via == "follower":
            all_vote(agents)
        ready(agents)
        yield via, agents[0]


@pytest.mark.parametrize("name", QUICK_FILES)
def test_the_answers_are_those_of_the_leader(asked: tuple[str, Agent], name: str, tmp_path: Path) -> None:
    via, agent = asked
    cases = via_cases(via, RECORDINGS / "cases" / f"{name}.json", tmp_path)
    passed, failed, output = replay(RECORDINGS / "replay.py", cases, agent, "default", [])
    assert passed and not failed, output


@pytest.mark.parametrize("name", ["acl", "acl-fresh"])
def test_access_control_is_as_recorded(name: str, tmp_path: Path) -> None:
    agent = agent_for(name, RECORDINGS, tmp_path, "on")
    with running(agent):
        if name == "acl":
            ready([agent], ACL_TOKEN)
        else:
            strangers_are_known(agent)
        case_file = RECORDINGS / "cases" / f"{name}.json"
        passed, failed, output = replay(RECORDINGS / "replay.py", case_file, agent, name, [])
    assert passed and not failed, output
