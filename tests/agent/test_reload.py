"""A reload is answered when every daemon has taken it over."""

import json
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.agents import Agent, make_agent, running

SCRIPT = {"check": {"id": "mem", "name": "mem", "args": ["/bin/true"], "interval": "1h"}}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    file = tmp_path / "changing.json"
    file.write_text("{}")
    config = {"performance": {"raft_multiplier": 1}}
    made = make_agent(tmp_path / "n1", "n1", "-server", "-bootstrap-expect=1", config=config, config_files=(file,))
    with running(made):
        yield made


def configure(agent: Agent, content: object) -> None:
    (agent.folder.parent / "changing.json").write_text(json.dumps(content))


def test_what_a_reload_registers_is_there_when_it_is_answered(agent: Agent) -> None:
    for port in (1, 2, 3):
        configure(agent, {"service": {"name": "redis", "port": port}})
        agent.put("/v1/agent/reload")
        assert agent.get("/v1/agent/services")["redis"]["Port"] == port
    configure(agent, {})
    agent.put("/v1/agent/reload")
    assert "redis" not in agent.get("/v1/agent/services")


def test_a_reload_that_cannot_register_a_check_says_so(agent: Agent) -> None:
    configure(agent, SCRIPT)
    with pytest.raises(urllib.error.HTTPError) as refusal:
        agent.put("/v1/agent/reload")
    with refusal.value as answer:
        text = answer.read().decode()
    assert text.startswith("Failed to reload configs: ")
    assert "Scripts are disabled on this agent" in text
    assert agent.get("/v1/agent/checks") == {}
