"""What a name under our domain asks for (Consul 1.7: dns, label scan).

Labels are read from the right until one names a kind; what is right of it is the datacenter, what is left of it the
thing's name. An address is the same in every datacenter: what is right of `addr` is not looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from dnsd.core.names import Name, label_text
from dnsd.core.question import Question
from dnsd.core.records import SRV

HEX_DIGITS = frozenset("0123456789abcdef")
ADDRESS_BYTES = (4, 16)


class Kind(Enum):
    """The label that says what is asked for."""

    SERVICE = "service"
    CONNECT = "connect"
    NODE = "node"
    QUERY = "query"
    ADDR = "addr"


KINDS = {kind.value.encode(): kind for kind in Kind}


class Plan(msgspec.Struct, frozen=True):
    """A lookup. `name` is folded text; `tag` is empty for none."""

    kind: Kind
    name: str
    datacenter: str
    tag: str = ""
    address: bytes | None = None
    """For ADDR: the packed address, None when the digits are no address (an empty answer)."""


def make_plan(question: Question, zone: Name, datacenter: str) -> Plan | None:
    """The lookup that a question in the zone asks for, None when its name is none of ours.

    `datacenter` is what is meant when the name does not say.
    """
    labels = question.folded[: len(question.folded) - len(zone)]
    found = _find_kind(labels, question.kind == SRV)
    if found is None:
        return None
    kind, left, right = found
    if not left or (len(right) > 1 and kind is not Kind.ADDR):
        return None
    if right:
        datacenter = label_text(right[0])
    parts = [label_text(label) for label in left]
    if kind is Kind.SERVICE:
        return _plan_service(parts, datacenter)
    if kind is Kind.CONNECT:
        return Plan(kind, parts[-1], datacenter)
    if kind is Kind.ADDR:
        return _plan_address(parts, datacenter)
    return Plan(kind, ".".join(parts), datacenter)


def _find_kind(labels: Sequence[bytes], is_srv: bool) -> tuple[Kind, Sequence[bytes], Sequence[bytes]] | None:
    for index in range(len(labels) - 1, -1, -1):
        kind = KINDS.get(labels[index])
        if kind is not None:
            return kind, labels[:index], labels[index + 1 :]
        if is_srv and labels[index].startswith(b"_"):
            return Kind.SERVICE, labels[: index + 1], labels[index + 1 :]
    return None


def _plan_service(parts: list[str], datacenter: str) -> Plan:
    if len(parts) == 2 and parts[0].startswith("_") and parts[1].startswith("_"):
        tag = parts[1][1:]
        return Plan(Kind.SERVICE, parts[0][1:], datacenter, "" if tag == "tcp" else tag)
    return Plan(Kind.SERVICE, parts[-1], datacenter, ".".join(parts[:-1]))


def _plan_address(parts: list[str], datacenter: str) -> Plan | None:
    if len(parts) != 1:
        return None
    digits = parts[0]
    if len(digits) // 2 not in ADDRESS_BYTES:
        return Plan(Kind.ADDR, digits, datacenter)
    if len(digits) % 2 or not HEX_DIGITS.issuperset(digits):
        return None
    return Plan(Kind.ADDR, digits, datacenter, address=bytes.fromhex(digits))
