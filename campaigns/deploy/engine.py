"""A Docker engine of the tests' own: in namespaces of its own for the network and mounts, its data in a folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from campaigns.deploy.debian import debian
from tests.needs import need
from tools.agents import wait_until

BASE_IMAGE = "lictor-base"
STOP_TIMEOUT_S = 60
COMMAND_TIMEOUT_S = 600
_START = """
ip link set lo up && mount -t tmpfs tmpfs /run &&
exec dockerd --data-root "$1/data" --exec-root "$1/exec" -p "$1/pid" -H "unix://$1/socket"
"""


class Engine:
    """A running dockerd."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{folder}/socket", "LICTOR_BASE_IMAGE": BASE_IMAGE}

    def run(self, *argv: str, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
        """A command on this machine that means this engine."""
        return subprocess.run(
            argv, capture_output=True, text=True, env=self.environment, timeout=timeout_s, check=False
        )

    def check(self, *argv: str) -> str:
        """The output of a command that must succeed."""
        done = self.run(*argv)
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def beside(self, *argv: str) -> tuple[str, ...]:
        """The command with published ports in reach."""
        return ("nsenter", "-t", str(self.process.pid), "-n", *argv)


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Runs with the Debian folder as its only image."""
    for program in ("dockerd", "docker", "docker-compose"):
        need(program)
    with open(folder / "dockerd.log", "wb") as log:
        process = subprocess.Popen(
            ("unshare", "-n", "-m", "--propagation=private", "sh", "-c", _START, "sh", str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    made = Engine(folder, process)
    try:
        wait_until("the engine answers", lambda: made.run("docker", "info").returncode == 0)
        made.check("sh", "-c", f"tar -C '{debian()}' -c . | docker import - {BASE_IMAGE}")
        yield made
    except BaseException as error:
        error.add_note((folder / "dockerd.log").read_text(errors="replace")[-3000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=STOP_TIMEOUT_S)
        for group in Path("/sys/fs/cgroup").glob("*/docker"):
            # Empty ones that the engine leaves behind; another engine's, with containers in it, is not removed by this.
            with contextlib.suppress(OSError):
                group.rmdir()
