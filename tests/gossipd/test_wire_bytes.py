"""The wire format byte for byte, against packets captured from Consul 1.7.2 ([C]) and serf ([S])."""

import pytest

from gossipd.core.coordinate import Coordinate
from gossipd.core.messages import (
    FLAG_ACK,
    Ack,
    Alive,
    Dead,
    IndirectPing,
    JoinIntent,
    KeyRequest,
    LeaveIntent,
    Message,
    Nack,
    Ping,
    PushPull,
    Query,
    QueryResponse,
    Relay,
    SerfState,
    Suspect,
    UserEvent,
)
from gossipd.core.node import Node, NodeState
from gossipd.wire import crypto, lzw, packet, stream, tags
from gossipd.wire.codec import WireCodec
from gossipd.wire.coordinate import decode_coordinate, encode_coordinate
from gossipd.wire.filters import encode_node_filter, encode_tag_filter
from gossipd.wire.push_pull import NodeEncodings, decode_push_pull, encode_push_pull
from gossipd.wire.security import Security
from gossipd.wire.serf import encode_key_request

PLAIN = Security()
KEY = b"0123456789abcdef" * 2
LOCALHOST_1 = b"\x7f\x00\x00\x01"
LOCALHOST_2 = b"\x7f\x00\x00\x02"
LOCALHOST_3 = b"\x7f\x00\x00\x03"

QUERY_ID = 0x1ED818A2

INITIAL_COORDINATE_HEX = (
    "0184aa41646a7573746d656e74cb0000000000000000a54572726f72cb3ff8000000000000a6486569676874cb3ee4f8b588e368f1"
    "a356656398" + "cb0000000000000000" * 8
)
ACK_HEX = "0282a75061796c6f6164da0082" + INITIAL_COORDINATE_HEX + "a55365714e6f02"
ACK_COMPRESSED_HEX = (
    "0982a4416c676f00a3427566da00620005083a05254c1e366fc290d10640500042aa82905153670e9d3665dcd05906a0a3c78ea58a"
    "c891f346ceb21ff83e763485a44c9a336836fa2087af16a27168e28db252660c268e2a3b020d3a5465d18f473d26151a9469d35253"
    "cac471f2264040"
)

# What is written is byte for byte what Consul 1.7.2 writes: (message, packet, sent with a CRC).
WRITTEN: dict[str, tuple[Message, str, bool]] = {
    "ping": (Ping(1, "cli1"), "0082a44e6f6465a4636c6931a55365714e6f01", False),
    "indirect ping": (
        IndirectPing(13, LOCALHOST_3, 17946, "n3", True),
        "0185a44e61636bc3a44e6f6465a26e33a4506f7274cd461aa55365714e6f0da6546172676574a47f000003",
        False,
    ),
    "ack": (Ack(2, bytes.fromhex(INITIAL_COORDINATE_HEX)), ACK_HEX, False),
    "nack": (Nack(13), "0b81a55365714e6f0d", False),
    "alive": (
        Alive(1, "n3", LOCALHOST_3, 17946, b"\xff\x80", bytes((1, 5, 2, 2, 5, 5))),
        "0c8f7eb27b0486a441646472a47f000003ab496e6361726e6174696f6e01a44d657461a2ff80a44e6f6465a26e33a4506f7274cd461a"
        "a356736ea6010502020505",
        True,
    ),
    "suspect": (
        Suspect(1, "n3", "n1"),
        "0ca0aaca120383a446726f6da26e31ab496e6361726e6174696f6e01a44e6f6465a26e33",
        True,
    ),
    "dead": (
        Dead(1, "n3", "n1"),
        "0c86fab8f40583a446726f6da26e31ab496e6361726e6174696f6e01a44e6f6465a26e33",
        True,
    ),
    "serf join": (JoinIntent(1, "n2"), "0c3f8b6d17080182a54c54696d6501a44e6f6465a26e32", True),
    "serf leave": (
        LeaveIntent(3, "n3", False),
        "0c5d1a6fab080083a54c54696d6503a44e6f6465a26e33a55072756e65c2",
        True,
    ),
    "query ack": (
        QueryResponse(1, QUERY_ID, "n2", FLAG_ACK, b""),
        "080585a5466c61677301a446726f6da26e32a24944ce1ed818a2a54c54696d6501a75061796c6f6164c0",
        False,
    ),
}
# What newer peers write carries more fields: (packet, messages read from it).
READ: dict[str, tuple[str, list[Message]]] = {
    "ping of five fields": (
        "0085a44e6f6465a26e33a55365714e6f02aa536f7572636541646472a47f000002aa536f757263654e6f6465a26e32aa536f75726365"
        "506f7274cd461a",
        [Ping(2, "n3")],
    ),
    "compressed ack": (ACK_COMPRESSED_HEX, [Ack(1, bytes.fromhex(INITIAL_COORDINATE_HEX))]),
    "compound of ping and user event": (
        "0702003d00290085a44e6f6465a26e33a55365714e6f06aa536f7572636541646472a47f000001aa536f757263654e6f6465a26e31aa"
        "536f75726365506f7274cd461a080384a24343c3a54c54696d6501a44e616d65a66465706c6f79a75061796c6f6164a6616263313233",
        [Ping(6, "n3"), UserEvent(1, "deploy", b"abc123", True)],
    ),
    "query": (
        "08048ba441646472a47f000001a746696c7465727391a50091a26e32a5466c61677301a24944ce1ed818a2a54c54696d6501a44e616d"
        "65a46c6f6164a75061796c6f6164a568656c6c6fa4506f7274cd461aab52656c6179466163746f7201aa536f757263654e6f6465a26e"
        "31a754696d656f7574ce77359400",
        [
            Query(
                1,
                QUERY_ID,
                LOCALHOST_1,
                17946,
                (bytes.fromhex("0091a26e32"),),
                FLAG_ACK,
                1,
                2_000_000_000,
                "load",
                b"hello",
            )
        ],
    ),
    "relay": (
        "080982a8446573744164647283a24950a47f000001a4506f7274cd461aa45a6f6e65a0a8446573744e616d65a26e310585a5466c6167"
        "7301a446726f6da26e32a24944ce1ed818a2a54c54696d6501a75061796c6f6164c0",
        [
            Relay(
                LOCALHOST_1,
                17946,
                bytes.fromhex("0585a5466c61677301a446726f6da26e32a24944ce1ed818a2a54c54696d6501a75061796c6f6164c0"),
            )
        ],
    ),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_written_packets_are_those_of_consul(case: str) -> None:
    message, expected, crc = WRITTEN[case]
    body = WireCodec.encode(message)
    part = b"\x08" + body if isinstance(message, JoinIntent | LeaveIntent | QueryResponse) else body
    assert packet.seal((part,), PLAIN, crc, compression=False).hex() == expected


@pytest.mark.parametrize("case", WRITTEN)
def test_written_packets_read_back(case: str) -> None:
    message, data, _ = WRITTEN[case]
    opened = packet.open_packet(bytes.fromhex(data), PLAIN)
    assert not opened.errors
    assert [received.message for received in opened.messages] == [message]


@pytest.mark.parametrize("case", READ)
def test_captured_packets_are_read(case: str) -> None:
    data, expected = READ[case]
    opened = packet.open_packet(bytes.fromhex(data), PLAIN)
    assert not opened.errors
    assert [received.message for received in opened.messages] == expected


def test_compression_gives_the_bytes_that_consul_gives() -> None:
    uncompressed = bytes.fromhex(ACK_HEX[:-2] + "01")
    assert packet.seal((uncompressed,), PLAIN, crc=False).hex() == ACK_COMPRESSED_HEX


def test_serf_messages_keep_their_bytes_for_passing_on() -> None:
    data = bytes.fromhex(READ["query"][0])
    assert packet.open_packet(data, PLAIN).messages[0].raw == data[1:]


def test_user_event_is_written_as_captured() -> None:
    encoded = WireCodec.encode(UserEvent(1, "deploy", b"abc123", True))
    assert encoded.hex() == "0384a24343c3a54c54696d6501a44e616d65a66465706c6f79a75061796c6f6164a6616263313233"


def test_query_is_written_with_the_ten_fields_of_consul() -> None:
    (query,) = READ["query"][1]
    assert WireCodec.encode(query)[:2] == b"\x04\x8a"


def test_relay_is_written_with_the_destination_address_only() -> None:
    (relay,) = READ["relay"][1]
    assert (
        WireCodec.encode(relay)
        .hex()
        .startswith("0981a8446573744164647283a24950a47f000001a4506f7274cd461aa45a6f6e65a00585")
    )


def test_filters_are_written_as_captured() -> None:
    assert encode_node_filter(["n2"]).hex() == "0091a26e32"
    assert encode_tag_filter("role", "d.*").hex() == "0182a445787072a3642e2aa3546167a4726f6c65"


def test_key_request_is_written_as_captured() -> None:
    key = bytes(16)
    assert encode_key_request(KeyRequest(key)) == bytes.fromhex("0781a34b6579b0") + key


def test_initial_coordinate_is_written_and_read_as_captured() -> None:
    assert encode_coordinate(Coordinate()).hex() == INITIAL_COORDINATE_HEX
    assert decode_coordinate(bytes.fromhex(INITIAL_COORDINATE_HEX)) == Coordinate()


def test_client_metadata_of_consul_is_read() -> None:
    uuid = "4b9a8cb2-5df4-4b4d-9b05-6e2a4ba4b3c1"
    meta = bytes.fromhex(
        "ff89a4726f6c65a46e6f6465a77365676d656e74a0a776736e5f6d696ea132a776736e5f6d6178a133a461636c73a130a26463a3646331"
        "a26964da0024" + uuid.encode().hex() + "a376736ea132a56275696c64a6312e372e323a"
    )
    expected = {
        "role": "node",
        "segment": "",
        "vsn_min": "2",
        "vsn_max": "3",
        "acls": "0",
        "dc": "dc1",
        "id": uuid,
        "vsn": "2",
        "build": "1.7.2:",
    }
    assert tags.decode_tags(meta) == expected
    assert tags.encode_tags(expected) == meta


PUSH_PULL_NODE = Node(
    "n2", LOCALHOST_2, "127.0.0.2", 17946, b"\xff\x81\xa4role\xa2db", bytes((1, 5, 2, 2, 5, 5)), 1, NodeState.ALIVE, 0
)
PUSH_PULL_HEX = (
    "0683a44a6f696ec3a54e6f64657301ac5573657253746174654c656ecd024a87a441646472a47f000002ab496e6361726e6174696f6e01a44d"
    "657461aaff81a4726f6c65a26462a44e616d65a26e32a4506f7274cd461aa5537461746500a356736ea6010502020505"
    "0286aa4576656e744c54696d6501a64576656e7473dc0200" + "c0" * 512 + "a54c54696d6501ab4c6566744d656d6265727390"
    "aa51756572794c54696d6501ac5374617475734c54696d657381a26e3200"
)
PUSH_PULL_STATE = SerfState(1, 1, 1, {"n2": 0}, (), ())


def test_push_pull_is_written_and_read_as_captured() -> None:
    written = encode_push_pull(True, [PUSH_PULL_NODE], PUSH_PULL_STATE, NodeEncodings())
    assert written.hex() == PUSH_PULL_HEX
    assert decode_push_pull(written[1:], {}) == PushPull(True, (PUSH_PULL_NODE,), PUSH_PULL_STATE)


def test_push_pull_entries_equal_to_our_own_are_skipped() -> None:
    encodings = NodeEncodings()
    written = encode_push_pull(True, [PUSH_PULL_NODE], PUSH_PULL_STATE, encodings)
    assert decode_push_pull(written[1:], encodings.alive).nodes == ()


def test_encrypted_packet_of_serf_opens() -> None:
    sealed = bytes.fromhex(
        "01af13b229ec9c474778c60d959bf4b662e1b38e723b55d4cda3aec78a98e091ad6324d8c7702f5a15be070f3c700ff1c2540c4c"
    )
    opened = packet.open_packet(sealed, Security((KEY,)))
    assert [received.message for received in opened.messages] == [JoinIntent(1, "n2")]
    plain = crypto.decrypt((KEY,), sealed)
    assert crypto.encrypt(KEY, plain, nonce=sealed[1:13]) == sealed


def test_encrypted_stream_header_counts_what_follows() -> None:
    sealed = crypto.encrypt_stream(KEY, bytes(0xF5 - crypto.OVERHEAD_BYTES))
    assert sealed[:5].hex() == "0a000000f5"
    assert sealed[5] == 1


def test_stream_is_whole_only_at_its_last_byte() -> None:
    message = bytes.fromhex(PUSH_PULL_HEX)
    for security in (PLAIN, Security((KEY,))):
        for compression in (True, False):
            sealed = stream.seal_stream(message, security, compression)
            reader = stream.StreamReader(security)
            fed = [reader.feed(sealed[index : index + 1]) for index in range(len(sealed))]
            assert fed[:-1] == [None] * (len(sealed) - 1)
            assert fed[-1] == message


def test_lzw_round_trips_across_every_width_and_table_reset() -> None:
    data = bytes((index * index + index // 7) % 251 for index in range(40_000))
    assert lzw.decompress(lzw.compress(data), len(data)) == data
