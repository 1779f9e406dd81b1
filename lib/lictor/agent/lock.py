"""One agent per data directory: a lock that the kernel drops when the agent ends, however it ends."""

from __future__ import annotations

import fcntl
import os

from lictor.config.errors import ConfigError
from lictor.config.runtime import run_dir

LOCK_FILE = "agent.lock"


def acquire(data_dir: str) -> int:
    """Lock the directory and return the descriptor that holds the lock.

    Raises ConfigError naming the process that runs on it already.
    """
    path = run_dir(data_dir) / LOCK_FILE
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise ConfigError(f"data_dir {data_dir} is in use by a running agent (process {holder or 'unknown'})") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor
