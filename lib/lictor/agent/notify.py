"""Telling systemd how the agent is (sd_notify): a datagram to the socket named in NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket

READY = "READY=1"
RELOADING = "RELOADING=1"
STOPPING = "STOPPING=1"


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
