"""One daemon as the supervisor holds it: a forked process, its pidfd, and the supervisor's end of the link.

A child shares nothing with the supervisor but standard output and error and its end of the link; it dies when the
supervisor dies (PR_SET_PDEATHSIG), and it is in a process group of its own, so that Ctrl-C reaches only the
supervisor.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from lictor import logs
from lictor.agent.link import MAX_LINE_BYTES, Message, SupervisorLink, encode
from lictor.config.runtime import RuntimeConfig

Run = Callable[[RuntimeConfig, SupervisorLink | None], int]

PR_SET_NAME = 15
PR_SET_PDEATHSIG = 1
RECEIVE_BYTES = 1 << 16
MAX_UNSENT_BYTES = 1 << 20
STANDARD_DESCRIPTORS = (0, 1, 2)

log = logging.getLogger("agent")


class Child:
    """A running daemon. `fork` makes one."""

    def __init__(self, name: str, pid: int, pidfd: int, end: socket.socket) -> None:
        self.name, self.pid, self.pidfd, self.socket = name, pid, pidfd, end
        self.ready = False
        self.open = True
        self._received = b""

    def read(self) -> list[Message]:
        """The messages that have arrived; `open` turns False when the child has closed its end."""
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError:
            data = b""
        self.open = bool(data)
        self._received += data
        *lines, self._received = self._received.split(b"\n")
        if len(self._received) > MAX_LINE_BYTES:
            self._received = b""
        messages: list[Message] = []
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                log.warning("daemon sent a bad message", extra=logs.fields(daemon=self.name))
                continue
            if isinstance(message, dict):
                messages.append(message)
        return messages

    def send(self, message: Message) -> bool:
        """Send a message; False when the child takes none any more."""
        try:
            self.socket.send(encode(message))
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send a signal, if the process is still there."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> int | None:
        """The exit code (negative: the signal) when the process has ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def close(self) -> None:
        """Let go of the pidfd and the link."""
        self.socket.close()
        os.close(self.pidfd)


def fork(name: str, run: Run, config: RuntimeConfig, before_run: Callable[[], None]) -> Child:
    """Start a daemon; `before_run` is called in it first, to close what only the supervisor needs.

    The forking process must have one thread only: another one's locks would stay locked in the child for ever.
    """
    assert threading.active_count() == 1, f"cannot fork with threads: {threading.enumerate()}"
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_UNSENT_BYTES)
    sys.stdout.flush()
    sys.stderr.flush()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _in_child(name, run, config, theirs, supervisor, before_run)
    theirs.close()
    return Child(name, pid, os.pidfd_open(pid), ours)


def _in_child(
    name: str,
    run: Run,
    config: RuntimeConfig,
    end: socket.socket,
    supervisor: int,
    before_run: Callable[[], None],
) -> NoReturn:
    code = 1
    try:
        _settle(name, supervisor)
        before_run()
        close_all_but({*STANDARD_DESCRIPTORS, end.fileno()})
        logs.setup(config.log)
        if isinstance(run, Launcher):
            run.load()
        gc.enable()
        code = run(config, SupervisorLink(end))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = 0
    except BaseException:
        log.exception("daemon failed", extra=logs.fields(daemon=name))
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _settle(name: str, supervisor: int) -> None:
    """Make the new process its own: dies with the supervisor, own group, plain signals, no input, own name."""
    signal.set_wakeup_fd(-1)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(1)
    libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0)
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null != 0:
        os.close(null)
    # The handlers' descriptors are the supervisor's: forget them unclosed, `close_all_but` closes them.
    logging.getLogger().handlers.clear()


def close_all_but(kept: set[int]) -> None:
    """Close every descriptor of this process but these."""
    for entry in os.listdir("/proc/self/fd"):
        descriptor = int(entry)
        if descriptor not in kept:
            with contextlib.suppress(OSError):
                os.close(descriptor)


@dataclass(frozen=True)
class Launcher:
    """How to run a daemon: the `run` of its module; it gets the arguments, too."""

    module: str
    arguments: tuple[Any, ...] = ()

    def load(self) -> None:
        """Import the module, so that a fork has it at once."""
        importlib.import_module(self.module)

    def __call__(self, config: RuntimeConfig, link: SupervisorLink | None) -> int:
        module: Any = importlib.import_module(self.module)
        return int(module.run(config, link, *self.arguments))
