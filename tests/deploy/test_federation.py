"""The shipped files for several datacenters, with the commands of their README."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tools.agents import ROOT, Agent, make_agent, running, wait_until

FILES = ROOT / "deploy" / "federation"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Agent, Agent]]:
    """One of bj, one of sh."""
    folder = tmp_path_factory.mktemp("federation")
    own = {"performance": {"raft_multiplier": 1}, "retry_interval_wan": "1s"}
    made = [
        make_agent(
            folder / dc, f"{dc}1", "-bootstrap-expect=1", datacenter=dc, config=own, config_files=(FILES / file,)
        )
        for dc, file in (("bj", "primary.hcl"), ("sh", "secondary.hcl"))
    ]
    bj, sh = made
    sh.argv.append(f"-retry-join-wan=127.0.0.1:{bj.ports['serf_wan']}")
    bj.argv.remove("-datacenter=bj")
    sh.argv.remove("-datacenter=sh")
    with running_without_tokens(bj, sh):
        yield bj, sh


def running_without_tokens(*agents: Agent) -> Any:
    """Agents that answer nobody without a token are up when they know their leader."""
    for agent in agents:
        agent.wait_http = agent.wait_leader  # type: ignore[assignment,method-assign]
    return running(*agents)


def consul(agent: Agent, token: str, command: str, *arguments: str) -> str:
    done = agent.cli(*command.split(), f"-token={token}", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def secret_in(text: str) -> str:
    found = re.search(r"SecretID: +([0-9a-f-]{36})", text)
    assert found is not None, text
    return found[1]


def test_what_is_said_in_the_primary_datacenter_counts_in_the_other_one(servers: tuple[Agent, Agent]) -> None:
    bj, sh = servers
    done = wait_until("bootstrapping", lambda: (run := bj.cli("acl", "bootstrap")).returncode == 0 and run)
    first = secret_in(done.stdout)
    rules = f"-rules=@{FILES / 'replication.hcl'}"
    consul(bj, first, "acl policy create", "-name=replication", rules)
    described = ("-description=replication to sh", "-policy-name=replication")
    replication = secret_in(consul(bj, first, "acl token create", *described))

    def handed_over() -> bool:
        return sh.cli("acl", "set-agent-token", f"-token={first}", "replication", replication).returncode == 0

    wait_until("the other datacenter knows the first token", handed_over)

    def replicated() -> bool:
        status = sh.get("/v1/acl/replication")
        indexes = (status["ReplicatedIndex"], status["ReplicatedRoleIndex"], status["ReplicatedTokenIndex"])
        return min(indexes) > 0 and status["LastSuccess"] > status["LastError"]

    wait_until("replication", replicated)
    entry = json.dumps({"Kind": "service-defaults", "Name": "web", "Protocol": "http"})
    assert bj.cli("config", "write", f"-token={first}", "-", stdin=entry).returncode == 0
    consul(bj, first, "intention create", "-deny", "a", "web")
    with_token = f"?token={first}"
    wait_until("the entry", lambda: sh.get(f"/v1/config/service-defaults{with_token}"))
    wait_until("the intention", lambda: sh.get(f"/v1/connect/intentions{with_token}"))
    leaf = wait_until("a leaf", lambda: sh.get(f"/v1/agent/connect/ca/leaf/web{with_token}"))
    assert leaf["CertPEM"].count("BEGIN CERTIFICATE") == 2


def test_the_token_outlives_a_restart_of_its_agent(servers: tuple[Agent, Agent]) -> None:
    _, sh = servers
    sh.kill()
    sh.start()
    sh.wait_leader()
    wait_until("replication", lambda: sh.get("/v1/acl/replication")["ReplicatedTokenIndex"] > 0)
