"""Recursion against small DNS servers in this process: order, transports, errors, forgeries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from dnsd.core import names
from dnsd.core.message import Transport
from dnsd.engine import Waiting
from dnsd.recursors import Recursors
from tests.dnsd.world import CLIENT, World, text

Answering = Callable[[dns.message.Message, bool], list[bytes]]
"""From a question, and whether it came over TCP, to the packets to send."""


class Upstream(asyncio.DatagramProtocol):
    """A resolver that says what a test wants."""

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        self._transport: asyncio.DatagramTransport | None = None
        self.asked: list[tuple[dns.message.Message, bool, int]] = []
        """Question, whether over TCP, the asker's port."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        self.asked.append((query, False, addr[1]))
        assert self._transport is not None
        for packet in self._answering(query, False):
            self._transport.sendto(packet, addr)

    async def take_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP question."""
        length = int.from_bytes(await reader.readexactly(2), "big")
        query = dns.message.from_wire(await reader.readexactly(length))
        self.asked.append((query, True, 0))
        for packet in self._answering(query, True):
            writer.write(len(packet).to_bytes(2, "big") + packet)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def upstream(answering: Answering) -> AsyncIterator[tuple[Upstream, str]]:
    """A running resolver and its address."""
    loop = asyncio.get_running_loop()
    server = None
    while server is None:
        transport, protocol = await loop.create_datagram_endpoint(lambda: Upstream(answering), ("127.0.0.1", 0))
        host, port = transport.get_extra_info("sockname")
        try:
            server = await asyncio.start_server(protocol.take_stream, host, port)
        except OSError:
            # Somebody has the same TCP port.
            transport.close()
    try:
        yield protocol, f"{host}:{port}"
    finally:
        transport.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)


def reply(query: dns.message.Message, *records: str, rcode: int = 0, flags: int = 0) -> list[bytes]:
    """A packet with the zone lines as its answer."""
    answer = dns.message.make_response(query, recursion_available=True)
    answer.set_rcode(dns.rcode.Rcode(rcode))
    answer.flags |= flags
    for line in records:
        owner, ttl, kind, data = line.split(" ", 3)
        answer.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
    return [answer.to_wire()]


def one_address(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
    return reply(query, f"{query.question[0].name} 60 A 198.51.100.1")


async def ask(world: World, question: str, tcp: bool = False, **options: Any) -> tuple[dns.message.Message, bytes]:
    """The parsed answer and its bytes."""
    name, kind = question.split(" ")
    query = dns.message.make_query(name, kind, **{"use_edns": -1} | options)
    transport = Transport.TCP if tcp else Transport.UDP
    with world.source.view() as view:
        response = world.engine.answer(query.to_wire(), transport, CLIENT, view)
    if isinstance(response, Waiting):
        response = await world.engine.resolve(response)
    assert response is not None
    answer = dns.message.from_wire(response)
    assert answer.id == query.id
    return answer, response


def world_with(*addresses: str, timeout_s: float = 0.3) -> World:
    return World(recursors=Recursors(addresses, timeout_s), has_recursors=True)


async def test_names_outside_are_relayed_as_the_recursor_said() -> None:
    async with upstream(one_address) as (server, address):
        world = world_with(address)
        for tcp in (False, True):
            answer, _ = await ask(world, "wWw.example.com A", tcp=tcp)
            assert text(answer) == "NOERROR QR RD RA\nwWw.example.com. 60 A 198.51.100.1"
            assert server.asked[-1][1] is tcp
        answer, _ = await ask(world, "example.com SOA", use_edns=0, payload=1400)
        assert server.asked[-1][0].payload == 1400


async def test_questions_leave_with_fresh_ids_from_fresh_ports() -> None:
    async with upstream(one_address) as (server, address):
        world = world_with(address)
        for _ in range(30):
            await ask(world, "example.com A", id=7)
        assert len({query.id for query, _, _ in server.asked}) > 25
        assert len({port for _, _, port in server.asked}) > 5


async def test_the_next_recursor_is_asked_after_errors_and_silence() -> None:
    def refuse(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        return reply(query, rcode=dns.rcode.REFUSED)

    def say_nothing(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        return []

    async with upstream(refuse) as (first, a), upstream(say_nothing) as (second, b), upstream(one_address) as (_, c):
        answer, _ = await ask(world_with(a, b, c), "example.com A")
        assert "198.51.100.1" in text(answer)
        assert len(first.asked) == len(second.asked) == 1
        failed, _ = await ask(world_with(a, b), "example.com A", use_edns=0, payload=1232)
        assert text(failed) == "SERVFAIL QR RD RA"
        assert failed.payload == 1232


async def test_an_unknown_name_is_an_answer() -> None:
    def unknown(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        return reply(query, rcode=dns.rcode.NXDOMAIN)

    async with upstream(unknown) as (_, a), upstream(one_address) as (second, b):
        answer, _ = await ask(world_with(a, b), "example.com A")
        assert answer.rcode() == dns.rcode.NXDOMAIN
        assert not second.asked


async def test_a_closed_port_counts_as_failed() -> None:
    async with upstream(one_address) as (_, address):
        answer, _ = await ask(world_with("127.0.0.1:1", address), "example.com A")
        assert "198.51.100.1" in text(answer)


async def test_truncated_answers_are_passed_on_so_that_the_client_turns_to_tcp() -> None:
    def truncate(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        return reply(query, "example.com. 5 A 198.51.100.2") if over_tcp else reply(query, flags=dns.flags.TC)

    async with upstream(truncate) as (_, address):
        world = world_with(address)
        answer, _ = await ask(world, "example.com A")
        assert answer.flags & dns.flags.TC
        answer, _ = await ask(world, "example.com A", tcp=True)
        assert "198.51.100.2" in text(answer)


async def test_forged_answers_are_ignored() -> None:
    def forge(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        (good,) = one_address(query, over_tcp)
        other_id = bytes((good[0] ^ 1,)) + good[1:]
        other_name = dns.message.make_query("evil.example.com", "A", id=query.id)
        (other_question,) = reply(other_name, "evil.example.com. 60 A 203.0.113.66")
        return [other_id, other_question, query.to_wire(), b"", good]

    async with upstream(forge) as (_, address):
        answer, _ = await ask(world_with(address), "example.com A")
        assert text(answer) == "NOERROR QR RD RA\nexample.com. 60 A 198.51.100.1"


async def test_reverse_names_that_nobody_has_go_to_the_recursors() -> None:
    def name(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        return reply(query, f"{query.question[0].name} 60 PTR host.example.com.")

    async with upstream(name) as (server, address):
        world = world_with(address)
        answer, _ = await ask(world, "9.9.9.9.in-addr.arpa PTR")
        assert "host.example.com." in text(answer)
        answer, _ = await ask(world, "1.0.0.127.in-addr.arpa PTR")
        assert text(answer).startswith("NOERROR QR AA RD RA\n1.0.0.127.in-addr.arpa. 0 PTR n1.node.bj.consul.")
        assert len(server.asked) == 1


async def test_delegation_records_of_our_domain_are_asked_of_its_parent() -> None:
    async with upstream(lambda query, over_tcp: reply(query, rcode=dns.rcode.NXDOMAIN)) as (server, address):
        await ask(world_with(address), "consul DS")
        assert len(server.asked) == 1


async def test_delegation_records_of_reverse_names_are_asked_of_their_parent() -> None:
    async with upstream(lambda query, over_tcp: reply(query, rcode=dns.rcode.NXDOMAIN)) as (server, address):
        answer, _ = await ask(world_with(address), "1.0.0.127.in-addr.arpa DS")
        assert answer.rcode() == dns.rcode.NXDOMAIN
        assert len(server.asked) == 1


async def test_names_for_addresses_are_resolved_with_our_ttl() -> None:
    def chain(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        assert query.question[0].rdtype == dns.rdatatype.A
        return reply(
            query,
            "www.example.com. 60 CNAME edge.example.com.",
            "edge.example.com. 60 A 198.51.100.1",
            "edge.example.com. 60 TXT ignored",
        )

    async with upstream(chain) as (_, address):
        world = World(recursors=Recursors((address,), 0.3), has_recursors=True, service_ttls_s={"*": 9})
        world.node("named", "www.example.com", service="web", port=7)
        answer, _ = await ask(world, "web.service.consul A")
        assert text(answer) == (
            "NOERROR QR AA RD RA\n"
            "edge.example.com. 9 A 198.51.100.1\n"
            "web.service.consul. 9 CNAME www.example.com.\n"
            "www.example.com. 9 CNAME edge.example.com."
        )
        answer, _ = await ask(world, "web.service.consul SRV")
        assert "additional: edge.example.com. 9 A 198.51.100.1" in text(answer)
        answer, _ = await ask(world, "named.node.consul A")
        assert "edge.example.com. 60 A 198.51.100.1" in text(answer)


async def test_what_instances_names_lead_to_is_cut_to_five_records_without_edns() -> None:
    def many(query: dns.message.Message, over_tcp: bool) -> list[bytes]:
        if not over_tcp:
            return reply(query, flags=dns.flags.TC)
        return reply(query, *[f"www.example.com. 60 A 198.51.100.{number}" for number in range(20)])

    async with upstream(many) as (_, address):
        world = world_with(address)
        world.node("named", "www.example.com", service="web", port=1)
        answer, _ = await ask(world, "web.service.consul A", tcp=True)
        assert sum(map(len, answer.answer)) == 6
        answer, _ = await ask(world, "web.service.consul A", use_edns=0, payload=4096)
        assert sum(map(len, answer.answer)) == 21
        answer, _ = await ask(world, "named.node.consul A")
        assert sum(map(len, answer.answer)) == 21, "what a node's name leads to is told as a whole"


async def test_unresolvable_names_leave_the_bare_cname() -> None:
    world = world_with("127.0.0.1:1")
    world.node("named", "www.example.com")
    answer, _ = await ask(world, "named.node.consul A")
    assert text(answer) == "NOERROR QR AA RD RA\nnamed.node.consul. 0 CNAME www.example.com."


async def test_timeouts_are_the_configured_ones() -> None:
    async with upstream(lambda query, over_tcp: []) as (_, address):
        started_s = time.monotonic()
        answer, _ = await ask(world_with(address, timeout_s=0.2), "example.com A")
        assert answer.rcode() == dns.rcode.SERVFAIL
        assert 0.19 < time.monotonic() - started_s < 2


async def test_malformed_replies_are_failures() -> None:
    async with upstream(lambda query, over_tcp: [reply(query)[0][:14]]) as (_, address):
        world = world_with(address, timeout_s=0.2)
        world.node("named", "www.example.com")
        answer, _ = await ask(world, "named.node.consul A")
        assert text(answer).endswith("CNAME www.example.com.")


def test_names_with_odd_bytes_survive() -> None:
    assert names.from_text("a.b.") == (b"a", b"b")
    assert names.to_text((b"a.b", b"\xff x", b"plain")) == "a\\.b.\\255\\ x.plain."
