"""Turning an answer into a packet: header, sections, compression, EDNS, and what is cut so that it fits.

Names in the sections are compressed against the question only when they are the question's whole name, otherwise among
themselves. So a packet never points into the question's labels, and one packet serves every spelling (upper and lower
case) of a question: its question bytes are replaced and every owner follows.

Sizes (Consul 1.7: dns, truncation; RFC 1035 4.2, RFC 6891 6.2.3): without EDNS or with 512 bytes at most
min(8, `udp_answer_limit`) answers, measured uncompressed; else as many as fit; 4096 (SRV: 1024) and 65,523 bytes over
TCP. Unlike Consul the OPT record counts, so that no packet is larger than the asker allowed.
"""

from __future__ import annotations

import struct
from enum import Enum

from dnsd.core import names
from dnsd.core.answer import Answer, Group
from dnsd.core.names import Name
from dnsd.core.question import (
    AA,
    AD,
    CD,
    HEADER_BYTES,
    OPCODE_MASK,
    OPTION_SUBNET,
    QR,
    RA,
    RD,
    TC,
    Question,
    Refusal,
    Subnet,
)
from dnsd.core.records import CNAME, COMPRESSIBLE, IN, NOTIMP, NXDOMAIN, OPT, REFUSED, SERVFAIL, SRV, Record
from dnsd.core.settings import MAX_UDP_ANSWERS, Settings

PLAIN_UDP_BYTES = 512
MAX_UDP_BYTES = 65_507
MAX_TCP_BYTES = 65_523
UDP_RESERVE_BYTES = 7
MAX_TCP_ANSWERS = 4096
MAX_TCP_SRV_ANSWERS = 1024
MAX_POINTER_OFFSET = 0x3FFF
OPT_BYTES = 11
RECORD_BYTES = 10
"""A record's type, class, TTL and length."""
POINTER_BYTES = 2

LEAST_RECORD_BYTES = POINTER_BYTES + RECORD_BYTES + 2
"""A record with a name that is a pointer for its data."""

QUESTION_POINTER = b"\xc0\x0c"
ID_BYTES = 2

_GLOBAL_RCODES = frozenset({NXDOMAIN, SERVFAIL, REFUSED, NOTIMP})

_head = struct.Struct("!HHHHH").pack
_two = struct.Struct("!HH").pack
_record = struct.Struct("!HHI").pack
_length = struct.Struct("!H").pack
_opt = struct.Struct("!BHHIH").pack
_option = struct.Struct("!HHHBB").pack


class Transport(Enum):
    """How the question came."""

    UDP = "udp"
    TCP = "tcp"


class _Encoder:
    """Appends records to a buffer that begins behind the ID."""

    __slots__ = ("_compress", "_offsets", "_question", "buffer")

    def __init__(self, question: Question, compress: bool) -> None:
        self._compress = compress
        self._question = question.name
        self._offsets: dict[Name, int] = {}
        # The ID is written by whoever sends; its two bytes count for offsets.
        self.buffer = bytearray(HEADER_BYTES - ID_BYTES)
        self.buffer += names.to_wire(question.name) + _two(question.kind, question.klass)

    def add(self, record: Record) -> None:
        """Append one record."""
        buffer = self.buffer
        self._add_name(record.owner, self._compress)
        kind = record.kind
        buffer += _record(kind, IN, record.ttl_s)
        start = len(buffer)
        buffer += b"\0\0"
        compress = self._compress and kind in COMPRESSIBLE
        for part in record.parts:
            if isinstance(part, bytes):
                buffer += part
            else:
                self._add_name(part, compress)
        buffer[start : start + 2] = _length(len(buffer) - start - 2)

    def _add_name(self, name: Name, compress: bool) -> None:
        buffer = self.buffer
        if compress and name == self._question and name:
            buffer += QUESTION_POINTER
            return
        offsets = self._offsets
        for index in range(len(name)):
            suffix = name[index:]
            known = offsets.get(suffix)
            if known is not None:
                if compress:
                    buffer += _length(0xC000 | known)
                    return
            elif len(buffer) + ID_BYTES <= MAX_POINTER_OFFSET:
                offsets[suffix] = len(buffer) + ID_BYTES
            label = name[index]
            buffer.append(len(label))
            buffer += label
        buffer.append(0)


def render(question: Question, answer: Answer, settings: Settings, transport: Transport, start: int = 0) -> bytes:
    """The packet without its ID, beginning with group number `start` where the answer rotates."""
    groups = answer.groups
    if answer.rotates and start:
        groups = groups[start:] + groups[:start]
    if answer.group_limit:
        groups = groups[: answer.group_limit]
    subnet_global = answer.subnet_global or answer.rcode in _GLOBAL_RCODES
    opt = opt_record(question, subnet_global) if question.edns and answer.echo_edns else b""
    encoder, counts, trimmed = _Cutter(question, answer, settings, transport, len(opt)).cut(groups)
    truncated = trimmed and (settings.enable_truncate or not answer.trims)
    flags = QR | (question.flags & (RD | CD | OPCODE_MASK)) | answer.rcode
    if question.flags & OPCODE_MASK:
        flags &= ~(RD | CD)
    if answer.authoritative:
        flags |= AA
    if answer.recursion_available or (answer.authoritative and settings.has_recursors):
        flags |= RA
    if truncated:
        flags |= TC
    buffer = encoder.buffer
    buffer += opt
    buffer[: HEADER_BYTES - ID_BYTES] = _head(flags, 1, counts[0], counts[1], counts[2] + (1 if opt else 0))
    return bytes(buffer)


def byte_limit(question: Question, transport: Transport) -> int:
    """The largest packet that may be sent."""
    if transport is Transport.TCP:
        return MAX_TCP_BYTES
    return min(max(question.payload_bytes, PLAIN_UDP_BYTES), MAX_UDP_BYTES)


class _Cutter:
    """Finds how many answers (and what goes with them) fit, and encodes those."""

    def __init__(
        self, question: Question, answer: Answer, settings: Settings, transport: Transport, opt_bytes: int
    ) -> None:
        self._question = question
        self._answer = answer
        self._settings = settings
        self._transport = transport
        limit = byte_limit(question, transport)
        self._is_small = transport is Transport.UDP and limit == PLAIN_UDP_BYTES
        self._hard_bytes = limit - opt_bytes
        reserve = UDP_RESERVE_BYTES if transport is Transport.UDP else 0
        self._budget_bytes = min(limit - reserve, self._hard_bytes) if answer.trims else self._hard_bytes

    def cut(self, groups: list[Group]) -> tuple[_Encoder, tuple[int, int, int], bool]:
        """The encoded sections, their counts, and whether answers were left out."""
        if self._answer.trims and len(groups) > self._most_groups():
            groups = groups[: self._most_groups()]
        answers = [record for group in groups for record in group.answers]
        if not self._answer.trims:
            return self._cut_fixed(answers, [extra for group in groups for extra in group.additionals])
        kept = len(answers)
        measured_compressed = self._settings.compress
        if self._is_small:
            most = self._settings.plain_answer_limit
            if kept > most:
                kept, measured_compressed = most, False
        elif self._transport is Transport.TCP:
            kept = min(kept, MAX_TCP_SRV_ANSWERS if self._question.kind == SRV else MAX_TCP_ANSWERS)
        if kept == len(answers):
            whole = self._encode(answers, [extra for group in groups for extra in group.additionals])
            if whole is not None and self._fits(whole[0]):
                return (*whole, False)
        index: dict[Name, Record] = {}
        for group in groups:
            for extra in group.additionals:
                index.setdefault(names.fold(extra.owner), extra)
        return self._search(answers, index, self._bound(answers, kept, index), measured_compressed)

    def _most_groups(self) -> int:
        """One group more than could ever be kept: what is beyond changes nothing."""
        most = self._budget_bytes // LEAST_RECORD_BYTES
        if self._is_small:
            most = min(most, MAX_UDP_ANSWERS)
        elif self._transport is Transport.TCP:
            most = min(most, MAX_TCP_SRV_ANSWERS if self._question.kind == SRV else MAX_TCP_ANSWERS)
        return most + 1

    def _fits(self, encoder: _Encoder) -> bool:
        return len(encoder.buffer) + ID_BYTES <= self._budget_bytes

    def _encode(
        self, answers: list[Record], additionals: list[Record], compress: bool | None = None
    ) -> tuple[_Encoder, tuple[int, int, int]] | None:
        """The sections; None as soon as they are larger than any packet may be."""
        encoder = _Encoder(self._question, self._settings.compress if compress is None else compress)
        extras = additionals + self._answer.additionals
        for number, record in enumerate([*answers, *self._answer.authorities, *extras]):
            encoder.add(record)
            if not number % 64 and len(encoder.buffer) > 2 * MAX_UDP_BYTES:
                return None
        return encoder, (len(answers), len(self._answer.authorities), len(extras))

    def _bound(self, answers: list[Record], most: int, index: dict[Name, Record]) -> int:
        """How many answers could fit at the very best: every name that may be compressed a pointer."""
        size = HEADER_BYTES + names.wire_bytes(self._question.name) + 4
        seen: set[Name] = set()
        for number, record in enumerate(answers[:most]):
            size += _least_bytes(record)
            if record.kind == SRV:
                target = names.fold(_name_part(record))
                if target in index and target not in seen:
                    seen.add(target)
                    size += _least_bytes(index[target])
            if size > self._budget_bytes:
                return max(number, 1)
        return most

    def _search(
        self, answers: list[Record], index: dict[Name, Record], most: int, measured_compressed: bool
    ) -> tuple[_Encoder, tuple[int, int, int], bool]:
        """The longest run of answers, at least one, that fits with the records of their targets."""

        def fits(count: int) -> bool:
            trial = self._encode(answers[:count], targets_of(answers[:count], index), measured_compressed)
            return trial is not None and self._fits(trial[0])

        # The bound is close: step down from it, in growing steps, then search between.
        low, high, step = most, most + 1, 1
        while low > 1 and not fits(low):
            low, high, step = max(1, low - step), low, step * 2
        while low + 1 < high:
            middle = (low + high) // 2
            if fits(middle):
                low = middle
            else:
                high = middle
        encoded = self._encode(answers[:low], targets_of(answers[:low], index))
        assert encoded is not None, "one answer is never that large"
        trimmed = low < len(answers)
        if len(encoded[0].buffer) + ID_BYTES <= self._hard_bytes:
            return (*encoded, trimmed)
        return self._cut_fixed(answers[:low], [], trimmed)

    def _cut_fixed(
        self, answers: list[Record], additionals: list[Record], trimmed: bool = False
    ) -> tuple[_Encoder, tuple[int, int, int], bool]:
        """All that fits, in order: answers, authorities, additionals. Answers left out mean a truncated packet."""
        encoder = _Encoder(self._question, self._settings.compress)
        counts = [0, 0, 0]
        sections = (answers, self._answer.authorities, additionals + self._answer.additionals)
        for number, section in enumerate(sections):
            for record in section:
                before = len(encoder.buffer)
                encoder.add(record)
                if len(encoder.buffer) + ID_BYTES > self._hard_bytes:
                    del encoder.buffer[before:]
                    return encoder, (counts[0], counts[1], counts[2]), trimmed or number == 0
                counts[number] += 1
        return encoder, (counts[0], counts[1], counts[2]), trimmed


def targets_of(answers: list[Record], index: dict[Name, Record]) -> list[Record]:
    """For each SRV answer the one record of its target, and what that leads to if it is a CNAME; each once."""
    chosen: list[Record] = []
    seen: set[Name] = set()
    for record in answers:
        if record.kind != SRV:
            continue
        target = names.fold(_name_part(record))
        while target not in seen:
            seen.add(target)
            extra = index.get(target)
            if extra is None:
                break
            chosen.append(extra)
            if extra.kind != CNAME:
                break
            target = names.fold(_name_part(extra))
    return chosen


def _least_bytes(record: Record) -> int:
    """A record's size with its owner, and where that is allowed its data, compressed to pointers."""
    size = POINTER_BYTES + RECORD_BYTES
    for part in record.parts:
        if isinstance(part, bytes):
            size += len(part)
        else:
            size += 1 if record.kind in COMPRESSIBLE else names.wire_bytes(part)
    return size


def _name_part(record: Record) -> Name:
    part = record.parts[-1]
    assert not isinstance(part, bytes), "an SRV or CNAME record ends in a name"
    return part


def opt_record(question: Question, subnet_global: bool) -> bytes:
    """The OPT record of the response: the asker's size, its subnet with the scope the answer is good for."""
    options = b"" if question.subnet is None else _subnet_option(question.subnet, subnet_global)
    return _opt(0, OPT, question.payload_bytes, 0, len(options)) + options


def _subnet_option(subnet: Subnet, subnet_global: bool) -> bytes:
    """RFC 7871 7.2.1; as many address bytes as the source prefix needs, bits beyond it zero."""
    kept_bytes = (subnet.source_bits + 7) // 8
    address = bytearray(subnet.address[:kept_bytes])
    if subnet.source_bits % 8:
        address[-1] &= 0xFF << (8 - subnet.source_bits % 8) & 0xFF
    scope_bits = 0 if subnet_global else subnet.source_bits
    return _option(OPTION_SUBNET, 4 + kept_bytes, subnet.family, subnet.source_bits, scope_bits) + bytes(address)


def refusal(packet: bytes, refused: Refusal) -> bytes:
    """What answers a packet nobody could make sense of, with its ID: a header, and the question if it was legible."""
    opcode = refused.flags & OPCODE_MASK
    if refused.rcode == SERVFAIL:
        kept = opcode or refused.flags & (RD | CD)
    else:
        kept = refused.flags & (TC | RD | RA | AD | CD) | (opcode if refused.rcode == NOTIMP else 0)
    head = _head(QR | kept | refused.rcode, 1 if refused.question else 0, 0, 0, 0)
    return packet[:ID_BYTES] + head + refused.question
