"""The client libraries of PyPI and npm, unmodified, each scenario in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compat.conftest import MASTER
from tests.compat.programs import node_client, python_client
from tests.needs import need
from tools.agents import Agent

SCENARIO_TIMEOUT_S = 40
CLIENTS = Path(__file__).parent / "clients"
PYTHON_SCENARIOS = (
    "kv cas locks catalog health agent checks txn event query blocking status".split()
)  # fmt: skip
NODE_SCENARIOS = ["kv", "locks", "catalog", "agent", "transaction", "events", "query", "watch"]


def run(*argv: str, **environment: str) -> None:
    """Runs one scenario to its end."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("CONSUL_", "PYTHON"))}
    done = subprocess.run(
        argv, env={**env, **environment}, capture_output=True, text=True, timeout=SCENARIO_TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stdout) == (0, "passed\n"), f"{argv}:\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("scenario", PYTHON_SCENARIOS)
def test_py_consul(agent: Agent, scenario: str) -> None:
    run(sys.executable, str(CLIENTS / "python_scenarios.py"), agent.http, scenario)


@pytest.mark.parametrize("scenario", PYTHON_SCENARIOS)
def test_python_consul(agent: Agent, scenario: str) -> None:
    # Its regular expressions are of a time before Python warned of their escapes.
    folder = python_client("python-consul")
    run(
        sys.executable,
        "-Wignore",
        str(CLIENTS / "python_scenarios.py"),
        agent.http,
        scenario,
        PYTHONPATH=str(folder),
    )


@pytest.mark.parametrize("scenario", NODE_SCENARIOS)
def test_npm_consul(agent: Agent, scenario: str) -> None:
    folder = node_client("consul")
    host, port = agent.http.split(":")
    run(need("node"), str(CLIENTS / "node_scenarios.js"), host, port, scenario, NODE_PATH=str(folder))


def test_access_control_by_py_consul(guarded: Agent) -> None:
    run(sys.executable, str(CLIENTS / "python_scenarios.py"), guarded.http, "access", MASTER)


def test_access_control_by_python_consul(guarded: Agent) -> None:
    folder = python_client("python-consul")
    script = str(CLIENTS / "python_scenarios.py")
    run(sys.executable, "-Wignore", script, guarded.http, "legacy_access", MASTER, PYTHONPATH=str(folder))


def test_access_control_by_npm_consul(guarded: Agent) -> None:
    host, port = guarded.http.split(":")
    folder = node_client("consul")
    run(need("node"), str(CLIENTS / "node_scenarios.js"), host, port, "access", MASTER, NODE_PATH=str(folder))
