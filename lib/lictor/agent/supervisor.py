"""The supervisor: forks the daemons, watches them, brings them back, and ends them in good order.

One thread, one selector: signals, pidfds and links. It imports what the daemons need, freezes the garbage collector and
forks; it opens no channel and starts no thread, because a restarted daemon is another fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from lictor import logs
from lictor.agent import notify
from lictor.agent.child import Child, Launcher, Run, fork
from lictor.agent.link import Message
from lictor.agent.pages import release_read_only
from lictor.agent.restart import SECOND_NS, Watch
from lictor.agent.tokens import KINDS, TokenError, TokenStore
from lictor.config.runtime import RuntimeConfig, config_path

PRELOADED = (
    "asyncio",
    "uvloop",
    "msgspec",
    "lmdb",
    "google.protobuf.message",
    "grpc",
    "grpc.aio",
    "lictor.rpc",
    "lictor.page",
    "lictor.telemetry.serving",
    "lictor.pb.lictor.v1.gossip_pb2_grpc",
    "lictor.pb.lictor.v1.forward_pb2_grpc",
    "lictor.pb.lictor.v1.raft_pb2_grpc",
    "lictor.pb.lictor.v1.agent_pb2_grpc",
    "lictor.state.lmdb_store",
    "lictor.state.machine.txn",
    "lictor.state.precheck",
    "lictor.state.queries.catalog",
    "lictor.state.queries.health",
    "httptools",
    "cryptography.exceptions",
)
"""What several daemons import, imported once before forking: time and memory are spent once."""

STOP_GRACE_NS = 600_000_000
"""How long daemons get to end by themselves; with this a server is gone within a second of SIGINT."""
LEAVE_TIMEOUT_NS = 15 * SECOND_NS
LEFT_TIMEOUT_NS = 5 * SECOND_NS
FIRST_ANSWER_NS = 500_000_000
"""How long the daemons that come third and later wait for the first two."""
REPLY_GRACE_NS = 200_000_000
RELOADED_TIMEOUT_NS = 5 * SECOND_NS
LONGEST_SLEEP_NS = 60 * SECOND_NS
MAX_PENDING_ASKS = 64
MAX_MONITORS = 32

Reload = Callable[[RuntimeConfig], RuntimeConfig]
log = logging.getLogger("agent")


class Forced(Exception):
    """A second signal: no more patience."""


class Failed(Exception):
    """The agent cannot go on; the text says why."""


class Supervisor:
    """Runs the daemons of one agent until it is told to end.

    `daemons_of` maps a configuration to names and what runs in the forked process, in starting order; a reload may add
    some. `reload` makes the new configuration out of the old one when asked. `announce` is called once when all daemons
    are ready.
    """

    def __init__(
        self,
        config: RuntimeConfig,
        daemons_of: Callable[[RuntimeConfig], dict[str, Run]],
        reload: Reload,
        announce: Callable[[], None] = lambda: None,
        watch: Callable[[], Watch] = Watch,
        tokens: TokenStore | None = None,
    ) -> None:
        self.config = config
        self._tokens = tokens if tokens is not None else TokenStore(config.data_dir, persistent=False)
        self._daemons_of = daemons_of
        self._daemons = daemons_of(config)
        self._reload = reload
        self._reloading: set[str] = set()
        """Who has not told yet that it has taken over the configuration."""
        self._reload_errors: list[str] = []
        self._announce = announce
        self._selector = selectors.DefaultSelector()
        self._children: dict[str, Child] = {}
        self._new_watch = watch
        self._watches = {name: watch() for name in self._daemons}
        self._due: dict[str, int] = {}
        self._signals: deque[int] = deque()
        self._asks: deque[tuple[Child, Message]] = deque()
        self._replies: dict[int, Message] = {}
        self._monitors: dict[str, tuple[Child, logs.Monitor]] = {}
        self._next_id = 1
        self._stopping = False
        self._announced = False
        self._failure = ""
        self._wakeup_read, self._wakeup_write = socket.socketpair()
        self._alive_interval_ns = notify.alive_interval_ns(os.environ, os.getpid())
        self._alive_due_ns = 0

    def run(self) -> int:
        """Start everything and stay until the end; returns the agent's exit code.

        Raises Failed when a daemon says the agent cannot run, or does not come up at all.
        """
        self._listen_for_signals()
        try:
            # Collecting meanwhile would take time and leave holes in pages, which children fill and so copy.
            gc.disable()
            preload()
            names = list(self._daemons)
            # The first two answer and join. The first has most to import, and does so itself beside the second; the
            # others wait until both have the processors no more.
            self._start(names[0], loaded=False)
            for name in names[1:2]:
                self._start(name)
            self._pump_until(lambda: self._settled(names[:2]), FIRST_ANSWER_NS)
            # These share more memory for being forked after all that they need is imported.
            for name in names[2:]:
                self._load(name)
            for name in names[2:]:
                self._start(name)
            gc.enable()
            return self._serve()
        except Forced:
            log.info("Caught second signal, Exiting")
            return 1
        finally:
            self._stop()
            self._unlisten()

    def _settled(self, names: Sequence[str]) -> bool:
        """Whether these daemons are up, or something else is to be done first."""
        if self._failure or self._signals:
            return True
        return all(self._watches[name].ever_ready for name in names)

    def _serve(self) -> int:
        while True:
            self._pump(LONGEST_SLEEP_NS)
            if self._failure:
                raise Failed(self._failure)
            while self._signals:
                code = self._signalled(self._signals.popleft())
                if code is not None:
                    return code
            while self._asks:
                child, message = self._asks.popleft()
                code = self._asked(child, message)
                if code is not None:
                    return code

    def _signalled(self, number: int) -> int | None:
        log.info("Caught", extra=logs.fields(signal=_signal_name(number)))
        if number == signal.SIGHUP:
            self._reload_and_tell()
            return None
        wanted = (number == signal.SIGINT and not self.config.skip_leave_on_interrupt) or (
            number == signal.SIGTERM and self.config.leave_on_terminate
        )
        if not wanted:
            log.info("Graceful shutdown disabled. Exiting")
            return 1
        log.info("Gracefully shutting down agent...")
        return 0 if self._leave() else 1

    def _asked(self, child: Child, message: Message) -> int | None:
        what, number = message["ask"], message.get("id")
        if what == "reload":
            error = self._reload_and_tell()
            child.send({"reply": number, "error": error} if error else {"reply": number})
            return None
        if what == "leave":
            left = self._leave()
            child.send({"reply": number} if left else {"reply": number, "error": "timeout on graceful leave"})
            self._pump_until(lambda: False, REPLY_GRACE_NS)
            return 0
        if what == "token":
            error = self._set_token(message)
            child.send({"reply": number, "error": error} if error else {"reply": number})
            return None
        if what in ("monitor", "unmonitor"):
            error = self._monitor(child, message)
            child.send({"reply": number, "error": error} if error else {"reply": number})
            return None
        child.send({"reply": number, "error": f"unknown request {what}"})
        return None

    def _monitor(self, child: Child, message: Message) -> str:
        """Add or remove a reader of the log; returns what was wrong, or nothing."""
        path = str(message.get("path", ""))
        if message["ask"] == "unmonitor":
            self._monitors.pop(path, None)
        else:
            try:
                level = logs.level_number(str(message.get("level", "INFO")))
            except ValueError as error:
                return str(error)
            if len(self._monitors) >= MAX_MONITORS:
                return "too many monitors"
            self._monitors[path] = (child, logs.Monitor(path, level, bool(message.get("json", False))))
        self._tell_monitors()
        return ""

    def _tell_monitors(self) -> None:
        monitors = [monitor for _, monitor in self._monitors.values()]
        logs.set_monitors(monitors)
        for child in self._children.values():
            child.send({"event": "monitors", "monitors": monitors})

    def _reload_and_tell(self) -> str:
        """Read the configuration again and tell the daemons; returns what was wrong, or nothing."""
        log.info("Reloading configuration...")
        notify.notify(notify.RELOADING)
        try:
            config = self._reload(self.config)
            logs.set_level(logs.level_number(config.log.level))
            config.save(config_path(config.data_dir))
        except Exception as error:
            log.error("Failed to reload configs", extra=logs.fields(error=error))
            notify.notify(notify.READY)
            return str(error)
        self.config = config
        self._reloading = set(self._children)
        self._reload_errors = []
        for child in self._children.values():
            child.send({"event": "reload", "log_level": config.log.level})
        for name, run in self._daemons_of(config).items():
            if name not in self._daemons:
                self._daemons[name], self._watches[name] = run, self._new_watch()
                self._start(name)
        self._pump_until(lambda: self._reloading.isdisjoint(self._children), RELOADED_TIMEOUT_NS)
        notify.notify(notify.READY)
        return "; ".join(self._reload_errors)

    def _set_token(self, message: Message) -> str:
        """Set one of the agent's tokens and tell all daemons; returns what was wrong, or nothing.

        When this returns they act with it: whoever is started later is started with it.
        """
        kind = str(message.get("kind", ""))
        if kind not in KINDS:
            return f"Token {kind!r} is unknown"
        self.config = self._tokens.set(self.config, kind, str(message.get("token", "")))
        error = ""
        try:
            self._tokens.keep()
            self.config.save(config_path(self.config.data_dir))
        except (TokenError, OSError) as failed:
            error = str(failed)
        tokens = msgspec.to_builtins(self.config.acl.tokens)
        self._tell_and_wait({"event": "tokens", "tokens": tokens})
        return error

    def _tell_and_wait(self, event: Message) -> None:
        """Tell all daemons and wait, for a while, until each has done what the event asks."""
        self._reloading = set(self._children)
        self._reload_errors = []
        for child in self._children.values():
            child.send(event)
        self._pump_until(lambda: self._reloading.isdisjoint(self._children), RELOADED_TIMEOUT_NS)

    def _leave(self) -> bool:
        """Take the node out of the cluster in Consul's order; False when it could not be done in time."""
        notify.notify(notify.STOPPING)
        deadline_ns = time.monotonic_ns() + LEAVE_TIMEOUT_NS
        done = True
        if self.config.server_mode:
            done &= self._request("raftd", "leave", deadline_ns)
        done &= self._request("gossipd", "leave", deadline_ns)
        if self.config.server_mode:
            drain_ns = min(self.config.performance.leave_drain_time_ns, deadline_ns - time.monotonic_ns())
            self._pump_until(self._signalled_again, max(drain_ns, 0))
            self._request("raftd", "left", min(deadline_ns, time.monotonic_ns() + LEFT_TIMEOUT_NS))
        if done:
            log.info("Graceful exit completed")
        else:
            log.warning("Timeout on graceful leave. Exiting")
        return done

    def _request(self, name: str, what: str, deadline_ns: int) -> bool:
        """Ask a daemon and wait for its reply; False when it has none in time or refuses."""
        child = self._children.get(name)
        if child is None:
            return False
        number = self._next_id
        self._next_id += 1
        if not child.send({"ask": what, "id": number}):
            return False
        self._pump_until(
            lambda: number in self._replies or self._children.get(name) is not child or self._signalled_again(),
            max(deadline_ns - time.monotonic_ns(), 0),
        )
        reply = self._replies.pop(number, None)
        if reply is None:
            log.warning("daemon did not answer", extra=logs.fields(daemon=name, request=what))
            return False
        if "error" in reply:
            log.warning("daemon refused", extra=logs.fields(daemon=name, request=what, error=reply["error"]))
            return False
        return True

    def _signalled_again(self) -> bool:
        """Whether a further signal asks to end at once. Raises Forced if so."""
        if any(number in (signal.SIGINT, signal.SIGTERM) for number in self._signals):
            raise Forced
        return False

    def _start(self, name: str, loaded: bool = True) -> None:
        self._due.pop(name, None)
        if loaded:
            self._load(name)
        # What exists now is out of the garbage collector's sight, so that its pages stay shared.
        gc.freeze()
        child = fork(name, self._daemons[name], self.config, self._forget)
        self._children[name] = child
        if self._monitors:
            self._tell_monitors()
        self._watches[name].started(time.monotonic_ns())
        self._selector.register(child.pidfd, selectors.EVENT_READ, (self._ended, child))
        self._selector.register(child.socket, selectors.EVENT_READ, (self._heard, child))
        log.debug("started daemon", extra=logs.fields(daemon=name, pid=child.pid))

    def _load(self, name: str) -> None:
        """Import a daemon's own modules here, not in the child: they are shared by all children then."""
        run = self._daemons[name]
        if isinstance(run, Launcher):
            run.load()

    def _forget(self) -> None:
        """In a new child: close what is the supervisor's."""
        self._selector.close()
        self._wakeup_read.close()
        self._wakeup_write.close()
        for child in self._children.values():
            child.close()

    def _pump(self, timeout_ns: int) -> None:
        """Handle what happens until the timeout or the next event."""
        now_ns = time.monotonic_ns()
        wake_ns = now_ns + timeout_ns
        if not self._stopping:
            for due_ns in self._due.values():
                wake_ns = min(wake_ns, due_ns)
            for name in self._children:
                wake_ns = min(wake_ns, self._watches[name].hung_at())
        if self._alive_interval_ns:
            self._tell_alive(now_ns)
            wake_ns = min(wake_ns, self._alive_due_ns)
        for key, _ in self._selector.select(max(wake_ns - now_ns, 0) / SECOND_NS):
            handle, subject = key.data
            handle(subject)
        if self._stopping:
            return
        now_ns = time.monotonic_ns()
        for name, child in list(self._children.items()):
            if now_ns >= self._watches[name].hung_at():
                self._kill_hung(child, now_ns)
        for name, due_ns in list(self._due.items()):
            if now_ns >= due_ns:
                self._start(name)

    def _tell_alive(self, now_ns: int) -> None:
        if now_ns >= self._alive_due_ns:
            notify.notify(notify.ALIVE)
            self._alive_due_ns = now_ns + self._alive_interval_ns

    def _pump_until(self, done: Callable[[], bool], timeout_ns: int) -> bool:
        """Handle what happens until `done()` or the timeout; whether it is done."""
        deadline_ns = time.monotonic_ns() + timeout_ns
        while not done():
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns <= 0:
                return False
            self._pump(left_ns)
        return True

    def _kill_hung(self, child: Child, now_ns: int) -> None:
        log.error("daemon hangs, killing it", extra=logs.fields(daemon=child.name, pid=child.pid))
        child.signal(signal.SIGKILL)
        self._watches[child.name].beat(now_ns)

    def _ended(self, child: Child) -> None:
        code = child.reap()
        if code is None:
            return
        for message in child.read():
            self._take(child, message)
        self._selector.unregister(child.pidfd)
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.socket)
        child.close()
        if self._children.get(child.name) is child:
            del self._children[child.name]
        for path, (asker, _) in list(self._monitors.items()):
            if asker is child:
                del self._monitors[path]
        if self._stopping or self._failure:
            return
        now_ns = time.monotonic_ns()
        due_ns = self._watches[child.name].ended(now_ns)
        if due_ns is None:
            self._failure = f"{child.name} does not start: it ended with {_status(code)}"
            return
        log.warning(
            "daemon ended, starting it again",
            extra=logs.fields(daemon=child.name, status=_status(code), delay=f"{(due_ns - now_ns) // 1_000_000}ms"),
        )
        self._due[child.name] = due_ns

    def _heard(self, child: Child) -> None:
        if self._children.get(child.name) is not child:
            return
        for message in child.read():
            self._take(child, message)
        if not child.open:
            self._selector.unregister(child.socket)

    def _take(self, child: Child, message: Message) -> None:
        watch = self._watches[child.name]
        watch.beat(time.monotonic_ns())
        if "reply" in message:
            self._replies[message["reply"]] = message
        elif "ask" in message:
            if len(self._asks) < MAX_PENDING_ASKS:
                self._asks.append((child, message))
            else:
                child.send({"reply": message.get("id"), "error": "too many requests"})
        elif message.get("event") == "ready":
            child.ready = True
            watch.ready()
            self._maybe_announce()
        elif message.get("event") == "reloaded":
            self._reloading.discard(child.name)
            if error := message.get("error"):
                self._reload_errors.append(str(error))
        elif message.get("event") == "fatal":
            self._failure = str(message.get("error", "")) or f"{child.name} failed"

    def _maybe_announce(self) -> None:
        if self._announced or not all(watch.ever_ready for watch in self._watches.values()):
            return
        self._announced = True
        release_read_only()
        notify.notify(notify.READY)
        self._announce()

    def _stop(self) -> None:
        """End every daemon: ask, then kill; returns when all are gone."""
        self._stopping = True
        notify.notify(notify.STOPPING)
        for child in self._children.values():
            child.send({"event": "stop"})
            child.signal(signal.SIGTERM)
        try:
            self._pump_until(lambda: not self._children or self._signalled_again(), STOP_GRACE_NS)
        except Forced:
            log.info("Caught second signal, Exiting")
        for child in self._children.values():
            log.warning("daemon did not end in time, killing it", extra=logs.fields(daemon=child.name))
            child.signal(signal.SIGKILL)
        while self._children:
            self._pump(SECOND_NS)

    def _listen_for_signals(self) -> None:
        self._wakeup_read.setblocking(False)
        self._wakeup_write.setblocking(False)
        signal.set_wakeup_fd(self._wakeup_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)
        self._selector.register(self._wakeup_read, selectors.EVENT_READ, (self._woken, None))

    def _woken(self, _: None) -> None:
        with contextlib.suppress(BlockingIOError):
            while numbers := self._wakeup_read.recv(64):
                self._signals.extend(numbers)

    def _unlisten(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._wakeup_read.close()
        self._wakeup_write.close()


def preload(modules: Sequence[str] = PRELOADED) -> None:
    """Import what all daemons need."""
    for module in modules:
        importlib.import_module(module)


def _status(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _signal_name(number: int) -> str:
    names = {signal.SIGINT: "interrupt", signal.SIGTERM: "terminated", signal.SIGHUP: "hangup"}
    return names.get(signal.Signals(number), str(number))


def write_pid_file(path: str) -> None:
    """Write this process's ID. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(str(os.getpid()))
