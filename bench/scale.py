"""One service of 10,000 instances on 1,000 nodes, among 5,000 services: `python -m bench scale`.

Registered through the catalog API of one server, in parallel. At 100, 1,000 and 10,000 instances each question is
timed twice over one kept connection: repeated (nothing changed since the last) and first after a change (one instance
has just changed its tag and the status of its check). A blocked `health/service` is timed from sending the change to
having its whole new answer. All in milliseconds.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from bench.observer import question
from bench.report import Distribution
from tools.agents import Agent, make_agent, running, temporary_folder

SIZES = (100, 1_000, 10_000)
NODES = 1_000
OTHER_SERVICES = 5_000
CONNECTIONS = 32
ROUNDS = 15
TIMEOUT_S = 60.0
EDNS_BYTES = 4096
OPT_RECORD = struct.pack("!BHHIH", 0, 41, EDNS_BYTES, 0, 0)
TYPE_SRV = 33
ADDITIONAL_COUNT = slice(10, 12)
BIG = "big"
CONFIG = {"performance": {"raft_multiplier": 1}, "limits": {"http_max_conns_per_client": 10_000}}


def registration(number: int, service: str, status: str = "passing", tag: str = "v1") -> dict[str, Any]:
    """One instance with a check, on one of the nodes in turn."""
    node, service_id = f"n{number % NODES:04}", f"{service}-{number}"
    check = {"CheckID": service_id, "Name": "alive", "Status": status, "ServiceID": service_id, "Output": "HTTP 200 OK"}
    return {
        "Node": node,
        "Address": f"10.{number % NODES // 250}.0.{number % NODES % 250 + 1}",
        "Service": {"ID": service_id, "Service": service, "Port": 1024 + number, "Tags": [tag]},
        "Check": {"Node": node, **check},
        "SkipNodeUpdate": False,
    }


async def register_all(agent: Agent, registrations: list[dict[str, Any]]) -> float:
    """Registrations per second over a few connections."""
    waiting = iter(registrations)

    async def run() -> None:
        reader, writer = await asyncio.open_connection(agent.host, agent.ports["http"])
        for item in waiting:
            body = json.dumps(item).encode()
            head = f"PUT /v1/catalog/register HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert await reader.readexactly(4) == b"true"
        writer.close()

    begun = time.monotonic()
    await asyncio.gather(*(run() for _ in range(CONNECTIONS)))
    return len(registrations) / (time.monotonic() - begun)


class Client:
    """Kept connections to one agent."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._http = http.client.HTTPConnection(agent.host, agent.ports["http"], timeout=TIMEOUT_S)
        self._place = (agent.host, agent.ports["dns"])
        self._udp = socket.socket(type=socket.SOCK_DGRAM)
        self._udp.settimeout(TIMEOUT_S)
        self._udp.connect(self._place)
        self._tcp = socket.create_connection(self._place, timeout=TIMEOUT_S)
        self._turns: Iterator[int] = count()

    def get(self, path: str) -> bytes:
        self._http.request("GET", path)
        answer = self._http.getresponse()
        body = answer.read()
        assert answer.status == http.client.OK, body
        return body

    def change(self) -> None:
        """Changes the check and the tag of one instance."""
        turn = next(self._turns)
        body = json.dumps(registration(7, BIG, ("warning", "passing")[turn % 2], ("v1", "v2")[turn % 2]))
        self._http.request("PUT", "/v1/catalog/register", body)
        answer = self._http.getresponse()
        assert (answer.status, answer.read()) == (http.client.OK, b"true")

    def udp(self, kind: int, edns: bool) -> bytes:
        packet = bytearray(question(f"{BIG}.service.consul", 1))
        packet[-4:-2] = kind.to_bytes(2, "big")
        if edns:
            packet[ADDITIONAL_COUNT] = b"\0\1"
            packet += OPT_RECORD
        self._udp.send(packet)
        answer = self._udp.recv(65_535)
        assert int.from_bytes(answer[6:8], "big"), "an empty answer"
        return answer

    def tcp(self) -> bytes:
        packet = question(f"{BIG}.service.consul", 1)
        try:
            self._tcp.sendall(len(packet).to_bytes(2, "big") + packet)
            return self._receive()
        except ConnectionError:
            # Idle connections are closed by the server.
            self._tcp.close()
            self._tcp = socket.create_connection(self._place, timeout=TIMEOUT_S)
            self._tcp.sendall(len(packet).to_bytes(2, "big") + packet)
            return self._receive()

    def _receive(self) -> bytes:
        size = int.from_bytes(self._exactly(2), "big")
        return self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._tcp.recv(size - len(data))
            if not piece:
                raise ConnectionResetError
            data += piece
        return data

    def close(self) -> None:
        self._http.close()
        self._udp.close()
        self._tcp.close()


def timed_ms(run: Callable[[], object]) -> float:
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) * 1000


def wake_up_ms(client: Client) -> float:
    """From sending a change to having the whole new answer of a query that was blocked on it."""
    path = f"/v1/health/service/{BIG}"
    connection = http.client.HTTPConnection(client.agent.host, client.agent.ports["http"], timeout=TIMEOUT_S)
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    index = answer.getheader("X-Consul-Index")
    woken: list[float] = []

    def wait() -> None:
        connection.request("GET", f"{path}?index={index}&wait=60s")
        connection.getresponse().read()
        woken.append(time.perf_counter())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.2)
    begun = time.perf_counter()
    client.change()
    thread.join()
    connection.close()
    return (woken[0] - begun) * 1000


def measure_size(client: Client, size: int) -> None:
    """Prints each question's time, repeated and first after a change."""
    questions: dict[str, Callable[[], bytes]] = {
        "HTTP health/service?passing": lambda: client.get(f"/v1/health/service/{BIG}?passing"),
        "HTTP catalog/service": lambda: client.get(f"/v1/catalog/service/{BIG}"),
        "HTTP catalog/services": lambda: client.get("/v1/catalog/services"),
        "DNS A, UDP 512": lambda: client.udp(1, edns=False),
        f"DNS SRV, EDNS {EDNS_BYTES}": lambda: client.udp(TYPE_SRV, edns=True),
        "DNS A, TCP": client.tcp,
    }
    print(f"-- {size:,} instances")
    print(Distribution("change one instance (HTTP PUT)", "ms", tuple(timed_ms(client.change) for _ in range(ROUNDS))))
    for name, ask in questions.items():
        length = len(ask())
        repeated = tuple(timed_ms(ask) for _ in range(ROUNDS))
        print(Distribution(f"{name}, {length:,} B", "ms", repeated))
        first = []
        for _ in range(ROUNDS):
            client.change()
            first.append(timed_ms(ask))
        print(Distribution("  first after a change", "ms", tuple(first)), flush=True)
    woken = tuple(wake_up_ms(client) for _ in range(ROUNDS // 3))
    print(Distribution("change to blocked health/service answered", "ms", woken), flush=True)


def bench_scale() -> None:
    """Registers and measures at each size."""
    with temporary_folder("lictor-bench-") as folder:
        agent = make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config=CONFIG)
        with running(agent):
            agent.wait_leader()
            others = [registration(number, f"other{number:04}") for number in range(OTHER_SERVICES)]
            rate = asyncio.run(register_all(agent, others))
            print(f"{OTHER_SERVICES:,} services over {NODES:,} nodes registered at {rate:,.0f}/s")
            done = 0
            for size in SIZES:
                more = [registration(number, BIG) for number in range(done, size)]
                rate = asyncio.run(register_all(agent, more))
                print(f"{len(more):,} more instances registered at {rate:,.0f}/s", flush=True)
                done = size
                client = Client(agent)
                measure_size(client, size)
                client.close()
