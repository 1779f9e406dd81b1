"""Answers' bodies: JSON in the form Go gives it, indented on demand, compressed as Go's gzip writer does it."""

from __future__ import annotations

import zlib
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_EMPTY_BLOCK = b"\x00\x00\xff\xff"
# Up to this size the end of the stream is made exactly as Go makes it; beyond, any valid gzip stream will do.
EXACT_GZIP_BYTES = 2048


def to_json(value: Any) -> bytes:
    """Compact JSON with the characters that Go escapes for the sake of HTML."""
    return escape_html(_encode(value))


def escape_html(encoded: bytes) -> bytes:
    """Escapes `<`, `>`, `&` and the two Unicode line ends inside finished JSON."""
    if b"<" in encoded:
        encoded = encoded.replace(b"<", b"\\u003c")
    if b">" in encoded:
        encoded = encoded.replace(b">", b"\\u003e")
    if b"&" in encoded:
        encoded = encoded.replace(b"&", b"\\u0026")
    if b"\xe2\x80" in encoded:
        encoded = encoded.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return encoded


def indent(encoded: bytes) -> bytes:
    """Finished JSON with four blanks per level and a final newline (`?pretty`)."""
    return msgspec.json.format(encoded, indent=4) + b"\n"


def gzip(body: bytes) -> bytes:
    """A gzip stream of the body. Go ends a stream with an empty stored block, zlib marks the last block instead."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = compressor.compress(body)
    if len(body) <= EXACT_GZIP_BYTES:
        data = _ended_by_empty_block(data + compressor.flush(zlib.Z_SYNC_FLUSH), body)
    else:
        data += compressor.flush()
    trailer = zlib.crc32(body).to_bytes(4, "little") + (len(body) & 0xFFFFFFFF).to_bytes(4, "little")
    return _GZIP_HEADER + data + trailer


def _ended_by_empty_block(flushed: bytes, body: bytes) -> bytes:
    """Sets the final bit in the header of the empty block that a sync flush leaves at the end.

    The header's three zero bits start somewhere in the two bytes before the block's lengths: the right bit is the
    first that makes a complete stream of the same content.
    """
    assert flushed.endswith(_EMPTY_BLOCK)
    head = bytearray(flushed)
    last = len(flushed) - len(_EMPTY_BLOCK) - 1
    for position in range(max(last - 1, 0) * 8, (last + 1) * 8):
        byte, bit = divmod(position, 8)
        if head[byte] >> bit & 1:
            continue
        head[byte] |= 1 << bit
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            if inflater.decompress(bytes(head)) == body and inflater.eof and not inflater.unused_data:
                return bytes(head)
        except zlib.error:
            pass
        head[byte] &= ~(1 << bit) & 0xFF
    raise AssertionError("a sync flush ends in an empty block")


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header lets the answer be compressed."""
    for item in accept_encoding.split(","):
        coding, _, parameters = item.partition(";")
        if coding.strip().lower() == "gzip":
            name, _, quality = parameters.strip().partition("=")
            if name.strip().lower() != "q":
                return True
            try:
                return float(quality) > 0
            except ValueError:
                return False
    return False
