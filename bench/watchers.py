"""10,000 blocking queries at once on one server: `python -m bench watchers`.

They watch 1,000 services, ten each, over a connection each. Measured: memory of apid per waiter; for a change of one
service, the time from sending the write until the last of its ten watchers has its answer, and that nobody else was
woken; and how long it takes when every service changes at once.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.memory import pss_bytes
from bench.report import Distribution, Measure
from tools.agents import Agent, make_agent, running, temporary_folder

SERVICES = 1_000
WATCHERS_PER_SERVICE = 10
WATCHERS = SERVICES * WATCHERS_PER_SERVICE
CHANGES = 50
OPEN_FILES = 16_384
CONNECTING_AT_ONCE = 500
SETTLE_S = 3.0
QUIET_S = 0.2
"""After the last expected answer: long enough for a wrongly woken watcher to show itself."""
TIMEOUT_S = 120.0
CONFIG = {"performance": {"raft_multiplier": 1}, "limits": {"http_max_conns_per_client": 20_000}}
END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Woken:
    """What all watchers together have seen."""

    answers: int = 0
    by_service: dict[int, int] = field(default_factory=dict)
    last_s: float = 0.0
    expected: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def expect(self, answers: int) -> None:
        self.answers, self.expected = 0, answers
        self.by_service = {}
        self.reached.clear()

    def note(self, service: int) -> None:
        self.answers += 1
        self.by_service[service] = self.by_service.get(service, 0) + 1
        self.last_s = time.perf_counter()
        if self.answers == self.expected:
            self.reached.set()


class WatchProtocol(asyncio.Protocol):
    """One client that asks again, from the index it was given, whenever it is answered."""

    def __init__(self, service: int, woken: Woken) -> None:
        self._service = service
        self._woken = woken
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask("")

    def _ask(self, query: str) -> None:
        assert self._transport is not None
        path = f"/v1/health/service/s{self._service}{query}"
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(END_OF_HEAD)
        if not found:
            return
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) < int(headers[b"content-length"]):
            return
        assert head.startswith(b"HTTP/1.1 200"), head
        self._data = b""
        self._woken.note(self._service)
        self._ask(f"?wait=10m&index={headers[b'x-consul-index'].decode()}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Writer:
    """Sends changes over one kept connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def put(self, path: str, content: Any) -> None:
        body = json.dumps(content).encode()
        self._writer.write(f"PUT {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        head = await self._reader.readuntil(END_OF_HEAD)
        assert head.startswith(b"HTTP/1.1 200"), head
        size = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        await self._reader.readexactly(size)

    async def register(self, service: int, port: int) -> None:
        content = {"Node": f"n{service % 100}", "Address": "10.0.0.1", "Service": {"Service": f"s{service}"}}
        content["Service"]["Port"] = port  # type: ignore[index]
        await self.put("/v1/catalog/register", content)

    def close(self) -> None:
        self._writer.close()


async def _watch(agent: Agent) -> None:
    loop = asyncio.get_running_loop()
    writer = Writer(*await asyncio.open_connection(agent.host, agent.ports["http"]))
    for service in range(SERVICES):
        await writer.register(service, 1)
    woken = Woken()
    apid = agent.daemon_pid("apid")
    before = pss_bytes(apid)
    watchers: list[WatchProtocol] = []
    woken.expect(WATCHERS)
    for first in range(0, WATCHERS, CONNECTING_AT_ONCE):
        made = [WatchProtocol(number % SERVICES, woken) for number in range(first, first + CONNECTING_AT_ONCE)]
        connecting = (
            loop.create_connection(lambda watcher=watcher: watcher, agent.host, agent.ports["http"])  # type: ignore[misc]
            for watcher in made
        )
        await asyncio.gather(*connecting)
        watchers += made
    await asyncio.wait_for(woken.reached.wait(), TIMEOUT_S)
    await asyncio.sleep(SETTLE_S)
    per_waiter_kb = (pss_bytes(apid) - before) / WATCHERS / 1000
    print(Measure(f"memory of apid per waiter, {WATCHERS:,} waiters", "kB", (per_waiter_kb,)), flush=True)
    one = []
    for change in range(CHANGES):
        service = change * 17 % SERVICES
        woken.expect(WATCHERS_PER_SERVICE)
        begun = time.perf_counter()
        await writer.register(service, 100 + change)
        await asyncio.wait_for(woken.reached.wait(), TIMEOUT_S)
        await asyncio.sleep(QUIET_S)
        assert woken.by_service == {service: WATCHERS_PER_SERVICE}, f"others were woken, too: {woken.by_service}"
        one.append((woken.last_s - begun) * 1000)
    print(Distribution("one service changed, to its last wake-up", "ms", tuple(one)))
    print(f"every change woke exactly its {WATCHERS_PER_SERVICE} watchers", flush=True)
    every = []
    for round_number in range(3):
        woken.expect(WATCHERS)
        begun = time.perf_counter()
        content = {"Node": "all", "Address": f"10.1.0.{round_number}"}
        if not round_number:
            # From now on every service has an instance on this node: what changes the node changes them all.
            await asyncio.gather(*(_on_one_node(agent, number) for number in range(8)))
            await asyncio.sleep(SETTLE_S)
            woken.expect(WATCHERS)
            begun = time.perf_counter()
        await writer.put("/v1/catalog/register", content)
        await asyncio.wait_for(woken.reached.wait(), TIMEOUT_S)
        every.append((woken.last_s - begun) * 1000)
        await asyncio.sleep(QUIET_S)
        assert woken.answers == WATCHERS, f"{woken.answers} answers to one change"
    print(Distribution(f"all {SERVICES:,} services changed, to the last", "ms", tuple(every)), flush=True)
    for watcher in watchers:
        watcher.close()
    writer.close()


async def _on_one_node(agent: Agent, part: int) -> None:
    writer = Writer(*await asyncio.open_connection(agent.host, agent.ports["http"]))
    for service in range(part, SERVICES, 8):
        content = {"Node": "all", "Address": "10.1.0.99", "Service": {"ID": f"x{service}", "Service": f"s{service}"}}
        await writer.put("/v1/catalog/register", content)
    writer.close()


def bench_watchers() -> None:
    """Starts one server and watches it."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit[0], OPEN_FILES), limit[1]))
    with temporary_folder("lictor-bench-") as folder:
        agent = make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config=CONFIG)
        with running(agent):
            agent.wait_leader()
            uvloop.run(_watch(agent))
