"""Starts whole agents on loopback with free ports, for tests, conformance runs and benchmarks."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parent.parent
CONSUL = ROOT / ".venv" / "bin" / "consul"
PORT_NAMES = ("dns", "http", "serf_lan", "serf_wan", "server", "api")
STOP_TIMEOUT_S = 10

T = TypeVar("T")


FIRST_PORT, LAST_PORT = 10000, 32000
_SPANS = 8
"""Test workers beside each other (pytest-xdist) take their ports from different parts of the range."""
_SPAN = (LAST_PORT - FIRST_PORT) // _SPANS
_worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
_next_port = FIRST_PORT + (
    int(_worker) % _SPANS * _SPAN if _worker else os.getpid() * 37 % (LAST_PORT - FIRST_PORT - _SPAN)
)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that are free for TCP and UDP, below the range the system hands out by itself; never the same twice."""
    global _next_port
    found: list[int] = []
    for _ in range(LAST_PORT - FIRST_PORT):
        port = _next_port
        _next_port = port + 1 if port + 1 < LAST_PORT else FIRST_PORT
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"no {count} free ports on {host}")


def wait_until(what: str, condition: Callable[[], T | None], timeout_s: float = 60) -> T:
    """Repeats `condition` until it returns something true. Raises TimeoutError naming `what`."""
    deadline = time.monotonic() + timeout_s
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            result = condition()
            if result:
                return result
        except (OSError, ValueError, urllib.error.URLError) as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            last = error
        time.sleep(0.05)
    raise TimeoutError(f"{what} did not come true within {timeout_s} s (last error: {last})")


@dataclass
class Agent:
    """One running `consul agent` with ports of its own."""

    name: str
    host: str
    ports: dict[str, int]
    folder: Path
    argv: list[str]
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def http(self) -> str:
        return f"{self.host}:{self.ports['http']}"

    @property
    def dns(self) -> str:
        return f"{self.host}:{self.ports['dns']}"

    @property
    def lan(self) -> str:
        return f"{self.host}:{self.ports['serf_lan']}"

    def start(self) -> None:
        with open(self.folder / "agent.log", "ab") as output:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def log(self) -> str:
        return (self.folder / "agent.log").read_text(errors="replace")

    def get(self, path: str, timeout_s: float = 10) -> Any:
        """The JSON answer of a GET. Raises urllib.error.HTTPError for other answers than 2xx."""
        with urllib.request.urlopen(f"http://{self.http}{path}", timeout=timeout_s) as answer:
            return json.loads(answer.read())

    def put(self, path: str, body: bytes | dict[str, Any] = b"", timeout_s: float = 10) -> bytes:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self.http}{path}", data=content, method="PUT")
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            data: bytes = answer.read()
        return data

    def cli(self, *argv: str, timeout_s: float = 30, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CONSUL_HTTP_ADDR": self.http}
        return subprocess.run(
            [str(CONSUL), *argv],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment,
            input=stdin,
            check=False,
        )

    def daemon_pid(self, service: str) -> int:
        """The process of one daemon of this agent, from its run file."""
        return int(json.loads((self.data_dir / "run" / f"{service}.json").read_bytes())["pid"])

    def wait_http(self, timeout_s: float = 90) -> None:
        wait_until(f"{self.name} answers HTTP", self._answers, timeout_s)

    def _answers(self) -> bool:
        """Whether the agent describes itself, or would to whom it trusts."""
        try:
            self.get("/v1/agent/self")
        except urllib.error.HTTPError as refused:
            refused.close()
            return refused.code == HTTPStatus.FORBIDDEN
        return True

    def wait_leader(self, timeout_s: float = 90) -> str:
        leader: str = wait_until(f"{self.name} knows a leader", lambda: self.get("/v1/status/leader"), timeout_s)
        return leader

    def kill(self) -> None:
        """kill -9 of the whole agent, supervisor and daemons, at the same instant as far as that is possible."""
        if self.process is None:
            return
        pids = [self.process.pid]
        for service in ("raftd", "gossipd", "apid", "dnsd", "checkd"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                pids.append(self.daemon_pid(service))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=STOP_TIMEOUT_S)
        self.process = None

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        """Sends a signal and waits for the end; returns the exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(how)
        try:
            status = self.process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait(timeout=STOP_TIMEOUT_S)
        self.process = None
        return status


def make_agent(
    folder: Path,
    name: str,
    *flags: str,
    host: str = "127.0.0.1",
    datacenter: str = "bj",
    config: dict[str, Any] | None = None,
    config_files: tuple[Path, ...] = (),
) -> Agent:
    """An agent that is not started yet. `config` is written as a file and read last."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = dict(zip(PORT_NAMES, free_ports(len(PORT_NAMES), host), strict=True))
    own = {**(config or {}), "ports": {**(config or {}).get("ports", {}), **ports}}
    (folder / "own.json").write_text(json.dumps(own))
    argv = [str(CONSUL), "agent", f"-node={name}", f"-bind={host}", f"-client={host}", f"-datacenter={datacenter}"]
    argv += [f"-data-dir={folder / 'data'}", *flags]
    argv += [f"-config-file={path}" for path in (*config_files, folder / "own.json")]
    return Agent(name, host, ports, folder, argv)


@contextlib.contextmanager
def running(*agents: Agent) -> Iterator[None]:
    """Starts agents and stops them at the end, whatever happened."""
    try:
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.wait_http()
        yield
    finally:
        for agent in agents:
            agent.kill()


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
