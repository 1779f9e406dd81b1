"""AES-GCM around packets and streams: `version | nonce | ciphertext | tag`."""

import os
import struct
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gossipd.wire.errors import DecryptionError, ProtocolError
from gossipd.wire.swim import MessageType

NONCE_BYTES = 12
TAG_BYTES = 16
BLOCK_BYTES = 16
PADDED_VERSION = 0
VERSION = 1
OVERHEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES
STREAM_HEADER_BYTES = 5
MAX_STREAM_BYTES = 20 * 1024 * 1024
CIPHER_CACHE_SIZE = 64


@lru_cache(maxsize=CIPHER_CACHE_SIZE)
def _cipher(key: bytes) -> AESGCM:
    return AESGCM(key)


def encrypt(key: bytes, plaintext: bytes, associated: bytes = b"", nonce: bytes | None = None) -> bytes:
    """Version 1: no padding. `nonce` is random unless given."""
    nonce = nonce or os.urandom(NONCE_BYTES)
    return bytes((VERSION,)) + nonce + _cipher(key).encrypt(nonce, plaintext, associated or None)


def decrypt(keys: Sequence[bytes], data: bytes, associated: bytes = b"") -> bytes:
    """Tries every key in order. Raises DecryptionError when none fits, ProtocolError for a bad frame."""
    if not data:
        raise ProtocolError("Cannot decrypt empty payload")
    version = data[0]
    if version > VERSION:
        raise ProtocolError(f"Unsupported encryption version {version}")
    padded = version == PADDED_VERSION
    minimum = OVERHEAD_BYTES + (BLOCK_BYTES if padded else 0)
    if len(data) < minimum:
        raise ProtocolError(f"Payload is too small to decrypt: {len(data)}")
    nonce, sealed = data[1 : 1 + NONCE_BYTES], data[1 + NONCE_BYTES :]
    for key in keys:
        try:
            plaintext = _cipher(key).decrypt(nonce, sealed, associated or None)
        except InvalidTag:
            continue
        return _unpad(plaintext) if padded else plaintext
    raise DecryptionError("No installed keys could decrypt the message")


def _unpad(plaintext: bytes) -> bytes:
    length = plaintext[-1] if plaintext else 0
    if not 1 <= length <= min(BLOCK_BYTES, len(plaintext)):
        raise ProtocolError("bad padding")
    return plaintext[:-length]


def encrypt_stream(key: bytes, plaintext: bytes, nonce: bytes | None = None) -> bytes:
    """The encrypted frame of a stream; its header is authenticated, too."""
    header = struct.pack(">BI", MessageType.ENCRYPT, len(plaintext) + OVERHEAD_BYTES)
    return header + encrypt(key, plaintext, header, nonce)


def decrypt_stream(keys: Sequence[bytes], frame: bytes) -> bytes:
    """Opens a whole frame, header included."""
    return decrypt(keys, frame[STREAM_HEADER_BYTES:], frame[:STREAM_HEADER_BYTES])


def stream_frame_bytes(header: bytes | bytearray) -> int:
    """How long the frame is that begins with these five bytes. Raises ProtocolError above the limit."""
    length: int = struct.unpack_from(">I", header, 1)[0]
    if length > MAX_STREAM_BYTES:
        raise ProtocolError(f"Remote node state is larger than limit ({length})")
    return STREAM_HEADER_BYTES + length
