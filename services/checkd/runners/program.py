"""Programs that checks and `consul exec` run.

They are started by `subprocess`, which uses vfork: no code runs in a copy of this process. The event loop's own way
forks, and a copy of a process with gRPC's threads crashes now and then before it has become the program.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess


class Program:
    """A running program, leader of a process group of its own; nothing to read on its standard input.

    Its output, errors included, is read from `stdout`. Must be closed.
    """

    def __init__(self, process: subprocess.Popen[bytes], stdout: asyncio.StreamReader) -> None:
        self.stdout = stdout
        self._process = process
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pidfd = os.pidfd_open(process.pid)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)
        self._transport: asyncio.ReadTransport | None = None

    @classmethod
    async def start(cls, words: list[str]) -> Program:
        """Start it. Raises OSError, and ValueError for words that cannot be arguments."""
        process = _started(words)
        program = cls(process, asyncio.StreamReader())
        loop = asyncio.get_running_loop()
        program._transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(program.stdout), process.stdout
        )
        return program

    async def wait(self) -> int:
        """Its exit code, or the signal that ended it as a negative number."""
        return await asyncio.shield(self._ended)

    def kill_group(self) -> None:
        """Kill it and all it started; it leads its own group, so the group's number is its own."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return

    def close(self) -> None:
        """Read no more of it. It is reaped whenever it ends."""
        if self._transport is not None:
            self._transport.close()

    def _reap(self) -> None:
        code = self._process.poll()
        if code is None:
            return
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        if not self._ended.done():
            self._ended.set_result(code)


def _started(words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
