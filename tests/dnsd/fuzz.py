"""Mutated packets against the engine: no crash, nothing larger than allowed, nothing that cannot be parsed.

`python -m tests.dnsd.fuzz --packets 1000000 [--seed 1]`; a failure prints the seed, the number and the packet.
"""

from __future__ import annotations

import argparse
import logging
import random
import struct
import sys
import time

import dns.edns
import dns.flags
import dns.message

from dnsd.core import message
from dnsd.core.message import Transport
from dnsd.core.question import HEADER_BYTES, QR
from tests.dnsd.world import World

NAMES = (
    "n1.node.consul",
    "long.node.consul",
    "web.service.consul",
    "red.web.service.bj.consul",
    "_web._tcp.service.consul",
    "far.service.consul",
    "web.connect.consul",
    "mine.query.consul",
    "0a000001.addr.consul",
    "consul",
    "bogus.consul",
    "1.0.0.127.in-addr.arpa",
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
    "example.com",
    ".",
    "x" * 63 + "." + "y" * 63 + ".service.consul",
)
TYPES = ("A", "AAAA", "SRV", "ANY", "TXT", "NS", "SOA", "PTR", "AXFR", "MX", "CNAME", "DS", "HTTPS")
MAX_MUTATIONS = 6
PARSE_SHARE = 8
"""One of so many answers is also parsed by dnspython, besides those to mutated questions."""


def catalog(seed: int) -> World:
    """Something of every kind to be found."""
    world = World(seed, alt_domain=(b"alt",), has_recursors=bool(seed % 2), enable_truncate=bool(seed % 3))
    world.node("long", "10.1.1.1", meta={f"key{number}": "v" * 200 for number in range(30)})
    for number in range(60):
        world.node(f"w{number}", f"10.2.2.{number}", service="web", port=80, tags=["red"], meta={"rack": "r"})
    world.node("far", "far.example.test", service="far", address="n1.node.consul", port=1)
    return world


def seeds(chance: random.Random) -> list[bytes]:
    """Well-formed questions to start from."""
    packets = []
    for name in NAMES:
        for kind in TYPES:
            edns = chance.choice([-1, 0])
            options: list[dns.edns.Option] = []
            if edns == 0 and chance.random() < 0.4:
                options.append(dns.edns.ECSOption(chance.choice(["192.0.2.9", "2001:db8::9"]), chance.randrange(33)))
            payload = chance.choice([0, 100, 512, 1232, 4096, 65535])
            query = dns.message.make_query(name, kind, use_edns=edns, payload=payload, options=options)
            packets.append(query.to_wire())
    return packets


def mutate(packet: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """The packet with some bytes flipped, cut out, repeated, or taken from another."""
    data = bytearray(packet)
    for _ in range(chance.randrange(MAX_MUTATIONS)):
        choice = chance.randrange(8)
        place = chance.randrange(len(data) + 1)
        if choice == 0 and data:
            data[place % len(data)] ^= 1 << chance.randrange(8)
        elif choice == 1 and data:
            data[place % len(data)] = chance.choice((0, 1, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF, chance.randrange(256)))
        elif choice == 2:
            del data[place:]
        elif choice == 3:
            del data[place : place + chance.randrange(1, 9)]
        elif choice == 4:
            data[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif choice == 5:
            other = chance.choice(others)
            data[place:] = other[place:]
        elif choice == 6 and len(data) >= HEADER_BYTES:
            struct.pack_into("!H", data, chance.choice((2, 4, 6, 8, 10)), chance.choice((0, 1, 2, 0xFFFF)))
        else:
            # Upper and lower case, which must not change what is found.
            data[HEADER_BYTES:] = data[HEADER_BYTES:].swapcase()
    return bytes(data)


def check(world: World, packet: bytes, transport: Transport, parse: bool) -> None:
    """One packet; AssertionError or whatever the engine raises tells what is wrong."""
    response = world.packet(packet, transport)
    if response is None:
        assert len(packet) < HEADER_BYTES or packet[2] & (QR >> 8), "no answer to a question"
        return
    assert len(response) >= HEADER_BYTES, "a cut header"
    assert response[:2] == packet[:2], "another ID"
    assert response[2] & (QR >> 8), "not an answer"
    assert len(response) <= allowed_bytes(packet, transport), f"{len(response)} bytes"
    if parse:
        reply = dns.message.from_wire(response)
        assert reply.flags & dns.flags.QR


def allowed_bytes(packet: bytes, transport: Transport) -> int:
    """The size that the asker can take, as dnspython understands the question."""
    if transport is Transport.TCP:
        return message.MAX_TCP_BYTES
    try:
        query = dns.message.from_wire(packet, ignore_trailing=True)
    except Exception:
        # What dnspython refuses may still hold a size; then only the largest one bounds the answer.
        return message.MAX_UDP_BYTES
    return max(message.PLAIN_UDP_BYTES, query.payload if query.edns >= 0 else 0)


def run(packets: int, seed: int) -> None:
    """Send so many; raises with seed, number and packet at the first that goes wrong."""
    chance = random.Random(seed)
    world = catalog(seed)
    others = seeds(chance)
    for number in range(packets):
        base = chance.choice(others)
        packet = chance.randbytes(chance.randrange(64)) if number % 50 == 0 else mutate(base, others, chance)
        transport = Transport.TCP if chance.random() < 0.2 else Transport.UDP
        try:
            check(world, packet, transport, number % PARSE_SHARE == 0)
        except Exception as error:
            raise AssertionError(f"seed={seed} number={number} {transport.value} {packet.hex()}: {error!r}") from error
        if number % 5000 == 4999:
            world.now_s += 1
            world.node(f"w{number % 60}", f"10.2.3.{number % 250}", service="web", port=80, tags=["red"])


def main() -> int:
    """The own target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    logging.disable(logging.ERROR)
    started_s = time.monotonic()
    run(arguments.packets, arguments.seed)
    elapsed_s = time.monotonic() - started_s
    print(f"{arguments.packets} packets, seed {arguments.seed}: nothing wrong ({elapsed_s:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
