"""Domain names as tuples of labels, without the root label.

A name that came over the wire keeps its bytes and case. For lookups a name is folded to lower case and its labels are
turned into text as DNS tools print them: a byte outside printable ASCII is `\\DDD`, a dot inside a label `\\.`, so that
a strange label never matches a plain name.
"""

from __future__ import annotations

import re
from functools import lru_cache

Name = tuple[bytes, ...]

MAX_LABEL_BYTES = 63
MAX_NAME_BYTES = 255
REMEMBERED_NAMES = 16384

_PLAIN = re.compile(rb"[A-Za-z0-9_-]+")
_ESCAPED = frozenset(b"\"().;@\\ '")


class InvalidName(ValueError):
    """Text that cannot be a domain name: an empty or overlong label, or more than 255 bytes in all."""


def fold(name: Name) -> Name:
    """The name in lower case."""
    return tuple([label.lower() for label in name])


def label_text(label: bytes) -> str:
    """One label as text, escaped."""
    if _PLAIN.fullmatch(label):
        return label.decode("ascii")
    return "".join(_escape(byte) for byte in label)


def _escape(byte: int) -> str:
    if byte in _ESCAPED:
        return "\\" + chr(byte)
    return chr(byte) if 0x20 < byte < 0x7F else f"\\{byte:03d}"


@lru_cache(maxsize=REMEMBERED_NAMES)
def from_text(text: str) -> Name:
    """The labels of a dotted name, with or without the final dot.

    Raises InvalidName.
    """
    if text in ("", "."):
        return ()
    labels = tuple((text[:-1] if text.endswith(".") else text).encode("utf-8", "surrogatepass").split(b"."))
    check(labels)
    return labels


def check(labels: Name) -> None:
    """Raises InvalidName unless the labels make a name that fits on the wire."""
    for label in labels:
        if not 0 < len(label) <= MAX_LABEL_BYTES:
            raise InvalidName(f"label of {len(label)} bytes: {label[:MAX_LABEL_BYTES]!r}")
    if wire_bytes(labels) > MAX_NAME_BYTES:
        raise InvalidName(f"name of {wire_bytes(labels)} bytes: {labels!r}")


def to_text(name: Name) -> str:
    """The name with its final dot."""
    return ".".join(label_text(label) for label in name) + "."


def wire_bytes(name: Name) -> int:
    """How long the name is on the wire, uncompressed."""
    return sum(map(len, name)) + len(name) + 1


def to_wire(name: Name) -> bytes:
    """The name on the wire, uncompressed."""
    return b"".join([bytes((len(label),)) + label for label in name]) + b"\0"


def is_under(name: Name, zone: Name) -> bool:
    """Whether the folded name is the folded zone or below it."""
    return len(name) >= len(zone) and name[len(name) - len(zone) :] == zone
