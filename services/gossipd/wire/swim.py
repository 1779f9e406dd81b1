"""memberlist's packet messages 0 to 5 and 11: one type byte, then a map."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from gossipd.core.messages import Ack, Alive, Dead, IndirectPing, Nack, Ping, Suspect, SwimMessage
from gossipd.wire.fields import MAX_UINT16, Fields, boolean, name, pack, raw, text, uint, unpack_map


class MessageType(IntEnum):
    """The first byte of every message."""

    PING = 0
    INDIRECT_PING = 1
    ACK = 2
    SUSPECT = 3
    ALIVE = 4
    DEAD = 5
    PUSH_PULL = 6
    COMPOUND = 7
    USER = 8
    COMPRESS = 9
    ENCRYPT = 10
    NACK = 11
    HAS_CRC = 12
    ERROR = 13


def encode_ping(message: Ping) -> bytes:
    return b"\x00" + pack({"Node": message.node, "SeqNo": message.sequence})


def encode_indirect_ping(message: IndirectPing) -> bytes:
    return b"\x01" + pack(
        {
            "Nack": message.nack,
            "Node": message.node,
            "Port": message.port,
            "SeqNo": message.sequence,
            "Target": message.address,
        }
    )


def encode_ack(message: Ack) -> bytes:
    return b"\x02" + pack({"Payload": message.payload or None, "SeqNo": message.sequence})


def encode_suspect(message: Suspect) -> bytes:
    return b"\x03" + pack({"From": message.sender, "Incarnation": message.incarnation, "Node": message.node})


def encode_alive(message: Alive) -> bytes:
    return b"\x04" + pack(
        {
            "Addr": message.address,
            "Incarnation": message.incarnation,
            "Meta": message.meta,
            "Node": message.node,
            "Port": message.port,
            "Vsn": message.versions,
        }
    )


def encode_dead(message: Dead) -> bytes:
    return b"\x05" + pack({"From": message.sender, "Incarnation": message.incarnation, "Node": message.node})


def encode_nack(message: Nack) -> bytes:
    return b"\x0b" + pack({"SeqNo": message.sequence})


def _decode_ping(fields: Fields) -> Ping:
    return Ping(uint(fields, b"SeqNo"), text(fields, b"Node"))


def _decode_indirect_ping(fields: Fields) -> IndirectPing:
    return IndirectPing(
        uint(fields, b"SeqNo"),
        raw(fields, b"Target"),
        uint(fields, b"Port", MAX_UINT16),
        text(fields, b"Node"),
        boolean(fields, b"Nack"),
    )


def _decode_ack(fields: Fields) -> Ack:
    return Ack(uint(fields, b"SeqNo"), raw(fields, b"Payload"))


def _decode_suspect(fields: Fields) -> Suspect:
    return Suspect(uint(fields, b"Incarnation"), name(fields, b"Node"), text(fields, b"From"))


def _decode_alive(fields: Fields) -> Alive:
    return Alive(
        uint(fields, b"Incarnation"),
        name(fields, b"Node"),
        raw(fields, b"Addr"),
        uint(fields, b"Port", MAX_UINT16),
        raw(fields, b"Meta"),
        raw(fields, b"Vsn"),
    )


def _decode_dead(fields: Fields) -> Dead:
    return Dead(uint(fields, b"Incarnation"), name(fields, b"Node"), text(fields, b"From"))


def _decode_nack(fields: Fields) -> Nack:
    return Nack(uint(fields, b"SeqNo"))


ENCODERS: dict[type, Callable[[Any], bytes]] = {
    Ping: encode_ping,
    IndirectPing: encode_indirect_ping,
    Ack: encode_ack,
    Nack: encode_nack,
    Suspect: encode_suspect,
    Alive: encode_alive,
    Dead: encode_dead,
}

_DECODERS: dict[int, Callable[[Fields], SwimMessage]] = {
    MessageType.PING: _decode_ping,
    MessageType.INDIRECT_PING: _decode_indirect_ping,
    MessageType.ACK: _decode_ack,
    MessageType.SUSPECT: _decode_suspect,
    MessageType.ALIVE: _decode_alive,
    MessageType.DEAD: _decode_dead,
    MessageType.NACK: _decode_nack,
}


def decode(kind: int, body: bytes | memoryview) -> SwimMessage | None:
    """The message of this type; None when it is no type of this file."""
    decoder = _DECODERS.get(kind)
    return decoder(unpack_map(body)) if decoder else None
