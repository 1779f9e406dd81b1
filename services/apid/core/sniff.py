"""Guessing a content type from a body's first bytes, as Go's net/http does (WHATWG mimesniff, section 7)."""

from __future__ import annotations

SNIFFED_BYTES = 512
_TEXT = b"text/plain; charset=utf-8"
_HTML_TAGS = (
    b"<!DOCTYPE HTML",
    b"<HTML",
    b"<HEAD",
    b"<SCRIPT",
    b"<IFRAME",
    b"<H1",
    b"<DIV",
    b"<FONT",
    b"<TABLE",
    b"<A",
    b"<STYLE",
    b"<TITLE",
    b"<B",
    b"<BODY",
    b"<BR",
    b"<P",
    b"<!--",
)
_PREFIXES = (
    (b"%PDF-", b"application/pdf"),
    (b"%!PS-Adobe-", b"application/postscript"),
    (b"\xfe\xff", b"text/plain; charset=utf-16be"),
    (b"\xff\xfe", b"text/plain; charset=utf-16le"),
    (b"\xef\xbb\xbf", _TEXT),
    (b"\x00\x00\x01\x00", b"image/x-icon"),
    (b"\x00\x00\x02\x00", b"image/x-icon"),
    (b"BM", b"image/bmp"),
    (b"GIF87a", b"image/gif"),
    (b"GIF89a", b"image/gif"),
    (b"\x89PNG\r\n\x1a\n", b"image/png"),
    (b"\xff\xd8\xff", b"image/jpeg"),
    (b".snd", b"audio/basic"),
    (b"ID3", b"audio/mpeg"),
    (b"OggS\x00", b"application/ogg"),
    (b"MThd\x00\x00\x00\x06", b"audio/midi"),
    (b"\x1a\x45\xdf\xa3", b"video/webm"),
    (b"\x00\x01\x00\x00", b"font/ttf"),
    (b"OTTO", b"font/otf"),
    (b"ttcf", b"font/collection"),
    (b"wOFF", b"font/woff"),
    (b"wOF2", b"font/woff2"),
    (b"\x1f\x8b\x08", b"application/x-gzip"),
    (b"PK\x03\x04", b"application/zip"),
    (b"Rar!\x1a\x07\x00", b"application/x-rar-compressed"),
    (b"Rar!\x1a\x07\x01\x00", b"application/x-rar-compressed"),
    (b"\x00\x61\x73\x6d", b"application/wasm"),
)
_RIFF = {b"WEBPVP": b"image/webp", b"WAVE": b"audio/wave", b"AVI ": b"video/avi"}
_BINARY = frozenset((*range(0x09), 0x0B, *range(0x0E, 0x1B), *range(0x1C, 0x20)))


def detect_content_type(body: bytes) -> bytes:
    """The content type of a body that is not empty."""
    data = body[:SNIFFED_BYTES]
    visible = data.lstrip(b"\t\n\x0c\r ")
    upper = visible[:16].upper()
    for tag in _HTML_TAGS:
        if upper.startswith(tag) and visible[len(tag) : len(tag) + 1] in (b" ", b">"):
            return b"text/html; charset=utf-8"
    if visible.startswith(b"<?xml"):
        return b"text/xml; charset=utf-8"
    for prefix, content_type in _PREFIXES:
        if data.startswith(prefix):
            return content_type
    if data.startswith(b"RIFF"):
        for mark, content_type in _RIFF.items():
            if data[8:].startswith(mark):
                return content_type
    if data.startswith(b"FORM") and data[8:12] == b"AIFF":
        return b"audio/aiff"
    if _BINARY.isdisjoint(data):
        return _TEXT
    return b"application/octet-stream"
