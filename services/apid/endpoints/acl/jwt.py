"""Whether a text is a signed JSON Web Token at all (RFC 7515, 7.1 and 7.2); nobody here checks signatures."""

from __future__ import annotations

import base64
import re
from typing import Any

from apid.core.decoding import TEXT, DecodeError, Struct, parse_json

_BLANKS = re.compile(r"\s+")
_ALPHABET = re.compile("[A-Za-z0-9_-]*")
COMPACT_PARTS = 3
_HEADER = Struct("jose.rawHeader", {}, open_ended=True)


class NotAToken(ValueError):
    """The text says why, in the words of the library that Consul uses."""


def check(text: str) -> None:
    """Errors: NotAToken."""
    text = _BLANKS.sub("", text)
    try:
        if text.startswith("{"):
            _check_full(parse_json(text.encode()))
        else:
            _check_compact(text)
    except DecodeError as error:
        raise NotAToken(str(error)) from None


def _check_compact(text: str) -> None:
    parts = text.split(".")
    if len(parts) != COMPACT_PARTS:
        raise NotAToken("square/go-jose: compact JWS format must have three parts")
    header = _decoded(parts[0])
    for part in parts[1:]:
        _decoded(part)
    if header:
        _check_header(header)


def _check_full(message: Any) -> None:
    if message.get("payload") is None:
        raise NotAToken("square/go-jose: missing payload in JWS message")
    parts = {
        name: _decoded(TEXT.take(message.get(name) or "", "value")) for name in ("payload", "protected", "signature")
    }
    if parts["protected"]:
        _check_header(parts["protected"])
    if message.get("header") is not None:
        _check_is_header(message["header"])


def _check_header(raw: bytes) -> None:
    _check_is_header(parse_json(raw))


def _check_is_header(header: Any) -> None:
    _HEADER.take(header, "value")


def _decoded(part: str) -> bytes:
    """Base64 for URLs, without padding."""
    good = _ALPHABET.match(part)
    assert good is not None
    if good.end() < len(part) or len(part) % 4 == 1:
        raise NotAToken(f"illegal base64 data at input byte {min(good.end(), len(part) // 4 * 4)}")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
