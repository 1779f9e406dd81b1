"""Telling systemd how the agent is (sd_notify): a datagram to the socket named in NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

READY = "READY=1"
RELOADING = "RELOADING=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"
MICROSECOND_NS = 1000


def notify(state: str) -> None:
    """Send one state; without systemd, or when it does not listen, nothing happens."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
            datagrams.sendto(state.encode(), address)
    except OSError:
        return


def alive_interval_ns(environment: Mapping[str, str], pid: int) -> int:
    """How often to tell systemd `ALIVE`: twice in its limit (WatchdogSec= in the unit); 0 when it does not ask."""
    limit = environment.get("WATCHDOG_USEC", "")
    if not limit.isdigit() or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0
    return int(limit) * MICROSECOND_NS // 2
