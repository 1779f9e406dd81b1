"""The replicated state as apid reads it: LMDB opened read-only, the shared page, and the change stream.

A read needs no message to raftd. Which reads may answer at once is the page's business; who has to wait for a change
registers its topics with `Changes`.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path

import grpc

from apid.core.errors import NoLeader
from apid.node import stubs
from lictor.page import NEVER_NS, PageReader, RaftState, boottime_ns
from lictor.pb.lictor.v1 import raft_pb2
from lictor.rpc import DaemonChannel, DaemonNotRunning
from lictor.state.lmdb_store import LmdbStore, LmdbTxn, open_store
from lictor.state.store import StoreError
from lictor.state.topics import EVERYTHING, Waiters

log = logging.getLogger("agent.http")

RECONNECT_DELAY_S = 0.05
# How long a read may wait for the local state to reach the index of its barrier.
CATCH_UP_TIMEOUT_S = 10.0
# Until raftd has applied, the page is looked at this often when the change stream is silent.
PAGE_POLL_S = 0.005


class StateReader:
    """Read transactions on the current generation of the state file."""

    def __init__(self, data_dir: str) -> None:
        self._data_dir = data_dir
        self._page: PageReader | None = None
        self._store: LmdbStore | None = None
        self._generation = -1

    @property
    def generation(self) -> int:
        """Of the state file that was read last."""
        return self._generation

    def raft(self) -> RaftState:
        """The page's present content; before raftd's first start a server that knows no leader."""
        page = self._page
        if page is None:
            try:
                page = self._page = PageReader(self._data_dir)
            except FileNotFoundError:
                return RaftState()
        return page.read()

    def serves_default(self) -> bool:
        """Whether a `default` read may be answered from here and now: our lease lasts, what is committed is applied."""
        return self.raft().may_serve_default(boottime_ns())

    def serves_consistent(self) -> bool:
        """Whether even a `consistent` read may be: nobody else has a vote."""
        return self.raft().may_serve_consistent(boottime_ns())

    def holds_lease(self) -> bool:
        """Whether we lead and nobody else can."""
        return self.raft().holds_lease(boottime_ns())

    def read(self) -> AbstractContextManager[LmdbTxn]:
        """A consistent view. Errors: NoLeader while there is no state to read."""
        generation = self.raft().generation
        if generation != self._generation or self._store is None:
            self._open(generation)
        assert self._store is not None
        return self._store.read()

    def last_contact_ms(self, raft: RaftState) -> int:
        """Milliseconds since the leader was heard."""
        if raft.leader_contact_ns == NEVER_NS:
            return 0
        return max(0, (boottime_ns() - raft.leader_contact_ns) // 1_000_000)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._page is not None:
            self._page.close()
            self._page = None

    def _open(self, generation: int) -> None:
        path = Path(self._data_dir) / "raft" / f"state-{generation}"
        try:
            store = open_store(path, readonly=True)
        except StoreError as error:
            log.debug("state file not readable yet: error=%s", error)
            raise NoLeader() from None
        if self._store is not None:
            self._store.close()
        self._store = store
        self._generation = generation


class Watcher:
    """One blocked query: `event` is set when one of its topics changed."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def wake(self) -> None:
        self.event.set()


class CalledWatcher(Watcher):
    """One that is called instead, for every change."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback

    def wake(self) -> None:
        self._callback()


class Changes:
    """raftd's change stream, and who waits on it."""

    def __init__(self, data_dir: str, state: StateReader) -> None:
        self._daemon = DaemonChannel(data_dir, "raftd")
        self._state = state
        self._waiters: Waiters[Watcher] = Waiters()
        self._applied = 0
        self._catching_up: list[tuple[int, int, asyncio.Future[None]]] = []
        self._catch_up_number = 0
        self._task: asyncio.Task[None] | None = None
        self.listeners: list[Callable[[Iterable[str]], None]] = []
        self.resets = 0

    def __len__(self) -> int:
        return len(self._waiters)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._daemon.close()

    def watch(self, topics: Iterable[str]) -> Watcher:
        """Registers a waiter; pass it to `forget` when done."""
        watcher = Watcher()
        self._waiters.add(watcher, topics)
        return watcher

    def call(self, topics: Iterable[str], callback: Callable[[], None]) -> Watcher:
        """Calls back at every change of the topics, until the watcher is passed to `forget`."""
        watcher = CalledWatcher(callback)
        self._waiters.add(watcher, topics)
        return watcher

    def forget(self, watcher: Watcher) -> None:
        self._waiters.remove(watcher)

    async def caught_up(self, index: int) -> None:
        """Returns once the local state has applied the index. Errors: NoLeader when it does not get there."""
        if self._state.raft().applied_index >= index:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._catch_up_number += 1
        heapq.heappush(self._catching_up, (index, self._catch_up_number, future))
        try:
            async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
                while not future.done():
                    await asyncio.wait((future,), timeout=PAGE_POLL_S)
                    if self._state.raft().applied_index >= index:
                        return
        except TimeoutError:
            raise NoLeader() from None

    async def _run(self) -> None:
        while True:
            try:
                stub = stubs.consensus(self._daemon.channel())
                call = stub.Changes(raft_pb2.ChangesRequest(), metadata=self._daemon.metadata)
                # What changed while nobody listened is unknown: everybody looks again, once raftd listens to us.
                await call.initial_metadata()
                self._wake((EVERYTHING,))
                async for message in call:
                    self._take(message)
            except DaemonNotRunning:
                pass
            except grpc.aio.AioRpcError as error:
                log.debug("change stream ended: error=%s", error.details())
            await asyncio.sleep(RECONNECT_DELAY_S)

    def _take(self, message: raft_pb2.ChangesResponse) -> None:
        self._applied = message.index
        if message.reset:
            self.resets += 1
            self._wake((EVERYTHING,))
        elif message.topics:
            self._wake([topic.decode("utf-8", "surrogateescape") for topic in message.topics])
        while self._catching_up and self._catching_up[0][0] <= self._applied:
            future = heapq.heappop(self._catching_up)[2]
            if not future.done():
                future.set_result(None)

    def _wake(self, topics: Iterable[str]) -> None:
        for watcher in self._waiters.woken(topics):
            watcher.wake()
        for listener in self.listeners:
            listener(topics)
