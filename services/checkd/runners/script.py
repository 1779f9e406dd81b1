"""Script checks: exit code 0 passing, 1 warning, anything else critical (Consul 1.7: CheckMonitor).

The command runs in a process group of its own, which is killed as a whole when the time is over or the check is
removed, so nothing it started stays behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from checkd.core.duration import SECOND_NS, format_duration
from checkd.core.output import OutputRing
from checkd.core.status import CRITICAL, PASSING, WARNING
from checkd.runners.dialing import reason_of
from checkd.runners.result import SCRIPT_TIMEOUT_NS, Result, Run

KILL_WAIT_S = 5.0


class _Capture(asyncio.SubprocessProtocol):
    """Collects the output and notes the end."""

    def __init__(self, limit_bytes: int) -> None:
        self.output = OutputRing(limit_bytes)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.output.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called when the process has ended and its output is closed."""
        if not self.ended.done():
            self.ended.set_result(None)


async def run_script(run: Run) -> Result:
    """Run the command and judge by its exit code."""
    loop = asyncio.get_running_loop()
    args = run.definition.script_args
    try:
        transport, capture = await loop.subprocess_exec(
            lambda: _Capture(run.output_limit_bytes),
            *args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except FileNotFoundError:
        where = f"fork/exec {args[0]}: no such file or directory"
        return Result(CRITICAL, where if "/" in args[0] else f'exec: "{args[0]}": executable file not found in $PATH')
    except (OSError, ValueError) as error:
        why = reason_of(error) if isinstance(error, OSError) else str(error)
        return Result(CRITICAL, f"fork/exec {args[0]}: {why}")
    timeout_s = run.timeout_s(SCRIPT_TIMEOUT_NS)
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.shield(capture.ended)
    except TimeoutError:
        await _kill(transport, capture)
        message = f"Timed out ({format_duration(int(timeout_s * SECOND_NS))}) running check"
        shown = capture.output.captured()
        return Result(CRITICAL, f"{message}\n\n{shown}" if shown else message)
    except asyncio.CancelledError:
        _kill_group(transport)
        raise
    finally:
        transport.close()
    status = {0: PASSING, 1: WARNING}.get(_exit_code(transport), CRITICAL)
    return Result(status, capture.output.captured())


def _exit_code(transport: Any) -> int:
    code: int | None = transport.get_returncode()
    return -1 if code is None else code


def _kill_group(transport: Any) -> None:
    """Kill the command and all it started; it leads its own group, so the group's number is its own."""
    try:
        os.killpg(transport.get_pid(), signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


async def _kill(transport: Any, capture: _Capture) -> None:
    """Kill and wait, so that two runs never overlap."""
    _kill_group(transport)
    try:
        async with asyncio.timeout(KILL_WAIT_S):
            await asyncio.shield(capture.ended)
    except TimeoutError:
        return
