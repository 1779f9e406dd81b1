"""A question as it came over the wire: bounds-checked parsing of RFC 1035 4.1 and EDNS (RFC 6891, RFC 7871).

What is refused, and how, is what Consul's server does: answers and too short packets are ignored, operations other than
QUERY and NOTIFY get NOTIMP, anything malformed or with other than one question FORMERR, a header alone SERVFAIL. What
is cut off between records, or within the question behind its name, is taken for absent: its numbers are zero.
"""

from __future__ import annotations

import struct

import msgspec

from dnsd.core import names
from dnsd.core.names import Name
from dnsd.core.records import FORMERR, NOTIMP, OPT, SERVFAIL

HEADER_BYTES = 12
QR = 0x8000
AA = 0x0400
TC = 0x0200
RD = 0x0100
RA = 0x0080
AD = 0x0020
CD = 0x0010
OPCODE_MASK = 0x7800
OPCODE_SHIFT = 11
OPCODE_QUERY = 0
OPCODE_NOTIFY = 4

MAX_ANSWERS = 1
MAX_AUTHORITIES = 1
MAX_ADDITIONALS = 2
MAX_POINTERS = 10

OPTION_SUBNET = 8
FAMILY_IPV4 = 1
FAMILY_IPV6 = 2
ADDRESS_BYTES = {0: 0, FAMILY_IPV4: 4, FAMILY_IPV6: 16}

_header = struct.Struct("!HHHHHH").unpack_from
_two = struct.Struct("!HH").unpack_from
_two_numbers = struct.Struct("!HH").pack
_record = struct.Struct("!HHIH").unpack_from
_subnet = struct.Struct("!HBB").unpack_from


class Subnet(msgspec.Struct, frozen=True):
    """EDNS client subnet: `address` is packed, zero-filled to 4 or 16 bytes."""

    family: int
    source_bits: int
    address: bytes


class Question(msgspec.Struct, frozen=True):
    """One question and what of its packet bears on the answer."""

    name: Name
    folded: Name
    kind: int
    klass: int
    flags: int
    """The header's flag word."""
    payload_bytes: int = -1
    """What the asker takes over UDP by EDNS; -1 without EDNS."""
    subnet: Subnet | None = None
    plain: bool = True
    """No EDNS options: bytes and question determine each other."""

    @property
    def edns(self) -> bool:
        return self.payload_bytes >= 0


class Refusal(Exception):
    """A packet that gets an error without further ado; rcode -1 means no answer at all."""

    def __init__(self, rcode: int, flags: int = 0, question: bytes = b"") -> None:
        super().__init__(f"refused with rcode {rcode}")
        self.rcode = rcode
        self.flags = flags
        self.question = question
        """On the wire, as far as it was understood."""


class _Malformed(Exception):
    """Bytes that are no DNS message."""


def parse(packet: bytes) -> Question:
    """The packet's only question.

    Raises Refusal.
    """
    if len(packet) < HEADER_BYTES:
        raise Refusal(-1)
    _, flags, questions, answers, authorities, additionals = _header(packet)
    if flags & QR:
        raise Refusal(-1)
    opcode = (flags & OPCODE_MASK) >> OPCODE_SHIFT
    if opcode not in (OPCODE_QUERY, OPCODE_NOTIFY):
        raise Refusal(NOTIMP, flags)
    if questions != 1 or answers > MAX_ANSWERS or authorities > MAX_AUTHORITIES or additionals > MAX_ADDITIONALS:
        raise Refusal(FORMERR, flags)
    if len(packet) == HEADER_BYTES:
        raise Refusal(SERVFAIL, flags)
    try:
        name, kind, klass, offset = _read_question(packet)
    except (_Malformed, struct.error, IndexError):
        raise Refusal(FORMERR, flags) from None
    try:
        payload_bytes, subnet, plain = _read_records(packet, offset, answers + authorities, additionals)
    except (_Malformed, struct.error, IndexError):
        raise Refusal(FORMERR, flags, names.to_wire(name) + _two_numbers(kind, klass)) from None
    return Question(name, names.fold(name), kind, klass, flags, payload_bytes, subnet, plain)


def _read_question(packet: bytes) -> tuple[Name, int, int, int]:
    """Name, type, class, and where what follows begins."""
    name, offset = _read_name(packet, HEADER_BYTES)
    rest = packet[offset : offset + 4]
    if len(rest) == 1:
        raise _Malformed
    # Cut off behind the name or within the class.
    kind = int.from_bytes(rest[:2], "big")
    klass = int.from_bytes(rest[2:], "big") if len(rest) == 4 else 0
    return name, kind, klass, offset + len(rest)


def _read_records(packet: bytes, offset: int, others: int, additionals: int) -> tuple[int, Subnet | None, bool]:
    """What EDNS says, by the last OPT record, and whether there is nothing else."""
    payload_bytes, subnet, plain = -1, None, True
    for number in range(others + additionals):
        if offset == len(packet):
            return payload_bytes, subnet, False
        owner, offset = _read_name(packet, offset)
        record_kind, record_class, _, length = _record(packet, offset)
        offset += 10
        if offset + length > len(packet):
            raise _Malformed
        if record_kind == OPT and number >= others:
            plain = plain and payload_bytes < 0 and not owner and length == 0
            payload_bytes = record_class
            subnet = _find_subnet(packet[offset : offset + length])
        else:
            plain = False
        offset += length
    return payload_bytes, subnet, plain and offset == len(packet)


def _read_name(packet: bytes, offset: int) -> tuple[Name, int]:
    """The name at the offset and where what follows it begins."""
    labels: list[bytes] = []
    total, pointers, resume = 1, 0, -1
    while True:
        length = packet[offset]
        if length == 0:
            return tuple(labels), offset + 1 if resume < 0 else resume
        if length < 0x40:
            label = packet[offset + 1 : offset + 1 + length]
            total += length + 1
            if len(label) < length or total > names.MAX_NAME_BYTES:
                raise _Malformed
            labels.append(label)
            offset += length + 1
        elif length >= 0xC0:
            pointers += 1
            if pointers > MAX_POINTERS:
                raise _Malformed
            target = (length & 0x3F) << 8 | packet[offset + 1]
            if resume < 0:
                resume = offset + 2
            offset = target
        else:
            raise _Malformed


def _find_subnet(options: bytes) -> Subnet | None:
    offset = 0
    found = None
    while offset < len(options):
        code, length = _two(options, offset)
        offset += 4
        if offset + length > len(options):
            raise _Malformed
        if code == OPTION_SUBNET and found is None:
            found = _parse_subnet(options[offset : offset + length])
        offset += length
    return found


def _parse_subnet(data: bytes) -> Subnet | None:
    """RFC 7871 section 6; family 0 with no address is a legal way to say nothing; surplus bytes are ignored."""
    family, source_bits, scope_bits = _subnet(data)
    size = ADDRESS_BYTES.get(family)
    if size is None or source_bits > size * 8 or (family and scope_bits > size * 8):
        raise _Malformed
    return Subnet(family, source_bits, data[4 : 4 + size].ljust(size, b"\0"))
