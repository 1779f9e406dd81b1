"""`consul lock`: run a command while holding a lock."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from types import FrameType

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError, options
from lictor.cli.locking import LOCK_KEY, Lock, LockError, Semaphore
from lictor.cli.watch import command, start_failure, status
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul lock [options] prefix child...

  Takes a lock (or one of several places with -n), runs the child, and gives
  the lock back. When the lock is lost the child is ended.
"""
COMMON = "CS"
CHILD_FAILED = 2
KILL_GRACE_S = 5.0
CHILD_ENDED, LOCK_LOST, SIGNALLED = "ended", "lost", "signalled"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("child-exit-code", "bool", "End with exit code 2 when the child fails.")
    flags.add("n", "int", "Number of holders at a time; 1 when not given.", "1")
    flags.add("monitor-retry", "int", "Failed looks at the lock before it counts as lost; 3 when not given.", "3")
    flags.add("name", "string", "Name of the session.")
    flags.add("pass-stdin", "bool", "Give the child the standard input.")
    flags.add("shell", "bool", "Run the child through a shell; this is the default.", "true")
    flags.add("timeout", "duration", "Give up when the lock was not free for this long.")
    flags.add("try", "duration", "Old name of -timeout.")
    flags.add("verbose", "bool", "Say what happens.")


def run(call: Call) -> int:
    """Acquire, run, release."""
    holders, retries = call.flag("n", 1), call.flag("monitor-retry", 3)
    if holders <= 0:
        raise CommandError("Lock holder limit must be positive")
    if len(call.arguments) < 2:
        raise CommandError("Key prefix and child command must be specified")
    if call.flag("timeout", 0) < 0 or call.flag("try", 0) < 0:
        raise CommandError("Timeout must be positive")
    if retries < 0:
        raise CommandError("Number for 'monitor-retry' must be >= 0")
    prefix, *child = call.arguments
    prefix = prefix.removeprefix("/")
    timeout_ns = call.flag("timeout", 0) or call.flag("try", 0)
    name = call.flag("name") or f"Consul lock for '{' '.join(child)}' at '{prefix}'"
    try:
        call.client.get("/v1/agent/self")
    except ApiError as error:
        raise CommandError(f"Error querying Consul agent: {error}") from None
    happened: queue.SimpleQueue[str] = queue.SimpleQueue()
    stop = threading.Event()
    _on_signals(happened, stop)
    key = f"{prefix.rstrip('/')}/{LOCK_KEY}"
    if holders == 1:
        _say(call, f"Setting up lock at path: {key}")
    else:
        _say(call, f"Setting up semaphore (limit {holders}) at prefix: {prefix}")
    try:
        where = options(call.flags)
        lock = Lock(where, prefix, name, retries) if holders == 1 else Semaphore(where, prefix, name, retries, holders)
    except ApiError as error:
        _say(call, "Attempting lock acquisition")
        raise CommandError(f"Lock acquisition failed: failed to create session: {error}") from None
    try:
        return _locked(call, lock, timeout_ns, child, happened, stop)
    finally:
        lock.close()


def _locked(
    call: Call, lock: Lock, timeout_ns: int, child: list[str], happened: queue.SimpleQueue[str], stop: threading.Event
) -> int:
    """Acquire, run, release; the exit code."""
    _say(call, "Attempting lock acquisition")
    try:
        acquired = lock.acquire(timeout_ns / 1e9 if timeout_ns else None, stop)
    except (ApiError, LockError) as error:
        with contextlib.suppress(ApiError):
            lock.abandon()
        raise CommandError(f"Lock acquisition failed: {error}") from None
    if not acquired:
        with contextlib.suppress(ApiError):
            lock.abandon()
        raise CommandError("Shutdown triggered or timeout during lock acquisition")
    code = _run_child(call, lock, command(child, call.flag("shell", True)), happened)
    try:
        removed = lock.release()
    except (ApiError, LockError) as error:
        raise CommandError(f"Lock release failed: {error}") from None
    _say(call, "Cleanup succeeded" if removed else "Cleanup aborted, lock in use")
    return code


def _run_child(call: Call, lock: Lock, child: list[str], happened: queue.SimpleQueue[str]) -> int:
    """Run the child until it ends, the lock is lost, or a signal says stop."""
    lost = threading.Event()

    def watch() -> None:
        lock.watch(lost)
        happened.put(LOCK_LOST)

    threading.Thread(target=watch, daemon=True).start()
    stdin = None if call.flag("pass-stdin", False) else subprocess.DEVNULL
    environment = {**os.environ, "CONSUL_LOCK_HELD": "true"}
    _say(call, "Starting handler")
    try:
        process = subprocess.Popen(child, stdin=stdin, env=environment)
    except OSError as error:
        lost.set()
        call.error(f"Error starting handler: {start_failure(child[0], error)}")
        _say(call, "Child terminated, releasing lock")
        return CHILD_FAILED if call.flag("child-exit-code", False) else OK

    def await_end() -> None:
        process.wait()
        happened.put(CHILD_ENDED)

    threading.Thread(target=await_end, daemon=True).start()
    event = happened.get()
    if event == CHILD_ENDED:
        _say(call, "Child terminated, releasing lock")
    else:
        _say(call, "Lock lost, killing child" if event == LOCK_LOST else "Shutdown triggered, killing child")
        _end(process)
    lost.set()
    if process.returncode == 0:
        return OK
    call.error(f"Error running handler: {status(process.returncode)}")
    return CHILD_FAILED if call.flag("child-exit-code", False) else OK


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(KILL_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _on_signals(happened: queue.SimpleQueue[str], stop: threading.Event) -> None:
    def note(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        happened.put(SIGNALLED)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, note)


def _say(call: Call, text: str) -> None:
    if call.flag("verbose", False):
        call.out(text)
