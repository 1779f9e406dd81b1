"""One UDP packet: messages into a datagram and back.

Going out: compound, then compression where it helps, then CRC, then encryption. Coming in: the reverse.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from gossipd.core.messages import Message
from gossipd.wire import lzw, serf, swim
from gossipd.wire.crypto import decrypt, encrypt
from gossipd.wire.errors import ProtocolError
from gossipd.wire.fields import pack, raw, uint, unpack_map
from gossipd.wire.security import Security
from gossipd.wire.swim import MessageType

MAX_COMPOUND_PARTS = 255
MAX_NESTING = 8
CRC_HEADER_BYTES = 5
# A packet of this size or less never gets shorter by LZW's nine-bit codes worth mentioning.
MIN_COMPRESSED_BYTES = 64
MAX_DECOMPRESSED_BYTES = 1024 * 1024


class Received(NamedTuple):
    """A message and, for Serf's, its bytes as they came, for passing them on unchanged."""

    message: Message
    raw: bytes


class Opened(NamedTuple):
    """What a packet held: readable messages, and what was wrong with the others."""

    messages: list[Received]
    errors: list[str]


def compound(parts: Sequence[bytes]) -> bytes:
    """At most 255 messages as one."""
    assert 0 < len(parts) <= MAX_COMPOUND_PARTS, "a compound message has 1 to 255 parts"
    count = len(parts)
    return struct.pack(f">BB{count}H", MessageType.COMPOUND, count, *map(len, parts)) + b"".join(parts)


def split_compound(body: bytes) -> tuple[list[bytes], int]:
    """The parts of a compound's body and how many are missing at its end."""
    if not body:
        raise ProtocolError("a compound message without a count")
    count = body[0]
    start = 1 + 2 * count
    if len(body) < start:
        raise ProtocolError("truncated len slice")
    parts: list[bytes] = []
    for length in struct.unpack_from(f">{count}H", body, 1):
        if start + length > len(body):
            return parts, count - len(parts)
        parts.append(body[start : start + length])
        start += length
    return parts, 0


def compress(message: bytes) -> bytes:
    return b"\x09" + pack({"Algo": 0, "Buf": lzw.compress(message)})


def decompress(body: bytes, limit_bytes: int) -> bytes:
    fields = unpack_map(body)
    if uint(fields, b"Algo"):
        raise ProtocolError(f"Cannot decompress unknown algorithm {fields[b'Algo']}")
    return lzw.decompress(raw(fields, b"Buf"), limit_bytes)


def seal(parts: Sequence[bytes], security: Security, crc: bool, compression: bool = True) -> bytes:
    """The datagram that carries these messages."""
    data = parts[0] if len(parts) == 1 else compound(parts)
    if compression and len(data) > MIN_COMPRESSED_BYTES:
        shorter = compress(data)
        if len(shorter) < len(data):
            data = shorter
    if crc:
        data = struct.pack(">BI", MessageType.HAS_CRC, crc32(data)) + data
    key = security.sealing_key
    return encrypt(key, data) if key else data


def open_packet(data: bytes, security: Security) -> Opened:
    """The messages of a datagram. Raises ProtocolError when it cannot be read at all; a bad part spoils only itself."""
    if security.keys:
        try:
            data = decrypt(security.keys, data)
        except ProtocolError:
            if security.verify_incoming:
                raise
    if len(data) >= CRC_HEADER_BYTES and data[0] == MessageType.HAS_CRC:
        if struct.unpack_from(">I", data, 1)[0] != crc32(data[CRC_HEADER_BYTES:]):
            raise ProtocolError("invalid checksum of a UDP packet")
        data = data[CRC_HEADER_BYTES:]
    opened = Opened([], [])
    _open(data, opened, MAX_NESTING)
    return opened


def _open(data: bytes, opened: Opened, depth: int) -> None:
    try:
        if not data:
            raise ProtocolError("missing message type byte")
        if not depth:
            raise ProtocolError("messages nested too deep")
        kind = data[0]
        if kind == MessageType.COMPOUND:
            parts, missing = split_compound(data[1:])
            if missing:
                opened.errors.append(f"Compound request had {missing} truncated messages")
            for part in parts:
                _open(part, opened, depth - 1)
        elif kind == MessageType.USER:
            body = data[1:]
            opened.messages.append(Received(serf.decode(body), body))
        elif kind == MessageType.COMPRESS:
            _open(decompress(data[1:], MAX_DECOMPRESSED_BYTES), opened, depth - 1)
        else:
            message = swim.decode(kind, data[1:])
            if message is None:
                raise ProtocolError(f"msg type ({kind}) not supported in a packet")
            opened.messages.append(Received(message, data))
    except ProtocolError as error:
        opened.errors.append(str(error))
