"""Garbage from the network is a ProtocolError or a logged part, never another exception."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gossipd.wire import lzw
from gossipd.wire.coordinate import decode_coordinate
from gossipd.wire.errors import ProtocolError
from gossipd.wire.filters import matches
from gossipd.wire.packet import MAX_DECOMPRESSED_BYTES, compound, compress, open_packet, split_compound
from gossipd.wire.push_pull import decode_push_pull
from gossipd.wire.security import Security
from gossipd.wire.serf import decode_key_request, decode_key_response, decode_state
from gossipd.wire.stream import StreamReader, decode_stream
from gossipd.wire.tags import decode_tags
from tests.gossipd.test_wire_bytes import ACK_HEX, KEY, PLAIN, PUSH_PULL_HEX, READ, WRITTEN

CAPTURED = [bytes.fromhex(text) for _, text, _ in WRITTEN.values()] + [bytes.fromhex(text) for text, _ in READ.values()]
EXAMPLES = settings(max_examples=400, deadline=None, derandomize=True)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A captured message with some bytes changed, cut, or doubled."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        index = draw(st.integers(0, max(0, len(data) - 1)))
        deed = draw(st.integers(0, 3))
        if deed == 0 and data:
            data[index] = draw(st.integers(0, 255))
        elif deed == 1:
            del data[index : index + draw(st.integers(1, 8))]
        elif deed == 2:
            data[index:index] = draw(st.binary(max_size=8))
        else:
            data[index:index] = data[:index]
    return bytes(data)


def expect_only_protocol_errors(data: bytes, security: Security) -> None:
    try:
        open_packet(data, security)
    except ProtocolError:
        return


@EXAMPLES
@given(st.one_of(st.binary(max_size=200), mutated(CAPTURED)))
def test_packets(data: bytes) -> None:
    expect_only_protocol_errors(data, PLAIN)
    expect_only_protocol_errors(data, Security((KEY,)))
    expect_only_protocol_errors(data, Security((KEY,), verify_incoming=False))


@EXAMPLES
@given(st.one_of(st.binary(max_size=300), mutated([bytes.fromhex(PUSH_PULL_HEX), bytes.fromhex(ACK_HEX)])))
def test_streams(data: bytes) -> None:
    for security in (PLAIN, Security((KEY,))):
        try:
            message = StreamReader(security).feed(data)
            if message is not None:
                decode_stream(message, {})
        except ProtocolError:
            continue


@EXAMPLES
@given(mutated([bytes.fromhex(PUSH_PULL_HEX)[1:]]))
def test_push_pull_bodies(data: bytes) -> None:
    try:
        decode_push_pull(data, {})
    except ProtocolError:
        return


@EXAMPLES
@given(st.binary(max_size=100))
def test_payloads(data: bytes) -> None:
    decode_tags(data)
    for decode in (decode_state, decode_key_request, decode_key_response, decode_coordinate):
        try:
            decode(data)
        except ProtocolError:
            continue
    try:
        matches(data, "n", {})
    except ProtocolError:
        return


@EXAMPLES
@given(st.binary(max_size=3000))
def test_compression_round_trips_and_garbage_does_not_decompress_for_ever(data: bytes) -> None:
    assert lzw.decompress(lzw.compress(data), len(data)) == data
    try:
        lzw.decompress(data, MAX_DECOMPRESSED_BYTES)
    except ProtocolError:
        return


def test_a_compression_bomb_is_refused() -> None:
    bomb = compress(bytes(MAX_DECOMPRESSED_BYTES + 1))
    assert open_packet(bomb, PLAIN).errors == [f"decompresses to more than {MAX_DECOMPRESSED_BYTES} bytes"]


def test_messages_nested_too_deep_are_refused() -> None:
    data = bytes.fromhex("0b81a55365714e6f0d")
    for _ in range(20):
        data = compound([data])
    assert open_packet(data, PLAIN).errors == ["messages nested too deep"]


def test_a_cut_compound_keeps_its_whole_parts() -> None:
    parts, missing = split_compound(compound([b"abc", b"defg"])[1:-1])
    assert (parts, missing) == ([b"abc"], 1)


def test_a_wrong_checksum_is_refused() -> None:
    good = bytearray(bytes.fromhex(WRITTEN["suspect"][1]))
    good[-1] ^= 1
    try:
        open_packet(bytes(good), PLAIN)
    except ProtocolError as error:
        assert "checksum" in str(error)
    else:
        raise AssertionError("accepted")


def test_plain_packets_are_refused_once_there_is_a_key_unless_allowed() -> None:
    data = bytes.fromhex(ACK_HEX)
    try:
        open_packet(data, Security((KEY,)))
    except ProtocolError:
        pass
    else:
        raise AssertionError("accepted")
    assert open_packet(data, Security((KEY,), verify_incoming=False)).messages
