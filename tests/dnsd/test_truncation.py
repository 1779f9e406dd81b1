"""What is cut, at which sizes, and what stays true of what is left (Consul 1.7: dns, truncation)."""

from __future__ import annotations

import random
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import pytest

from dnsd.core import message, names
from dnsd.core.message import Transport
from tests.dnsd.world import World

MANY = 40


def world_with(count: int, meta: dict[str, str] | None = None, **settings: Any) -> World:
    world = World(**settings)
    for number in range(count):
        address = f"10.{20 + number // 62500}.{number // 250 % 250}.{number % 250}"
        world.node(f"node-{number:05d}", address, service="web", port=1000, tags=["t"], meta=meta)
    return world


def answers(reply: dns.message.Message) -> int:
    return sum(len(rrset) for rrset in reply.answer)


def is_consistent(reply: dns.message.Message) -> bool:
    """Every target has its address and nothing else is there."""
    targets = {str(data.target) for rrset in reply.answer if rrset.rdtype == dns.rdatatype.SRV for data in rrset}
    return {str(rrset.name) for rrset in reply.additional} == targets


def test_plain_udp_gives_three_answers_and_does_not_say_so() -> None:
    world = world_with(MANY)
    for kind in ("A", "SRV", "ANY"):
        reply = world.ask(f"web.service.consul {kind}")
        assert answers(reply) == 3
        assert not reply.flags & dns.flags.TC
        assert is_consistent(reply) or kind != "SRV"
    assert answers(world.ask("web.service.consul A", edns=512)) == 3


@pytest.mark.parametrize(("limit", "count"), [(1, 1), (3, 3), (8, 8), (20, 8), (0, 1), (-1, 1)])
def test_answer_limit_never_exceeds_eight_and_never_empties(limit: int, count: int) -> None:
    assert answers(world_with(MANY, udp_answer_limit=limit).ask("web.service.consul A")) == count


def test_truncation_is_told_only_when_enabled_and_something_was_left_out() -> None:
    world = world_with(MANY, enable_truncate=True)
    assert world.ask("web.service.consul A").flags & dns.flags.TC
    assert not world.ask("web.service.consul A", tcp=True).flags & dns.flags.TC
    assert not world.ask("web.service.consul A", edns=4096).flags & dns.flags.TC
    assert not world_with(3, enable_truncate=True).ask("web.service.consul A").flags & dns.flags.TC


def test_larger_sizes_and_tcp_have_no_answer_limit() -> None:
    world = world_with(MANY)
    assert answers(world.ask("web.service.consul A", edns=1232)) == MANY
    assert answers(world.ask("t.web.service.consul ANY", edns=1400)) == MANY
    for reply in (world.ask("web.service.consul SRV", edns=4096), world.ask("web.service.consul SRV", tcp=True)):
        assert answers(reply) == MANY
        assert is_consistent(reply)


def test_every_size_gives_as_many_answers_as_fit_and_no_more() -> None:
    world = world_with(300, meta={"k": "v"})
    for kind in ("A", "SRV"):
        previous = 0
        for size in range(513, 5000, 37):
            reply = world.ask(f"web.service.consul {kind}", edns=size)
            count = answers(reply)
            assert count >= max(1, previous), (kind, size)
            assert kind == "A" or is_consistent(reply), (kind, size)
            previous = count
        assert previous > 10


def test_the_longest_run_that_fits_is_chosen() -> None:
    world = world_with(200)
    record_bytes = 16
    for size in (600, 1000, 1001, 1500):
        wire = dns.message.make_query("web.service.consul", "A", use_edns=0, payload=size).to_wire()
        reply = world.packet(wire)
        assert reply is not None
        assert len(reply) <= size < len(reply) + record_bytes + message.OPT_BYTES


def test_meta_of_nodes_disappears_when_answers_are_left_out() -> None:
    world = world_with(MANY, meta={"rack": "r1"})
    assert {rrset.rdtype for rrset in world.ask("web.service.consul SRV").additional} == {dns.rdatatype.A}
    whole = world.ask("web.service.consul SRV", tcp=True)
    assert {rrset.rdtype for rrset in whole.additional} == {dns.rdatatype.A, dns.rdatatype.TXT}


def test_tcp_stops_at_sixty_four_kilobytes() -> None:
    world = world_with(5000)
    for kind, most in (("A", 4096), ("SRV", 1024)):
        query = dns.message.make_query("web.service.consul", kind, use_edns=-1).to_wire()
        wire = world.packet(query, Transport.TCP)
        assert wire is not None
        assert len(wire) <= message.MAX_TCP_BYTES
        reply = dns.message.from_wire(wire)
        assert answers(reply) > most * 0.9
        assert answers(reply) <= most
        assert is_consistent(reply) or kind == "A"


def test_huge_udp_sizes_stay_below_what_a_datagram_holds() -> None:
    world = world_with(5000)
    query = dns.message.make_query("web.service.consul", "A", use_edns=0, payload=65535).to_wire()
    wire = world.packet(query)
    assert wire is not None
    assert 60_000 < len(wire) <= message.MAX_UDP_BYTES


def test_uncompressed_answers_respect_the_sizes_too() -> None:
    world = world_with(MANY, compress=False)
    for kind in ("A", "SRV"):
        for size in (0, 512, 700, 1232, 4096):
            assert answers(world.ask(f"web.service.consul {kind}", edns=size)) >= 1


def test_small_packets_are_measured_uncompressed() -> None:
    world = World(udp_answer_limit=8)
    for number in range(MANY):
        world.node(f"{'long' * 12}-{number}", f"10.1.1.{number}", service="web", port=1)
    reply = world.ask("web.service.consul SRV")
    assert 1 <= answers(reply) < 8
    assert len(reply.to_wire()) < 512


def test_long_names_leave_one_answer_or_say_that_it_was_left_out() -> None:
    world = World()
    long_tag = ".".join(["t" * 60] * 3)
    for number in range(3):
        world.node(f"{'n' * 60}.{'m' * 60}.{'o' * 50}-{number}", f"10.1.1.{number}", service="web", tags=[long_tag])
    reply = world.ask(f"{long_tag}.web.service.consul SRV")
    assert answers(reply) == 1 or reply.flags & dns.flags.TC


def test_large_node_meta_is_cut_to_size() -> None:
    world = World()
    world.node("big", "10.1.1.1", meta={f"key-{number:02d}": "v" * 500 for number in range(40)})
    for size in (0, 512, 1232, 4096):
        reply = world.ask("big.node.consul A", edns=size)
        assert answers(reply) == 1
        assert not reply.flags & dns.flags.TC
        assert world.ask("big.node.consul TXT", edns=size).flags & dns.flags.TC
    whole = world.ask("big.node.consul TXT", tcp=True)
    assert answers(whole) == 40
    assert not whole.flags & dns.flags.TC


def test_random_catalogs_never_exceed_the_asked_size() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        world = World(seed, udp_answer_limit=chance.choice([1, 3, 8]), enable_truncate=chance.random() < 0.5)
        for number in range(chance.randrange(1, 120)):
            name = f"{'n' * chance.randrange(1, 60)}-{number}"
            meta = {"k": "v" * chance.randrange(200)} if chance.random() < 0.3 else None
            address = chance.choice([f"10.1.1.{number}", f"2001:db8::{number}", f"h{number}.example.test"])
            own = chance.choice(["", "", f"10.2.2.{number}", f"s{number}.example.test"])
            world.node(name, address, meta=meta, service="web", address=own, port=number)
        for kind in ("A", "AAAA", "SRV", "ANY"):
            for size in (0, *(chance.randrange(512, 6000) for _ in range(10))):
                assert world.ask(f"web.service.consul {kind}", edns=size).answer or kind == "AAAA", (seed, kind, size)


def test_names_are_compressed_against_the_question_only_as_a_whole() -> None:
    world = World()
    wire = world.packet(dns.message.make_query("x.consul", "A", use_edns=-1).to_wire())
    assert wire is not None
    owner = wire[12 + names.wire_bytes((b"x", b"consul")) + 4 :]
    assert owner.startswith(names.to_wire((b"consul",)))
