"""Nodes made again: the same name at another address, the same address under another name."""

import shutil
import time
from pathlib import Path

import pytest

from tests.faults.test_membership import QUICK
from tools.agents import Agent, make_agent, running, wait_until

REGISTERED_WITHIN_S = 10.0
pytestmark = pytest.mark.slow


def client(folder: Path, name: str, host: str, server: Agent) -> Agent:
    return make_agent(folder, name, f"-retry-join={server.lan}", host=host, config={**QUICK, "retry_interval": "1s"})


def address_of(server: Agent, name: str) -> str:
    found = server.get(f"/v1/catalog/node/{name}")
    return str(found["Node"]["Address"]) if found else ""


def test_a_node_made_again_with_its_name_elsewhere_is_registered_within_seconds(tmp_path: Path) -> None:
    server = make_agent(tmp_path / "s", "s", "-server", "-bootstrap-expect=1", config=QUICK)
    first = client(tmp_path / "a", "worker", "127.0.2.1", server)
    second = client(tmp_path / "b", "worker", "127.0.2.2", server)
    with running(server, first):
        wait_until("it is registered", lambda: address_of(server, "worker") == first.host, 30)
        first.kill()
        members = "/v1/agent/members"
        wait_until("it failed", lambda: {m["Name"]: m["Status"] for m in server.get(members)}["worker"] == 4, 30)
        server.cli("force-leave", "worker")
        with running(second):
            started = time.monotonic()
            wait_until("its new address is registered", lambda: address_of(server, "worker") == second.host, 60)
            assert time.monotonic() - started < REGISTERED_WITHIN_S


def test_a_node_made_again_with_another_name_at_its_address_is_registered_within_seconds(tmp_path: Path) -> None:
    server = make_agent(tmp_path / "s", "s", "-server", "-bootstrap-expect=1", config=QUICK)
    first = client(tmp_path / "a", "worker", "127.0.2.3", server)
    with running(server, first):
        wait_until("it is registered", lambda: address_of(server, "worker") == first.host, 30)
        first.kill()
        shutil.rmtree(first.data_dir, ignore_errors=True)
        renamed = make_agent(
            tmp_path / "b", "renamed", f"-retry-join={server.lan}", host=first.host, config={"retry_interval": "1s"}
        )
        with running(renamed):
            started = time.monotonic()
            wait_until("its new name is registered", lambda: address_of(server, "renamed") == renamed.host, 60)
            assert time.monotonic() - started < REGISTERED_WITHIN_S
