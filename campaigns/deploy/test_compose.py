"""`make compose-lab` for real: the cluster forms, the web service scales under load, a server goes and comes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns.deploy.engine import Engine, engine
from tools.agents import ROOT, wait_until

COMPOSE = ("docker-compose", "-f", str(ROOT / "deploy" / "compose" / "docker-compose.yml"), "-p", "lictor")
AGENTS = ("bj1", "bj2", "bj3", "sh1", "agent")
LOAD = """
import json, sys
from tests.deploy.load import Load
load = Load(8080)
sys.stdin.read()
load.stop()
print(json.dumps({"answers": sum(load.answers.values()), "failures": load.failures}))
"""
REQUESTS = 24


class Lab:
    def __init__(self, running: Engine) -> None:
        self.engine = running

    def compose(self, *argv: str) -> str:
        return self.engine.check(*COMPOSE, *argv)

    def on(self, container: str, *argv: str) -> str:
        """The output of a command in a container; empty when it fails."""
        done = self.engine.run(*COMPOSE, "exec", "-T", container, *argv)
        return done.stdout if done.returncode == 0 else ""

    def answering(self) -> set[str]:
        """The host names that a number of requests through nginx are answered with."""
        urls = ["http://localhost:8080/"] * REQUESTS
        done = self.engine.run(*self.engine.beside("curl", "-s", *urls))
        return set(done.stdout.split())

    def instances(self) -> set[str]:
        """The host names of the web service's containers: the beginnings of their IDs."""
        return {name[:12] for name in self.compose("ps", "-q", "web").split()}

    def scale(self, count: int) -> None:
        self.compose("up", "-d", "--no-recreate", "--scale", f"web={count}")
        wait_until("as many run", lambda: len(self.instances()) == count)
        wanted = self.instances()
        wait_until(f"{count} answer", lambda: self.answering() == wanted)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with tempfile.TemporaryDirectory(prefix="lictor-docker-") as folder, engine(Path(folder)) as running:
        print(running.check("make", "-C", str(ROOT), "compose-lab"))
        try:
            yield Lab(running)
        finally:
            running.check("make", "-C", str(ROOT), "compose-lab-down")


def test_the_cluster_of_the_walk_through_forms(lab: Lab) -> None:
    def members(*flags: str) -> dict[str, str]:
        lines = lab.on("bj1", "consul", "members", *flags).splitlines()[1:]
        return {fields[0]: fields[2] for fields in map(str.split, lines)}

    wait_until("bj is whole", lambda: members() == dict.fromkeys(("bj1", "bj2", "bj3", "agent"), "alive"))
    wanted = dict.fromkeys(("bj1.bj", "bj2.bj", "bj3.bj", "sh1.sh"), "alive")
    wait_until("sh belongs to it", lambda: members("-wan") == wanted)
    healthy = "docker ps --filter health=healthy --format '{{.Names}}'"
    names = {f"lictor_{name}_1" for name in (*AGENTS, "nginx")}
    wait_until("health checks pass", lambda: set(lab.engine.check("sh", "-c", healthy).split()) >= names)
    lab.on("bj2", "consul", "kv", "put", "color", "red")
    assert lab.on("sh1", "consul", "kv", "get", "-datacenter=bj", "color") == "red\n"


def test_the_web_service_scales_out_and_in_and_no_request_is_lost(lab: Lab) -> None:
    lab.scale(3)
    argv = lab.engine.beside(sys.executable, "-c", LOAD)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as load:
        for count in (6, 1):
            lab.scale(count)
        output, _ = load.communicate("", timeout=60)
    result = json.loads(output)
    assert result["answers"] > 0 and result["failures"] == []


def test_a_server_that_stops_is_not_missed_and_comes_back(lab: Lab) -> None:
    lab.compose("stop", "bj2")
    wait_until("writes go on", lambda: "Success" in lab.on("bj1", "consul", "kv", "put", "color", "blue"))
    assert len(lab.answering()) == 1
    lab.compose("start", "bj2")
    wait_until("bj2 has caught up", lambda: lab.on("bj2", "consul", "kv", "get", "-stale", "color") == "blue\n")


def test_memory_and_logs_are_bounded(lab: Lab) -> None:
    names = lab.engine.check("docker", "ps", "-q").split()
    for container in json.loads(lab.engine.check("docker", "inspect", *names)):
        assert container["HostConfig"]["Memory"] > 0
        assert container["HostConfig"]["LogConfig"]["Config"]["max-size"] == "1m"
        assert not container["State"]["OOMKilled"]
