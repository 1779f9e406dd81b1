"""UUID texts, with the errors Consul's users know."""

from __future__ import annotations

import re

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


def check_uuid(text: str) -> str:
    """What is wrong with a UUID to look up by; empty when nothing is."""
    if len(text) != 36:
        return "index error: UUID must be 36 characters"
    if not is_uuid(text):
        if text.count("-") != 4:
            return "index error: UUID should have 4 hyphens"
        return "index error: invalid UUID"
    return ""
