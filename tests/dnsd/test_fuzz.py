"""A small share of the fuzzing (`tests/dnsd/fuzz.py`), and generated questions."""

from __future__ import annotations

import logging

import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnsd.core import question
from dnsd.core.message import Transport
from dnsd.core.question import Refusal
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
