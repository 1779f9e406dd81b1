"""A catalog in memory and the engine on top of it: what the table tests ask.

Registrations go through `lictor.state.apply`, questions are real packets, answers are parsed by dnspython and compared
as zone lines (`owner ttl type data`), in any order.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from dnsd.core.message import Transport
from dnsd.core.needs import Unavailable
from dnsd.core.settings import Settings
from dnsd.engine import Engine, Waiting
from dnsd.recursors import Recursors
from dnsd.sources.local import Memory, StateView
from dnsd.sources.source import Found
from lictor.state.apply import apply
from lictor.state.commands import AnyCommand, Deregister, Done, Register
from lictor.state.memory import MemoryStore
from lictor.state.rows import Check, Node, Service

DATACENTER = "bj"
NOW_S = 1_600_000_000
CLIENT = "192.0.2.7"


class MemorySource:
    """The catalog, and prepared facts for what would be fetched."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.memory = Memory()
        self.fetched: dict[Any, Any] = {}
        self.asked: list[Any] = []

    @contextmanager
    def view(self) -> Iterator[StateView]:
        with self._store.read() as txn:
            yield StateView(txn, self.memory, DATACENTER)

    async def fetch(self, need: Any) -> Found:
        self.asked.append(need)
        if need not in self.fetched:
            raise Unavailable("No path to datacenter")
        return Found(self.fetched[need], None)


class World:
    """A server of datacenter `bj` with its own node `n1`."""

    def __init__(self, seed: int = 1, recursors: Recursors | None = None, **settings: Any) -> None:
        self.store = MemoryStore()
        self.index = 0
        self.source = MemorySource(self.store)
        self.settings = Settings(datacenter=DATACENTER, **settings)
        self.now_s = NOW_S
        self.engine = Engine(
            self.settings, self.source, recursors or Recursors(()), lambda: self.now_s, random.Random(seed)
        )
        self.node("n1", "127.0.0.1", meta={"consul-network-segment": ""}, service="consul", port=8300)

    def afresh(self) -> World:
        """The same catalog with an engine that remembers nothing."""
        other = copy.copy(self)
        other.source = MemorySource(self.store)
        other.engine = Engine(self.settings, other.source, Recursors(()), lambda: self.now_s, random.Random(1))
        return other

    def apply(self, command: AnyCommand) -> None:
        """One committed command; it must succeed."""
        self.index += 1
        with self.store.write() as txn:
            result, _ = apply(txn, self.index, command)
        assert result == Done(), result

    def node(
        self,
        name: str,
        address: str,
        /,
        *,
        meta: dict[str, str] | None = None,
        tagged: dict[str, str] | None = None,
        node_id: str = "",
        service: str = "",
        status: str = "",
        node_status: str = "",
        **fields: Any,
    ) -> None:
        """Register a node, with a service (`fields` are its row's) and checks of service and node."""
        checks = []
        service_id = fields.pop("id", service)
        if status:
            checks.append(Check(name, f"check-{service_id}", "c", status, service_id=service_id, service_name=service))
        if node_status:
            checks.append(Check(name, "node-check", "c", node_status))
        row = Service(name, service_id, service, **fields) if service else None
        self.apply(Register(Node(node_id, name, address, DATACENTER, tagged, meta), row, checks))

    def forget(self, node: str, service_id: str = "") -> None:
        """Deregister a service, or a node with all it has."""
        self.apply(Deregister(node, service_id=service_id))

    def packet(self, packet: bytes, transport: Transport = Transport.UDP) -> bytes | None:
        """What the engine says to the bytes."""
        with self.source.view() as view:
            response = self.engine.answer(packet, transport, CLIENT, view)
        if isinstance(response, Waiting):
            return asyncio.run(self.engine.resolve(response))
        return response

    def ask(self, question: str, edns: int = 0, tcp: bool = False, **options: Any) -> dns.message.Message:
        """The parsed answer to `name TYPE`; `edns` is a payload size, `options` go to dnspython's make_query."""
        name, kind = question.split(" ")
        query = dns.message.make_query(name, kind, use_edns=0 if edns else -1, payload=edns, **options)
        wire = query.to_wire()
        response = self.packet(wire, Transport.TCP if tcp else Transport.UDP)
        assert response is not None, "no answer"
        limit = 65_535 if tcp else max(512, edns)
        assert len(response) <= limit, f"{len(response)} bytes, allowed {limit}"
        answer = dns.message.from_wire(response)
        assert answer.id == query.id
        assert answer.question[0].to_text() == query.question[0].to_text(), "the question is echoed as sent"
        return answer


def lines(section: list[Any]) -> list[str]:
    """A section as sorted zone lines."""
    return sorted(
        f"{rrset.name} {rrset.ttl} {dns.rdatatype.to_text(rrset.rdtype)} {data.to_text()}"
        for rrset in section
        for data in rrset
    )


def text(answer: dns.message.Message) -> str:
    """An answer as the tables write it: rcode and flags, then each section's lines."""
    out = [f"{dns.rcode.to_text(answer.rcode())} {dns.flags.to_text(answer.flags)}"]
    for mark, section in (("", answer.answer), ("authority: ", answer.authority), ("additional: ", answer.additional)):
        out += [mark + line for line in lines(section)]
    return "\n".join(out)


def expected(block: str) -> str:
    """A table's expectation without its indentation."""
    return "\n".join(line.strip() for line in block.strip().splitlines())
