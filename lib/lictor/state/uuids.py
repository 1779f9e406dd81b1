"""UUID texts, with the errors Consul's users know."""

from __future__ import annotations

import re

_NOT_HEXADECIMAL = re.compile("[^0-9a-fA-F]")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def check_uuid(text: str) -> str:
    """What is wrong with a UUID to look up by; empty when nothing is."""
    if len(text.encode("utf-8", "surrogateescape")) != 36:
        return "index error: UUID must be 36 characters"
    digits = text.replace("-", "")
    hyphens = len(text) - len(digits)
    if hyphens > 4:
        return f'index error: UUID should have maximum of 4 "-"; got {hyphens}'
    if len(digits) % 2:
        return "index error: Input (without hyphens) must be even length"
    wrong = not_hexadecimal(digits)
    return f"index error: Invalid UUID: {wrong}" if wrong else ""


def not_hexadecimal(digits: str) -> str:
    """What Go says of the first character that is no hexadecimal digit; empty when all are."""
    found = _NOT_HEXADECIMAL.search(digits)
    return f"encoding/hex: invalid byte: U+{ord(found[0]):04X} '{found[0]}'" if found else ""
