"""The sockets of the HTTP API: TCP addresses and Unix sockets."""

from __future__ import annotations

import grp
import logging
import os
import pwd
import socket
import stat
from collections.abc import Iterable
from pathlib import Path

from lictor.config.runtime import HttpConfig

log = logging.getLogger("agent")

UNIX_PREFIX = "unix://"
BACKLOG = 4096


class ListenError(Exception):
    """An address cannot be listened on; the text names it."""


def open_sockets(addresses: Iterable[str], port: int, http: HttpConfig) -> list[socket.socket]:
    """Listening sockets on every address. Errors: ListenError, with nothing left open."""
    opened: list[socket.socket] = []
    try:
        for address in addresses:
            if address.startswith(UNIX_PREFIX):
                opened.append(_unix(address.removeprefix(UNIX_PREFIX), http))
            else:
                opened.append(_tcp(address, port, shared=http.workers > 1))
    except ListenError:
        for listener in opened:
            listener.close()
        raise
    return opened


def _tcp(address: str, port: int, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        shown = f"[{address}]:{port}" if family == socket.AF_INET6 else f"{address}:{port}"
        reason = os.strerror(error.errno or 0).lower()
        raise ListenError(f"Error starting agent: listen tcp {shown}: bind: {reason}") from None
    listener.setblocking(False)
    return listener


def _unix(path: str, http: HttpConfig) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        listener.bind(path)
        _set_permissions(path, http)
        listener.listen(BACKLOG)
    except (OSError, ValueError, KeyError) as error:
        listener.close()
        reason = os.strerror(error.errno or 0).lower() if isinstance(error, OSError) else str(error)
        raise ListenError(f"Error starting agent: listen unix {path}: bind: {reason}") from None
    listener.setblocking(False)
    return listener


def _remove_stale(path: str) -> None:
    """A socket file of an earlier run is replaced, anything else is left alone."""
    try:
        if stat.S_ISSOCK(os.stat(path).st_mode):
            log.warning("Replacing socket: path=%s", path)
            os.unlink(path)
    except FileNotFoundError:
        return


def _set_permissions(path: str, http: HttpConfig) -> None:
    user = group = -1
    if http.unix_socket_user:
        user = int(http.unix_socket_user) if http.unix_socket_user.isdigit() else _user_id(http.unix_socket_user)
    if http.unix_socket_group:
        name = http.unix_socket_group
        group = int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    if user != -1 or group != -1:
        os.chown(path, user, group)
    if http.unix_socket_mode:
        os.chmod(path, int(http.unix_socket_mode, 8))


def _user_id(name: str) -> int:
    return pwd.getpwnam(name).pw_uid
