"""The packet cache: kept answers are the answers, rotations are even, memory is bounded."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import dns.flags
import dns.message
import pytest

from dnsd.core.cache import MAX_ROTATIONS, PacketCache
from dnsd.core.message import Transport
from tests.dnsd.world import World, text

QUESTIONS = [
    f"{name} {kind}"
    for name, kind in itertools.product(
        (
            "a.node.consul",
            "b.node.consul",
            "1c.node.consul",
            "web.service.consul",
            "red.web.service.consul",
            "db.service.consul",
            "web.connect.consul",
            "alias.service.consul",
            "nobody.service.consul",
            "1.1.1.10.in-addr.arpa",
            "2.1.1.10.in-addr.arpa",
        ),
        ("A", "SRV", "TXT", "PTR"),
    )
]


def change(world: World, chance: random.Random) -> None:
    """One random registration or deregistration, in any spelling."""
    node = chance.choice("abc")
    service = chance.choice(["web", "Web", "WEB", "db", "alias"])
    status = chance.choice(["", "passing", "warning", "critical"])
    choice = chance.randrange(6)
    if choice == 0:
        world.forget(node)
    elif choice == 1:
        world.forget(node, chance.choice(["web", "db", "alias", "px"]))
    elif choice == 2:
        world.node(
            node, f"10.1.1.{chance.randrange(1, 4)}", node_id=f"{'abc'.index(node)}c000000-0000-4000-8000-000000000000"
        )
    elif choice == 3:
        proxy = {"DestinationServiceName": chance.choice(["web", "db"])}
        world.node(node, "10.1.1.1", service="px", kind="connect-proxy", proxy=proxy, port=3, status=status)
    elif choice == 4:
        world.node(node, "10.1.1.1", node_status=chance.choice(["passing", "warning", "critical"]))
    else:
        address = "a.node.consul" if service == "alias" else chance.choice(["", "10.1.1.2"])
        tags = chance.choice([["red"], ["RED", "blue"], []])
        world.node(
            node,
            "10.1.1.1",
            service=service,
            id=service.lower(),
            tags=tags,
            port=chance.randrange(3),
            address=address,
            status=status,
        )


@pytest.mark.parametrize("seed", range(8))
def test_kept_answers_equal_fresh_ones_after_any_change(seed: int) -> None:
    chance = random.Random(seed)
    world = World(seed)
    for step in range(120):
        change(world, chance)
        if step % 10 == 0:
            world.now_s += 1
        for question in chance.sample(QUESTIONS, 12):
            kept = text(world.ask(question, edns=4096))
            assert kept == text(world.afresh().ask(question, edns=4096)), f"seed={seed} step={step} {question}"


def test_every_spelling_gets_its_own_name_back_from_one_entry() -> None:
    world = World()
    world.node("a", "10.1.1.1", service="web", port=1)
    for spelling in ("web.service.consul", "WEB.service.consul", "wEb.SERVICE.consuL"):
        for kind in ("A", "SRV"):
            answer = world.ask(f"{spelling} {kind}")
            assert str(answer.answer[0].name) == spelling + "."
    assert len(world.engine.cache) == 4


def test_transports_flags_and_sizes_are_kept_apart() -> None:
    world = World()
    for number in range(20):
        world.node(f"a{number}", f"10.1.1.{number}", service="web", port=1)
    for _ in range(2):
        assert len(world.ask("web.service.consul A").answer[0]) == 3
        assert len(world.ask("web.service.consul A", edns=4096).answer[0]) == 20
        assert len(world.ask("web.service.consul A", tcp=True).answer[0]) == 20
        assert world.ask("Web.service.consul A", flags=0).flags & dns.flags.RD == 0
        assert world.ask("Web.service.consul A").flags & dns.flags.RD


@pytest.mark.parametrize("count", [2, 3, 7, 10, MAX_ROTATIONS])
def test_each_instance_comes_first_equally_often(count: int) -> None:
    world = World(seed=count)
    for number in range(count):
        world.node(f"a{number}", f"10.1.1.{number}", service="web", port=1)
    rounds = 5
    first: Counter[str] = Counter()
    shown: Counter[str] = Counter()
    for _ in range(count * rounds):
        rrset = world.ask("web.service.consul A").answer[0]
        first[rrset[0].to_text()] += 1
        shown.update(data.to_text() for data in rrset)
    assert set(first.values()) == {rounds}
    assert len(first) == count
    assert len(set(shown.values())) == 1


def test_many_instances_are_all_shown_about_equally_often() -> None:
    count = 300
    world = World(seed=9)
    for number in range(count):
        world.node(f"a{number}", f"10.1.{number // 250}.{number % 250}", service="web", port=1)
    wire = dns.message.make_query("web.service.consul", "A", use_edns=-1).to_wire()
    shown: Counter[bytes] = Counter()
    asked = 60_000
    for _ in range(asked):
        packet = world.packet(wire)
        assert packet is not None
        shown.update(packet[end - 4 : end] for end in range(len(packet), len(packet) - 48, -16))
    mean = asked * 3 / count
    assert len(shown) == count
    assert min(shown.values()) > mean * 0.6
    assert max(shown.values()) < mean * 1.4


def test_random_names_do_not_grow_the_cache_beyond_its_bounds() -> None:
    world = World()
    world.engine.cache = PacketCache(max_young_entries=100)
    for number in range(1000):
        world.ask(f"x{number}.service.consul A")
    assert len(world.engine.cache) <= 200
    world.engine.cache = PacketCache(max_bytes=4096)
    for number in range(1000):
        world.ask(f"y{number}.service.consul A")
    assert len(world.engine.cache) < 80


def test_what_is_asked_for_all_the_time_stays_while_random_names_pass() -> None:
    world = World()
    world.engine.cache = PacketCache(max_young_entries=50)
    world.ask("n1.node.consul A")
    hits = 0
    for number in range(500):
        world.ask(f"x{number}.service.consul A")
        wire = dns.message.make_query("n1.node.consul", "A", use_edns=-1).to_wire()
        with world.source.view() as view:
            hits += world.engine.cache.find(wire[2:], view.get, world.now_s) is not None
    assert hits == 500


def test_negative_answers_show_the_time_of_asking() -> None:
    world = World()
    for _ in range(3):
        world.now_s += 5
        for _ in range(2):
            assert f"hostmaster.consul. {world.now_s} " in text(world.ask("none.service.consul A"))


def test_fetched_facts_are_not_kept() -> None:
    world = World()
    for _ in range(3):
        world.ask("web.service.sh.consul A")
    assert len(world.source.asked) == 3


def test_tcp_and_udp_questions_of_the_same_bytes_have_different_answers() -> None:
    world = World()
    for number in range(10):
        world.node(f"a{number}", f"10.1.1.{number}", service="web", port=1)
    wire = dns.message.make_query("web.service.consul", "A", use_edns=-1).to_wire()
    sizes = [len(world.packet(wire, transport) or b"") for transport in (Transport.UDP, Transport.TCP) * 2]
    assert sizes[0] == sizes[2] < sizes[1] == sizes[3]
