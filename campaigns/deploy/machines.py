"""Machines with an init system of their own: Debian booted by systemd-nspawn, each on a test host of the network.

A machine is a layer above the Debian folder, mounted in a mount namespace that ends with the machine. Its control group
is one of its own, its network the test host's namespace.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from campaigns.deploy.debian import debian
from tests.needs import need
from tools.agents import wait_until
from tools.testhosts import Host

COMMAND_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30
NAMESPACE_ARGUMENT = 3
"""Where in `ip netns exec <namespace>`, a test host's way in, the namespace is."""
_HIERARCHIES = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")
"""Where systemd keeps its groups: the first alone, or where control groups are of both versions the other two."""
_BOOT = """
for group in $1; do echo $$ > "$group/cgroup.procs" || exit; done
mount -t tmpfs tmpfs /run &&
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work" "$3/root" &&
exec systemd-nspawn --quiet --register=no --keep-unit --capability=CAP_NET_ADMIN --machine="$4" -D "$3/root" --boot
"""


class Machine:
    """One booted machine with what is `installed`; `configuration` is its /etc/consul.d, by file name."""

    def __init__(self, host: Host, installed: Path, configuration: dict[str, str]) -> None:
        need("systemd-nspawn")
        self.host, self.address = host, host.address
        self._folder = host.folder / "machine"
        for name in ("upper", "work", "root"):
            (self._folder / name).mkdir(parents=True)
        self.upper = self._folder / "upper"
        for name, text in configuration.items():
            self.write(f"etc/consul.d/{name}", text)
        self._groups = [
            Path(hierarchy, f"lictor-{os.getpid()}-{host.name}")
            for hierarchy in _HIERARCHIES
            if Path(hierarchy, "cgroup.procs").exists()
        ]
        for group in self._groups:
            group.mkdir()
        arguments = [" ".join(map(str, self._groups)), f"{installed}:{debian()}", str(self._folder), host.name]
        # Not by `ip netns exec`, which hides the control groups.
        enter = (
            "nsenter",
            f"--net=/run/netns/{host.prefix[NAMESPACE_ARGUMENT]}",
            "unshare",
            "-m",
            "--propagation=private",
        )
        with open(self._folder / "console.log", "wb") as console:
            self._process = subprocess.Popen(
                (*enter, "sh", "-c", _BOOT, "sh", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        try:
            self._init = wait_until(f"{host.name} has an init", self._find_init, 20)
            wait_until(f"{host.name} has booted", self._booted)
        except TimeoutError as error:
            error.add_note((self._folder / "console.log").read_text(errors="replace"))
            self.close()
            raise
        self.check("systemd-sysusers")
        self.check("systemctl", "daemon-reload")

    def write(self, path: str, text: str) -> None:
        """A file of the machine, before it boots; afterwards use `put`."""
        file = self.upper / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def put(self, path: str, text: str) -> None:
        """A file of the running machine."""
        done = self.run("sh", "-c", f'mkdir -p "$(dirname "{path}")" && cat > "{path}"', stdin=text)
        assert done.returncode == 0, done.stderr

    def run(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A command typed on the machine."""
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        inside = ("nsenter", "-t", str(self._init), "-m", "-u", "-i", "-n", "-p", "-C", "--", "env", "-i", path, *argv)
        return subprocess.run(
            inside, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, input=stdin, check=False
        )

    def check(self, *argv: str) -> str:
        """The output of a command that must succeed."""
        done = self.run(*argv)
        assert done.returncode == 0, f"{self.host.name}: {' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        return self.check("systemctl", "show", "--value", "-p", name, unit).strip()

    def journal(self, unit: str) -> str:
        return self.check("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def wait_active(self, *units: str) -> None:
        for unit in units:
            wait_until(f"{unit} is active", lambda unit=unit: self.property(unit, "ActiveState") == "active")  # type: ignore[misc]

    def close(self) -> None:
        """Power off: everything in it is killed."""
        with contextlib.suppress(AttributeError, ProcessLookupError):
            os.kill(self._init, signal.SIGKILL)
        self._process.terminate()
        try:
            self._process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=STOP_TIMEOUT_S)
        for folder in (folder for group in self._groups for folder in sorted(group.glob("**/"), reverse=True)):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _find_init(self) -> int:
        """The container's first process, a child of nspawn, which took the shell's place."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return int(child)
        return 0

    def _booted(self) -> bool:
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
