"""A small share of the fuzzing (`tests/dnsd/fuzz.py`), and generated questions."""

from __future__ import annotations

import logging
import struct

import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.core import question
from dnsd.core.message import Transport
from dnsd.core.question import FAMILY_IPV4, Refusal, Subnet
from tests.dnsd import fuzz
from tests.dnsd.world import World

WORLD = World()
labels = st.lists(st.binary(min_size=1, max_size=63), max_size=4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutated_packets_do_no_harm(seed: int) -> None:
    logging.disable(logging.ERROR)
    try:
        fuzz.run(4000, seed)
    finally:
        logging.disable(logging.NOTSET)


@given(st.binary(max_size=80))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_refused_or_answered(packet: bytes) -> None:
    fuzz.check(WORLD, packet, Transport.UDP, parse=True)


@given(labels, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
@settings(deadline=None, max_examples=300)
def test_questions_are_understood_as_dnspython_wrote_them(
    name: list[bytes], kind: int, klass: int, payload: int
) -> None:
    query = dns.message.Message(id=1)
    query.question = [dns.message.from_text(f"id 1\n;QUESTION\n. CLASS{klass} TYPE{kind}\n").question[0]]
    query.question[0].name = dns.name.Name([*name, b""])
    query.use_edns(0, payload=payload)
    parsed = question.parse(query.to_wire())
    assert (list(parsed.name), parsed.kind, parsed.klass, parsed.payload_bytes) == (name, kind, klass, payload)
    assert parsed.plain


@pytest.mark.parametrize(
    ("packet", "rcode"),
    [
        (b"", -1),
        (b"\0" * 11, -1),
        (b"\0\1\x80\0\0\1\0\0\0\0\0\0\0\0\1\0\1", -1),
        (b"\0\1\x28\0\0\1\0\0\0\0\0\0\0\0\1\0\1", 4),
        (b"\0\1\0\0\0\0\0\0\0\0\0\0", 1),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0", 2),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\0\0", 1),
        (b"\0\1\0\0\0\2\0\0\0\0\0\0\0\0\1\0\1\0\0\1\0\1", 1),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\3abc", 1),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1", 1),
        (b"\0\1\0\0\0\1\0\0\0\0\0\0\x40a\0\0\1\0\1", 1),
        (b"\0\1\0\0\0\1\0\0\0\0\0\1\0\0\1\0\1\0\0\x29\4\xd0\0\0\0\0\0\5\0\x08", 1),
    ],
)
def test_malformed_packets_are_refused_as_consul_refuses_them(packet: bytes, rcode: int) -> None:
    with pytest.raises(Refusal) as refused:
        question.parse(packet)
    assert refused.value.rcode == rcode
    response = WORLD.packet(packet)
    assert (response is None) == (rcode < 0)
    if response is not None:
        assert dns.message.from_wire(response).rcode() == rcode


HEADER = struct.Struct("!HHHHHH").pack
NAME = b"\2n1\4node\6consul\0"
IN_A = b"\0\1\0\1"


def opt(payload_bytes: int, options: bytes = b"", owner: bytes = b"\0", length: int = -1) -> bytes:
    return owner + struct.pack("!HHIH", 41, payload_bytes, 0, len(options) if length < 0 else length) + options


@pytest.mark.parametrize(
    ("packet", "kind", "klass", "payload_bytes"),
    [
        (HEADER(1, 0, 1, 0, 0, 2) + NAME + IN_A, 1, 1, -1),
        (HEADER(1, 0, 1, 1, 1, 1) + NAME + IN_A, 1, 1, -1),
        (HEADER(1, 0, 1, 0, 0, 0) + NAME + IN_A[:3], 1, 0, -1),
        (HEADER(1, 0, 1, 0, 0, 0) + NAME + IN_A[:2], 1, 0, -1),
        (HEADER(1, 0, 1, 0, 0, 0) + NAME, 0, 0, -1),
        (HEADER(1, 0, 1, 0, 0, 1) + NAME + IN_A + opt(1232, owner=b"\1x\0"), 1, 1, 1232),
        (HEADER(1, 0, 1, 0, 0, 2) + NAME + IN_A + opt(1232) + opt(4096), 1, 1, 4096),
        (HEADER(1, 0, 1, 0, 0, 1) + NAME + IN_A + opt(4096) + b"more", 1, 1, 4096),
    ],
)
def test_what_is_missing_or_odd_but_understood_is_answered(
    packet: bytes, kind: int, klass: int, payload_bytes: int
) -> None:
    parsed = question.parse(packet)
    assert (parsed.kind, parsed.klass, parsed.payload_bytes) == (kind, klass, payload_bytes)
    response = WORLD.packet(packet)
    assert response is not None
    answer = dns.message.from_wire(response)
    assert answer.rcode() == 0
    assert (answer.question[0].rdtype, answer.question[0].rdclass) == (kind, klass)


@pytest.mark.parametrize(
    "options",
    [b"\0\x08\0\4\0\3\0\0", b"\0\x08\0\4\0\1\x21\0", b"\0\x08\0\4\0\1\0\x21", b"\0\x08\0\2\0\1", b"\0\x0a\0\3x"],
    ids=["unknown family", "33 bits", "33 bits of scope", "short subnet", "short option"],
)
def test_a_refusal_repeats_the_question_that_could_be_read(options: bytes) -> None:
    response = WORLD.packet(HEADER(7, 0x0130, 1, 0, 0, 1) + NAME + IN_A + opt(1232, options))
    assert response == HEADER(7, 0x8131, 1, 0, 0, 0) + NAME + IN_A


def test_surplus_bytes_of_a_subnet_are_ignored() -> None:
    parsed = question.parse(HEADER(7, 0, 1, 0, 0, 1) + NAME + IN_A + opt(1232, b"\0\x08\0\x09\0\1\x08\0\x0a\0\0\1\2"))
    assert parsed.subnet == Subnet(FAMILY_IPV4, 8, b"\x0a\0\0\1")


def test_refusals_keep_the_flags_they_were_asked_with() -> None:
    not_implemented = WORLD.packet(HEADER(7, 0x17FF, 1, 0, 0, 0) + NAME + IN_A)
    assert not_implemented == HEADER(7, 0x93B4, 0, 0, 0, 0)
    two_questions = WORLD.packet(HEADER(7, 0x27FF, 2, 0, 0, 0) + NAME + IN_A)
    assert two_questions == HEADER(7, 0x83B1, 0, 0, 0, 0)
    no_question = WORLD.packet(HEADER(7, 0x0110, 1, 0, 0, 0))
    assert no_question == HEADER(7, 0x8112, 0, 0, 0, 0)
    no_question_notified = WORLD.packet(HEADER(7, 0x2110, 1, 0, 0, 0))
    assert no_question_notified == HEADER(7, 0xA002, 0, 0, 0, 0)
