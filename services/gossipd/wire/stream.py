"""One TCP stream: a request and at most one answer, each optionally compressed and encrypted.

`StreamReader` is fed bytes as they come and says when the message is whole; nothing but the encrypted frame tells its
length beforehand.
"""

from typing import NamedTuple, TypeAlias

import msgpack

from gossipd.core.messages import Ack, Ping, PushPull, SerfMessage
from gossipd.wire import serf, swim
from gossipd.wire.crypto import STREAM_HEADER_BYTES, decrypt_stream, encrypt_stream, stream_frame_bytes
from gossipd.wire.errors import ProtocolError
from gossipd.wire.fields import as_map, pack, text, uint, unpack_map, unpack_prefix
from gossipd.wire.packet import compress, decompress
from gossipd.wire.push_pull import decode_header, decode_push_pull
from gossipd.wire.security import Security
from gossipd.wire.swim import MessageType

MAX_STREAM_BYTES = 128 * 1024 * 1024
MAX_USER_MESSAGE_BYTES = 1024 * 1024
# Compressing is slow here and peers accept both, so large messages travel as they are.
MAX_COMPRESSED_STREAM_BYTES = 16 * 1024


class StreamUser(NamedTuple):
    """A Serf message sent over a stream, with its bytes."""

    message: SerfMessage
    raw: bytes


class RemoteError(NamedTuple):
    """The peer could not read our request."""

    text: str


StreamMessage: TypeAlias = PushPull | Ping | Ack | StreamUser | RemoteError


def encode_error(reason: str) -> bytes:
    return b"\x0d" + pack({"Error": reason})


def encode_user(body: bytes) -> bytes:
    return b"\x08" + pack({"UserMsgLen": len(body)}) + body


def seal_stream(message: bytes, security: Security, compression: bool = True) -> bytes:
    """What to write for a message (type byte included)."""
    if compression and len(message) <= MAX_COMPRESSED_STREAM_BYTES:
        message = compress(message)
    key = security.sealing_key
    return encrypt_stream(key, message) if key else message


class StreamReader:
    """Collects one message. `feed` returns its plain bytes (type byte first) once it is whole."""

    def __init__(self, security: Security) -> None:
        self._security = security
        self._data = bytearray()
        self._values = _ValueCounter()

    @property
    def received_bytes(self) -> int:
        return len(self._data)

    def feed(self, chunk: bytes) -> bytes | None:
        """Raises ProtocolError when this cannot become a message."""
        self._data += chunk
        if len(self._data) > MAX_STREAM_BYTES:
            raise ProtocolError(f"a stream message of more than {MAX_STREAM_BYTES} bytes")
        if not self._data:
            return None
        kind = self._data[0]
        if kind == MessageType.ENCRYPT:
            return self._feed_encrypted()
        if self._security.keys and self._security.verify_incoming:
            raise ProtocolError("encryption is configured but remote state is not encrypted")
        end = self._values.end(kind, self._data)
        return decompressed(bytes(self._data[:end])) if end is not None else None

    def _feed_encrypted(self) -> bytes | None:
        if not self._security.keys:
            raise ProtocolError("remote state is encrypted and encryption is not configured")
        if len(self._data) < STREAM_HEADER_BYTES:
            return None
        length = stream_frame_bytes(self._data)
        if len(self._data) < length:
            return None
        return decompressed(decrypt_stream(self._security.keys, bytes(self._data[:length])))


class _ValueCounter:
    """Finds the end of a plain message without reading any value twice, however many chunks it comes in."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=MAX_STREAM_BYTES)
        self._fed = 1
        self._header: dict[bytes, object] | None = None
        self._nodes_left = 0
        self._tail_bytes = 0

    def end(self, kind: int, data: bytearray) -> int | None:
        """Where the message ends, counted from its type byte; None while it is not whole."""
        if len(data) > self._fed:
            self._unpacker.feed(bytes(data[self._fed :]))
            self._fed = len(data)
        try:
            if self._header is None:
                if kind in (MessageType.PUSH_PULL, MessageType.USER):
                    self._read_header(kind)
                elif kind in (MessageType.PING, MessageType.ACK, MessageType.COMPRESS, MessageType.ERROR):
                    self._unpacker.skip()
                    self._header = {}
                else:
                    raise ProtocolError(f"received invalid msgType ({kind}) on a stream")
            while self._nodes_left:
                self._unpacker.skip()
                self._nodes_left -= 1
        except msgpack.OutOfData:
            return None
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise ProtocolError(f"not msgpack: {error!r}") from None
        end: int = 1 + self._unpacker.tell() + self._tail_bytes
        return end if len(data) >= end else None

    def _read_header(self, kind: int) -> None:
        fields = as_map(self._unpacker.unpack())
        if kind == MessageType.PUSH_PULL:
            _, self._nodes_left, self._tail_bytes = decode_header(fields)
        else:
            self._tail_bytes = uint(fields, b"UserMsgLen", MAX_USER_MESSAGE_BYTES)
        self._header = fields


def decompressed(message: bytes) -> bytes:
    """The message inside a compressed one; any other as it is."""
    if message and message[0] == MessageType.COMPRESS:
        return decompress(message[1:], MAX_STREAM_BYTES)
    return message


def decode_stream(message: bytes, known: dict[bytes, str]) -> StreamMessage:
    """A whole plain message; `known` as in `decode_push_pull`. Raises ProtocolError."""
    if not message:
        raise ProtocolError("missing message type byte")
    kind, body = message[0], message[1:]
    if kind == MessageType.PUSH_PULL:
        return decode_push_pull(body, known)
    if kind == MessageType.USER:
        header, rest = unpack_prefix(body)
        length = uint(as_map(header), b"UserMsgLen", MAX_USER_MESSAGE_BYTES)
        if length > len(rest):
            raise ProtocolError("the user message ends early")
        return StreamUser(serf.decode(rest[:length]), rest[:length])
    if kind == MessageType.ERROR:
        return RemoteError(text(unpack_map(body), b"Error"))
    if kind in (MessageType.PING, MessageType.ACK):
        decoded = swim.decode(kind, body)
        assert isinstance(decoded, Ping | Ack)
        return decoded
    raise ProtocolError(f"received invalid msgType ({kind}) on a stream")
