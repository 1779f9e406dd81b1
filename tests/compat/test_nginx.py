"""Debian's nginx with the shipped configuration follows a service that scales out and in."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from tests.compat.backends import ASK_TIMEOUT_S, Backends
from tests.compat.programs import program
from tests.needs import need
from tools.agents import ROOT, Agent, free_ports, wait_until

REQUESTS = 24
SHIPPED = ROOT / "deploy" / "nginx" / "nginx.conf"


def configured(agent: Agent, folder: Path, listen: int, service: int) -> Path:
    """The shipped file with this test's ports and folders."""
    text = SHIPPED.read_text()
    changes = {
        "127.0.0.1:8600": agent.dns,
        "listen 8080": f"listen 127.0.0.1:{listen}",
        "consul:8000": f"consul:{service}",
        "/var/log/nginx": str(folder),
    }
    for old, new in changes.items():
        assert old in text, f"{SHIPPED} has no {old!r}"
        text = text.replace(old, new)
    file = folder / "nginx.conf"
    file.write_text(text)
    return file


def ask(port: int, host_name: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ASK_TIMEOUT_S)
    try:
        connection.request("GET", "/", headers={"Host": host_name})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def answers(port: int, host_name: str) -> tuple[set[int], set[str]]:
    asked = [ask(port, host_name) for _ in range(REQUESTS)]
    return {status for status, _ in asked}, {body for _, body in asked}


@pytest.mark.slow
def test_the_shipped_configuration_follows_scaling_with_no_reload(
    agent: Agent, backends: Backends, tmp_path: Path
) -> None:
    listen, service = free_ports(2)
    file = configured(agent, tmp_path, listen, service)

    def register(last: int) -> None:
        host = f"127.0.0.{last}"
        backends.start(f"b{last}", host, service)
        agent.put(
            "/v1/agent/service/register",
            {"ID": f"ng{last}", "Name": "ng-web", "Address": host, "Port": service},
        )

    def served_by(*last: int) -> None:
        wanted = {f"b{each}" for each in last}
        seen: set[str] = set()

        def spread() -> bool:
            statuses, bodies = answers(listen, "ng-web.example.net")
            # More than three instances come in several DNS answers; an old one must be gone from all of a round.
            if statuses != {200} or not bodies <= wanted:
                seen.clear()
                return False
            seen.update(bodies)
            return seen == wanted

        wait_until(f"requests are served by {sorted(wanted)}", spread)

    register(21)
    options = f"daemon off; master_process off; pid {tmp_path}/nginx.pid;"
    argv = [need("nginx"), "-p", str(tmp_path), "-e", "stderr", "-c", str(file), "-g", options]
    with program(tmp_path / "nginx.log", *argv) as nginx:
        served_by(21)
        for last in (22, 23, 24, 25):
            register(last)
        served_by(21, 22, 23, 24, 25)
        for last in (21, 22, 23):
            agent.put(f"/v1/agent/service/deregister/ng{last}")
        served_by(24, 25)
        assert ask(listen, "other.example.org")[0] == 404
        assert ask(listen, "never-registered.example.net")[0] == 502
        assert nginx.process.poll() is None
    for last in (24, 25):
        agent.put(f"/v1/agent/service/deregister/ng{last}")
