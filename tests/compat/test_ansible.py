"""Ansible's Consul modules (community.general, through Debian's python-consul) against a real agent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.needs import need
from tools.agents import Agent

PLAYBOOK = Path(__file__).parent / "clients" / "playbook.yml"
PLAY_TIMEOUT_S = 90


@pytest.mark.slow
def test_keys_services_and_sessions_are_managed_by_a_playbook(agent: Agent, tmp_path: Path) -> None:
    host, port = agent.http.split(":")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CONSUL_", "PYTHON"))}
    environment |= {
        "ANSIBLE_HOME": str(tmp_path),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
        "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_CONSUL_URL": f"http://{agent.http}",
        "LC_ALL": "C.UTF-8",
    }
    variables = f"consul_host={host} consul_port={port} ansible_python_interpreter=/usr/bin/python3"
    done = subprocess.run(
        [need("ansible-playbook"), "-i", "localhost,", "-c", "local", "-e", variables, str(PLAYBOOK)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PLAY_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert agent.get("/v1/kv/ansible/kept?raw=") == 42
    assert "ansible-web" not in agent.get("/v1/agent/services")
