"""A small Debian in a folder, made once by debootstrap and never written to: machines are layers above it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.needs import need
from tools.agents import ROOT

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "procps",
    "iproute2",
    "curl",
    "ca-certificates",
    "python3",
    "nginx-light",
)
CACHE = ROOT / ".venv" / "deploy"
FOLDER_VARIABLE = "LICTOR_DEBIAN_ROOT"
"""Names a folder to use instead."""
TIMEOUT_S = 1200


def debian() -> Path:
    """The folder; made when it is not there yet."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return Path(given)
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / RELEASE
    with open(CACHE / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            folder = Path(tempfile.mkdtemp(dir=CACHE))
            argv = [
                need("debootstrap"),
                "--variant=minbase",
                f"--include={','.join(PACKAGES)}",
                RELEASE,
                str(folder),
                MIRROR,
            ]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            if done.returncode:
                shutil.rmtree(folder)
                raise AssertionError(f"debootstrap: {done.stdout[-2000:]}{done.stderr}")
            shutil.rmtree(folder / "var" / "cache" / "apt", ignore_errors=True)
            folder.chmod(0o755)
            folder.rename(target)
    return target


def install_lictor(destination: Path) -> None:
    """`make install` into a folder that stands for a machine's /."""
    argv = ["make", "-C", str(ROOT), "install", f"DESTDIR={destination}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
