"""Test hosts: several machines on one, each a network namespace with an address of its own on a common switch.

The switch is a bridge in a namespace of its own, so nothing of the real machine's network is touched. Needs root and
`ip` (iproute2). Where namespaces are not allowed, `LoopbackNetwork` offers the same interface on 127.0.0.x.
Every host also has its own /tmp/consul, so that the commands of the walk-through can be typed as they stand.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
SHARED_DATA_DIR = Path("/tmp/consul")
PREFIX_BITS = 24
COMMAND_TIMEOUT_S = 30
_NAMESPACE = re.compile(r"^[a-z0-9]+-(\d+)-(?:sw|\d+)$")
"""Tag, process that made it, host."""


class NamespacesNotAllowed(RuntimeError):
    """This machine does not let us make network namespaces; the text says why."""


def ip(*args: str) -> None:
    """Runs one `ip` command. Raises NamespacesNotAllowed with what it said when it fails."""
    try:
        done = subprocess.run(("ip", *args), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    except FileNotFoundError:
        raise NamespacesNotAllowed("the program `ip` (package iproute2) is missing") from None
    if done.returncode:
        raise NamespacesNotAllowed(f"ip {' '.join(args)}: {done.stderr.strip()}")


@dataclass
class Host:
    """One test host: `run` and `start` execute commands on it as a person sitting there would."""

    name: str
    address: str
    prefix: tuple[str, ...]
    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        """Where the host's /tmp/consul really lies."""
        return self.folder / "consul"

    def run(self, *argv: str, timeout_s: float = 30, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end and returns its output."""
        return subprocess.run(
            (*self.prefix, *argv),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.environment,
            input=stdin,
            check=False,
        )

    def start(self, *argv: str, log: str = "agent.log") -> subprocess.Popen[bytes]:
        """Starts a command in the background; its output goes to the file `log` of the host's folder."""
        with open(self.folder / log, "ab") as output:
            process = subprocess.Popen(
                (*self.prefix, *argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
        self.processes.append(process)
        return process

    def log(self, name: str = "agent.log") -> str:
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
        for process in self.processes:
            process.wait(timeout=COMMAND_TIMEOUT_S)
        self.processes.clear()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
    return {**kept, "PATH": f"{BIN}:{kept.get('PATH', '/usr/bin:/bin')}"}


def remove_leftovers() -> None:
    """Ends what is left of networks whose makers are gone, killed before they could tidy up."""
    if shutil.which("ip") is None:
        return
    listed = subprocess.run(
        ("ip", "netns", "list"), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    for line in listed.stdout.splitlines():
        name = line.split(" ")[0]
        made_by = _NAMESPACE.match(name)
        if made_by is None or Path("/proc", made_by[1]).exists():
            continue
        inside = subprocess.run(
            ("ip", "netns", "pids", name), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
        for pid in inside.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(("ip", "netns", "del", name), capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)


class NamespaceNetwork:
    """Hosts with real addresses on one switch. `tag`, letters and digits, keeps several networks of a process apart."""

    def __init__(self, addresses: Sequence[str], tag: str) -> None:
        self._tag = f"{tag}-{os.getpid()}"
        self._switch = f"{self._tag}-sw"
        self.folder = Path(tempfile.mkdtemp(prefix=f"lictor-{tag}-"))
        self._namespaces: list[str] = []
        self.hosts: list[Host] = []
        try:
            remove_leftovers()
            self._add_namespace(self._switch)
            ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
            ip("-n", self._switch, "link", "set", "br0", "up")
            for number, address in enumerate(addresses, 1):
                self.hosts.append(self._add_host(number, address))
        except BaseException:
            self.destroy()
            raise

    def _add_namespace(self, name: str) -> None:
        subprocess.run(("ip", "netns", "del", name), capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
        ip("netns", "add", name)
        self._namespaces.append(name)
        ip("-n", name, "link", "set", "lo", "up")

    def _add_host(self, number: int, address: str) -> Host:
        name = f"{self._tag}-{number}"
        self._add_namespace(name)
        port = f"port{number}"
        ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", self._switch, "link", "set", port, "master", "br0", "up")
        ip("-n", name, "addr", "add", f"{address}/{PREFIX_BITS}", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        folder = self.folder / f"node{number}"
        (folder / "consul").mkdir(parents=True)
        SHARED_DATA_DIR.mkdir(exist_ok=True)
        # `ip netns exec` gives the command a mount namespace of its own, so this bind is seen by it alone.
        own_data_dir = f'mount --bind "{folder}/consul" {SHARED_DATA_DIR} && exec "$@"'
        prefix = ("ip", "netns", "exec", name, "sh", "-c", own_data_dir, "sh")
        return Host(f"node{number}", address, prefix, folder, _environment())

    def cut(self, host: Host) -> None:
        """Takes the host's cable out of the switch: packets both ways vanish, its link stays up."""
        ip("-n", self._switch, "link", "set", f"port{self.hosts.index(host) + 1}", "nomaster")

    def heal(self, host: Host) -> None:
        """Puts the cable back."""
        ip("-n", self._switch, "link", "set", f"port{self.hosts.index(host) + 1}", "master", "br0")

    def destroy(self) -> None:
        for host in self.hosts:
            host.stop()
        for name in self._namespaces:
            subprocess.run(("ip", "netns", "del", name), capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class LoopbackNetwork:
    """The same on 127.0.0.x of this machine: no cutting, and `-client` must be the host's own address."""

    def __init__(self, count: int) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lictor-loop-"))
        self.hosts = []
        for number in range(1, count + 1):
            folder = self.folder / f"node{number}"
            (folder / "consul").mkdir(parents=True)
            address = f"127.0.0.{127 + number}"
            environment = {**_environment(), "CONSUL_HTTP_ADDR": f"{address}:8500"}
            self.hosts.append(Host(f"node{number}", address, (), folder, environment))

    def destroy(self) -> None:
        for host in self.hosts:
            host.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
