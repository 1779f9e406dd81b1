"""Base64 as Go's decoder takes it: line ends are passed over, and an error tells the byte where it is."""

from __future__ import annotations

import binascii
import re

_ALPHABET = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_SHAPE = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
QUANTUM = 4


class Base64Error(ValueError):
    """The text is no base64; worded as Go words it."""


def decode(text: bytes) -> bytes:
    """The decoded bytes. Raises Base64Error."""
    joined = text.replace(b"\n", b"").replace(b"\r", b"")
    if not _SHAPE.fullmatch(joined):
        raise Base64Error(f"illegal base64 data at input byte {_bad_byte(text)}")
    return binascii.a2b_base64(joined)


def _bad_byte(text: bytes) -> int:
    """Where the first error is: a strange byte, a misplaced `=`, or the beginning of an incomplete last quantum."""
    signs = [at for at, byte in enumerate(text) if byte not in b"\r\n"]
    for number, at in enumerate(signs):
        if text[at] in _ALPHABET:
            continue
        place = number % QUANTUM
        if text[at : at + 1] != b"=" or place < 2:
            return at
        missing = QUANTUM - 1 - place
        padding = signs[number + 1 : number + 1 + missing]
        if len(padding) < missing:
            return len(text)
        for further in padding:
            if text[further : further + 1] != b"=":
                return further - 1
        behind = signs[number + 1 + missing :]
        return behind[0] if behind else at
    return signs[len(signs) - len(signs) % QUANTUM] if signs else 0
