"""Script checks: exit code 0 passing, 1 warning, anything else critical (Consul 1.7: CheckMonitor).

The command runs in a process group of its own, which is killed as a whole when the time is over or the check is
removed, so nothing it started stays behind.
"""

from __future__ import annotations

import asyncio

from checkd.core.duration import SECOND_NS, format_duration
from checkd.core.output import OutputRing
from checkd.core.status import CRITICAL, PASSING, WARNING
from checkd.runners.dialing import reason_of
from checkd.runners.program import Program
from checkd.runners.result import SCRIPT_TIMEOUT_NS, Result, Run

KILL_WAIT_S = 5.0
READ_BYTES = 1 << 16


async def run_script(run: Run) -> Result:
    """Run the command and judge by its exit code."""
    args = list(run.definition.script_args)
    if not args[0]:
        return Result(CRITICAL, "exec: no command")
    try:
        program = await Program.start(args)
    except FileNotFoundError:
        where = f"fork/exec {args[0]}: no such file or directory"
        return Result(CRITICAL, where if "/" in args[0] else f'exec: "{args[0]}": executable file not found in $PATH')
    except (OSError, ValueError) as error:
        why = reason_of(error) if isinstance(error, OSError) else str(error)
        return Result(CRITICAL, f"fork/exec {args[0]}: {why}")
    output = OutputRing(run.output_limit_bytes)
    timeout_s = run.timeout_s(SCRIPT_TIMEOUT_NS)
    try:
        async with asyncio.timeout(timeout_s):
            code = await _finish(program, output)
    except TimeoutError:
        await _kill(program, output)
        message = f"Timed out ({format_duration(int(timeout_s * SECOND_NS))}) running check"
        shown = output.captured()
        return Result(CRITICAL, f"{message}\n\n{shown}" if shown else message)
    except asyncio.CancelledError:
        program.kill_group()
        raise
    finally:
        program.close()
    return Result({0: PASSING, 1: WARNING}.get(code, CRITICAL), output.captured())


async def _finish(program: Program, output: OutputRing) -> int:
    """Take the output to its end; the exit code."""
    while data := await program.stdout.read(READ_BYTES):
        output.write(data)
    return await program.wait()


async def _kill(program: Program, output: OutputRing) -> None:
    """Kill and wait, so that two runs never overlap."""
    program.kill_group()
    try:
        async with asyncio.timeout(KILL_WAIT_S):
            await _finish(program, output)
    except TimeoutError:
        return
