"""How soon a dead service, or a dead host, is no longer given out: `python -m bench detection`.

Three servers and three hosts with a client agent each, all in network namespaces. Every client host runs one instance
of a service, a small HTTP server with an HTTP check. A round kills the instance (SIGKILL) at a random moment of the
check's interval, or takes the whole host away (its cable is cut and every process on it killed at once), and measures
how long users elsewhere are still given its address: by HTTP and DNS, at a server and at another client agent.

Bounds. A service: check interval plus 1 s. A host: what gossip takes to declare it dead (`gossip_detection_s`) plus
the same 1 s for the catalog.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.report import Distribution
from tools.agents import wait_until
from tools.testhosts import ROOT, Host, NamespaceNetwork

SERVERS = ("192.168.98.1", "192.168.98.2", "192.168.98.3")
CLIENTS = ("192.168.98.11", "192.168.98.12", "192.168.98.13")
SERVICE = "web"
SERVICE_PORT = 8080
INTERVAL_S = 1.0
CATALOG_S = 1.0
"""Allowed on top of the check's interval, or of gossip's detection."""
PROBE_INTERVAL_S = 1.0
SUSPICION_MULTIPLIER = 4
START_TIMEOUT_S = 60
ROUND_TIMEOUT_S = 60
SERVER_CONFIG = {"performance": {"raft_multiplier": 1}}
APPLICATION = """
import http.server
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("0.0.0.0", %d), Healthy).serve_forever()
"""


def gossip_detection_s(members: int) -> float:
    """The longest that SWIM with memberlist's LAN timings takes, when the living members answer in time.

    Every member probes all others in random order, one each interval: the first two other confirmations of a suspicion
    come at the latest when everybody has probed everybody, two rounds for an unlucky order. The failed probe takes
    its interval, the suspicion at least its smallest timeout.
    """
    last_confirmed_s = 2 * (members - 1) * PROBE_INTERVAL_S + PROBE_INTERVAL_S
    return max(last_confirmed_s, (1 + SUSPICION_MULTIPLIER) * PROBE_INTERVAL_S + (members - 1) * PROBE_INTERVAL_S)


class View:
    """What one observer has seen: per way of asking, which addresses are given out since when."""

    def __init__(self, name: str, host: Host) -> None:
        self.name = name
        argv = (*host.prefix, sys.executable, "-m", "bench.observer", SERVICE, *CLIENTS)
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, env=host.environment, cwd=ROOT)
        self._seen: dict[str, tuple[float, list[str]]] = {}
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            seen = json.loads(line)
            with self._lock:
                self._seen[seen["way"]] = (seen["at_s"], seen["given"])

    def given(self, way: str) -> tuple[float, list[str]]:
        """Since when (CLOCK_MONOTONIC), and what."""
        with self._lock:
            return self._seen.get(way, (0.0, []))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


WAYS = ("http", "dns")


class Lab:
    """The running cluster with its service and observers."""

    def __init__(self, network: NamespaceNetwork) -> None:
        self.network = network
        self.servers, self.clients = network.hosts[: len(SERVERS)], network.hosts[len(SERVERS) :]
        self._applications: dict[str, subprocess.Popen[bytes]] = {}
        self.views: list[View] = []

    def start(self) -> None:
        """Everything up: agents joined, the service's instances passing everywhere."""
        config = self.network.folder / "server.json"
        config.write_text(json.dumps(SERVER_CONFIG))
        for host in self.servers:
            flags = ("-server", f"-bootstrap-expect={len(SERVERS)}", f"-config-file={config}")
            self._start_agent(host, *flags)
        for host in self.clients:
            self._start_agent(host)
        for host in self.clients:
            self._start_application(host)
            wait_until(f"{host.name} has a leader", partial(self._register, host), START_TIMEOUT_S)
        self.views = [View("server", self.servers[0]), View("client agent", self.clients[-1])]
        self.wait_all_given()

    def _start_agent(self, host: Host, *flags: str) -> None:
        argv = ("consul", "agent", f"-node={host.name}", f"-bind={host.address}", "-data-dir=/tmp/consul")
        joins = (f"-retry-join={SERVERS[0]}", f"-retry-join={SERVERS[1]}", "-retry-interval=1s")
        host.start(*argv, *joins, *flags)

    def _start_application(self, host: Host) -> None:
        self._applications[host.address] = host.start(sys.executable, "-c", APPLICATION % SERVICE_PORT, log="app.log")

    def _register(self, host: Host) -> bool:
        check = {
            "http": f"http://127.0.0.1:{SERVICE_PORT}/",
            "interval": f"{INTERVAL_S:g}s",
            "timeout": f"{INTERVAL_S:g}s",
        }
        path = host.folder / "service.json"
        path.write_text(json.dumps({"service": {"name": SERVICE, "port": SERVICE_PORT, "check": check}}))
        return host.run("consul", "services", "register", str(path)).returncode == 0

    def wait_all_given(self) -> None:
        """Until every observer is given all instances, by HTTP and DNS."""
        wait_until(
            "all instances are given out",
            lambda: all(view.given(way)[1] == list(CLIENTS) for view in self.views for way in WAYS),
            START_TIMEOUT_S,
        )

    def wait_gone(self, host: Host, since_s: float) -> dict[str, float]:
        """Seconds from `since_s` until each observer stopped being given the host."""

        def gone() -> dict[str, float] | None:
            found: dict[str, float] = {}
            for view in self.views:
                for way in WAYS:
                    at_s, given = view.given(way)
                    if host.address in given:
                        return None
                    found[f"{way}, {view.name}"] = at_s - since_s
            return found

        return wait_until(f"{host.name} is no longer given out", gone, ROUND_TIMEOUT_S)

    def kill_service(self, host: Host) -> dict[str, float]:
        """One round: kill the instance, wait until nobody gets it, bring it back."""
        application = self._applications[host.address]
        killed_s = time.monotonic()
        application.kill()
        application.wait()
        gone = self.wait_gone(host, killed_s)
        self._start_application(host)
        self.wait_all_given()
        return gone

    def kill_host(self, host: Host) -> dict[str, float]:
        """One round: the host loses its power, then gets it back."""
        pids = [self._applications[host.address].pid]
        pids += [process.pid for process in host.processes if process.poll() is None]
        for run_file in Path(host.data_dir, "run").glob("*d.json"):
            pids.append(int(json.loads(run_file.read_bytes())["pid"]))
        killed_s = time.monotonic()
        self.network.cut(host)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        host.stop()
        gone = self.wait_gone(host, killed_s)
        self.network.heal(host)
        self._start_application(host)
        self._start_agent(host)
        self.wait_all_given()
        return gone

    def close(self) -> None:
        for view in self.views:
            view.close()


@contextlib.contextmanager
def lab(tag: str = "o") -> Iterator[Lab]:
    """The cluster, taken down whatever happens. Errors: NamespacesNotAllowed."""
    network = NamespaceNetwork((*SERVERS, *CLIENTS), tag)
    made = Lab(network)
    try:
        made.start()
        yield made
    finally:
        made.close()
        network.destroy()


def service_rounds(running: Lab, rounds: int, seed: int = 1) -> list[Distribution]:
    """Kills instances one after the other at random moments of their check's interval."""
    chance = random.Random(seed)
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        time.sleep(chance.uniform(0, INTERVAL_S))
        gone = running.kill_service(running.clients[number % (len(CLIENTS) - 1)])
        for name, seconds in gone.items():
            found.setdefault(f"service killed, gone from {name}", []).append(seconds)
    return [Distribution(name, "s", tuple(values)) for name, values in found.items()]


def host_rounds(running: Lab, rounds: int) -> list[Distribution]:
    """Takes hosts away one after the other."""
    found: dict[str, list[float]] = {}
    for number in range(rounds):
        gone = running.kill_host(running.clients[number % (len(CLIENTS) - 1)])
        for name, seconds in gone.items():
            found.setdefault(f"host dead, gone from {name}", []).append(seconds)
    return [Distribution(name, "s", tuple(values)) for name, values in found.items()]


SERVICE_ROUNDS = 50
HOST_ROUNDS = 50


def bench_detection() -> None:
    """Prints both distributions and their bounds."""
    host_bound_s = gossip_detection_s(len(SERVERS) + len(CLIENTS)) + CATALOG_S
    with lab() as running:
        print(f"{SERVICE_ROUNDS} rounds, check every {INTERVAL_S:g} s, bound {INTERVAL_S + CATALOG_S:g} s")
        for shown in service_rounds(running, SERVICE_ROUNDS):
            print(shown, flush=True)
        print(f"{HOST_ROUNDS} rounds, bound {host_bound_s:g} s")
        for shown in host_rounds(running, HOST_ROUNDS):
            print(shown, flush=True)
