"""The whole agent's log as a stream, for `GET /v1/agent/monitor`.

apid opens a datagram socket in the run directory and asks the supervisor to have every process of the agent send its
lines there, at a level of its own that may be lower than the one being logged:

    async with LogStream(link, config.data_dir, "DEBUG") as stream:
        async for line in stream:
            ...
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import tempfile

from lictor import logs
from lictor.agent.link import LinkError, SupervisorLink
from lictor.config.runtime import run_dir

RECEIVE_BUFFER_BYTES = 4 << 20
# What the kernel allows, less the ending zero.
MAX_SOCKET_PATH_LENGTH = 107


class LogStream:
    """An asynchronous iterator of log lines (bytes without newline); use it as an asynchronous context manager."""

    def __init__(self, link: SupervisorLink | None, data_dir: str, level: str, json: bool = False) -> None:
        """`level` is a level name; raises ValueError when it is none. Without a link only this process is heard."""
        self._number = logs.level_number(level)
        self._link, self._level, self._json = link, level, json
        self._path = socket_path(data_dir)
        self._socket: socket.socket | None = None

    async def __aenter__(self) -> LogStream:
        """Begin to listen. Raises LinkError when the supervisor refuses, OSError for a socket that cannot be made."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.bind(self._path)
        try:
            if self._link is None:
                logs.set_monitors([logs.Monitor(self._path, self._number, self._json)])
            else:
                await self._link.ask("monitor", path=self._path, level=self._level, json=self._json)
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        self._close()
        if self._link is None:
            logs.set_monitors([])
        else:
            with contextlib.suppress(LinkError):
                await self._link.ask("unmonitor", path=self._path)

    def __aiter__(self) -> LogStream:
        return self

    async def __anext__(self) -> bytes:
        assert self._socket is not None, "not entered"
        return await asyncio.get_running_loop().sock_recv(self._socket, logs.MAX_MONITOR_LINE_BYTES)

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)


def socket_path(data_dir: str) -> str:
    """A new name in the run directory; in the temporary directory when that one's path is too long for a socket."""
    name = f"monitor-{secrets.token_hex(8)}.sock"
    path = str(run_dir(data_dir) / name)
    return path if len(path) <= MAX_SOCKET_PATH_LENGTH else os.path.join(tempfile.gettempdir(), f"lictor-{name}")
