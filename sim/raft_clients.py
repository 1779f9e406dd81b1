"""Clients of the simulated cluster: they write and read registers and note what they were told, and when."""

from dataclasses import dataclass
from random import Random

from raftd.core.api import Entry, NotLeaderError, RaftError
from sim.clock import Timeline
from sim.network import MS
from sim.raft_checks import RegisterHistory
from sim.raft_server import Server

KEYS = ("a", "b", "c")
PAUSE_MAX_NS = 60 * MS
GIVE_UP_NS = 600 * MS
"""A client waits this long for an answer, then its operation's outcome stays unknown."""


@dataclass(slots=True)
class _Operation:
    key: str
    floor: int
    open: bool = True


class Client:
    """One operation at a time, with a pause between."""

    def __init__(
        self, name: str, servers: dict[str, Server], timeline: Timeline, random: Random, history: RegisterHistory
    ) -> None:
        self._name = name
        self._servers = servers
        self._timeline = timeline
        self._random = random
        self._history = history
        self._favourite = ""
        self._count = 0
        self._operation = _Operation("", 0, open=False)
        self.stopped = False
        self.last_write_acknowledged_ns = 0
        timeline.after(random.randint(0, 100 * MS), self._next)

    def _next(self) -> None:
        if self.stopped:
            return
        random = self._random
        key = random.choice(KEYS)
        operation = self._operation = _Operation(key, self._history.called(key))
        self._timeline.after(GIVE_UP_NS, lambda: self._give_up(operation))
        dice = random.random()
        if dice < 0.4:
            self._write(operation)
        elif dice < 0.7:
            self._read_index(operation)
        else:
            self._lease_read(operation)

    def _done(self, operation: _Operation) -> None:
        if operation.open:
            operation.open = False
            self._timeline.after(self._random.randint(MS, PAUSE_MAX_NS), self._next)

    def _give_up(self, operation: _Operation) -> None:
        self._favourite = ""
        self._done(operation)

    def _pick(self) -> Server:
        """The last known leader, mostly; else anybody."""
        known = self._servers.get(self._favourite)
        if known is not None and self._random.random() < 0.9:
            return known
        return self._random.choice(list(self._servers.values()))

    def _retry_later(self, operation: _Operation) -> None:
        self._favourite = ""
        self._done(operation)

    # --- operations -------------------------------------------------------------------------------------------

    def _write(self, operation: _Operation) -> None:
        server = self._pick()
        raft = server.raft
        if raft is None or server.paused:
            self._retry_later(operation)
            return
        self._count += 1
        value = f"{self._name}.{self._count}"
        burst = [f"{operation.key}={value}".encode()] * self._random.choice((1, 1, 1, 5))
        try:
            index, term = raft.propose(server.now_ns, burst)
        except NotLeaderError as error:
            self._favourite = error.leader_id
            self._done(operation)
            return
        except RaftError:
            self._retry_later(operation)
            return
        self._favourite = server.id
        last_index = index + len(burst) - 1
        server.applied_waits.append((last_index, lambda entry: self._written(operation, last_index, term, entry)))
        server.drain()

    def _written(self, operation: _Operation, index: int, term: int, entry: Entry | None) -> None:
        if operation.open and entry is not None and entry.term == term:
            self._history.wrote(operation.key, operation.floor, index)
            self.last_write_acknowledged_ns = self._timeline.now_ns
        self._done(operation)

    def _read_index(self, operation: _Operation) -> None:
        server = self._random.choice(list(self._servers.values()))
        raft = server.raft
        if raft is None or server.paused:
            self._retry_later(operation)
            return
        context = self._random.getrandbits(60)
        server.read_answers[context] = lambda index: self._confirmed(operation, server, index)
        try:
            raft.read_index(server.now_ns, [context])
        except RaftError:
            del server.read_answers[context]
            self._done(operation)
            return
        server.drain()

    def _confirmed(self, operation: _Operation, server: Server, index: int | None) -> None:
        if index is None or not operation.open:
            self._done(operation)
        elif server.machine.applied_index >= index:
            self._look(operation, server, "index")
        else:
            server.applied_waits.append((index, lambda _: self._look(operation, server, "index")))

    def _lease_read(self, operation: _Operation) -> None:
        """By another process of the server's machine: it looks at the page, then at the state, whatever the server
        process is doing, even when that is paused or dead."""
        promising = [
            server
            for server in self._servers.values()
            if server.page.is_leader
            and server.now_ns < server.page.lease_expiry_ns
            and server.machine.applied_index >= server.page.commit_index
        ]
        if not promising:
            self._done(operation)
            return
        server = self._random.choice(promising)
        life = server.life
        self._timeline.after(self._random.randint(0, MS), lambda: self._look_if_same(operation, server, life))

    def _look_if_same(self, operation: _Operation, server: Server, life: int) -> None:
        if server.life == life:
            self._look(operation, server, "lease")
        else:
            self._done(operation)

    def _look(self, operation: _Operation, server: Server, kind: str) -> None:
        if operation.open:
            _, version = server.machine.read(operation.key)
            self._history.read(kind, operation.key, operation.floor, version)
        self._done(operation)
