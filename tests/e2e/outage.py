"""Three servers and a client agent on test hosts, servers lost one way or another, and what the client's users saw."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lictor.page import PageReader
from tools.agents import wait_until
from tools.testhosts import Host

PROBER = Path(__file__).with_name("prober.py")
SERVER = (
    "consul agent -server -bootstrap-expect=3 -data-dir=/tmp/consul -node={name} -bind={address} -client=0.0.0.0 "
    "-retry-join={join} -retry-interval=1s"
)
CLIENT = "consul agent -data-dir=/tmp/consul -node={name} -bind={address} -retry-interval=1s"
PRODUCTION = ("-hcl", "performance { raft_multiplier = 1 }")
"""What Consul's documentation advises for production."""
SERVICE = "web"


def start_all(servers: list[Host], client: Host, *extra: str) -> None:
    """Start everything, and register a service on the client."""
    for server in servers:
        line = SERVER.format(name=server.name, address=server.address, join=servers[0].address)
        server.start(*line.split(), *extra)
    joins = [f"-retry-join={server.address}" for server in servers]
    client.start(*CLIENT.format(name=client.name, address=client.address).split(), *joins, *extra)
    for host in (*servers, client):
        wait_until(f"{host.name} answers", lambda host=host: leader_seen_by(host), 90)
    definition = json.dumps({"Name": SERVICE, "Port": 80})
    done = client.run("curl", "-sf", "-X", "PUT", "-d", definition, f"{API}/v1/agent/service/register")
    assert done.returncode == 0, done.stderr
    path = f"/v1/health/service/{SERVICE}?passing"
    wait_until("the service is found", lambda: len(ask(client, path) or []) == 1, 30)


API = "http://127.0.0.1:8500"


def ask(host: Host, path: str) -> Any:
    """The JSON answer of this host's agent, None when there is none."""
    done = host.run("curl", "-sf", "-m", "10", API + path)
    return json.loads(done.stdout) if done.returncode == 0 else None


def leader_seen_by(host: Host) -> str:
    return ask(host, "/v1/status/leader") or ""


def leader_among(servers: list[Host]) -> Host | None:
    """The server that all of these call leader."""
    seen = {leader_seen_by(server) for server in servers}
    return next((server for server in servers if seen == {f"{server.address}:8300"}), None)


def term(host: Host) -> int:
    """A server's term, from its page."""
    reader = PageReader(host.data_dir)
    try:
        return reader.read().term
    finally:
        reader.close()


@contextmanager
def probing(client: Host) -> Iterator[Callable[[], dict[str, Any]]]:
    """Asks on the client's host meanwhile; the function ends that and returns what was seen."""
    result = client.folder / f"probe-{time.monotonic_ns()}.json"
    process = client.start(sys.executable, str(PROBER), SERVICE, client.address, str(result), log="prober.log")

    def finish() -> dict[str, Any]:
        process.send_signal(signal.SIGTERM)
        wait_until("the prober's report", result.exists, 30)
        report: dict[str, Any] = json.loads(result.read_text())
        return report

    try:
        yield finish
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
