"""Records of the write-ahead log: how one is laid out, and how a file of them is read back.

A record is a header of 25 bytes and a payload, little endian:

    magic 4 | payload length 4 | CRC-32C 4 | batch 8 | left 4 | kind 1 | payload

A batch is what one sync makes durable: batches are numbered without gaps, and `left` counts the records of the batch
that follow. The next batch is written only after the sync, so whatever a crash can damage lies in the last batch;
a bad record that is followed by a later batch is corruption. The CRC begins with the file's salt and covers everything
behind itself. Behind the last record a file holds zeros, or ends.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import google_crc32c

MAGIC = b"\xa5LR\x1f"
HEADER = struct.Struct("<4sIIQIB")
ENTRY_PAYLOAD = struct.Struct("<QQB")
_PREFIX = struct.Struct("<4sII")
_TAIL = struct.Struct("<QIB")
_ENTRY_TAIL = struct.Struct("<QIBQQB")
_CRC_FROM = _PREFIX.size


class RecordKind(IntEnum):
    """What a record holds. Stored: numbers never change."""

    START = 1
    """First in a segment: where the log stands there."""
    HARD_STATE = 2
    """Term (8 bytes) and vote."""
    ENTRY = 3
    """Index, term (8 bytes each), entry kind (1 byte), data."""
    CLOSE = 4
    """An orderly stop: the tail before it is whole."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record as read; `offset` and `end` are its place in the file."""

    offset: int
    end: int
    batch: int
    left: int
    kind: int
    payload: memoryview


@dataclass(frozen=True, slots=True)
class Damage:
    """Why reading stopped before the zeros: at `offset` there is no good record."""

    offset: int
    reason: str


def encode(salt: int, batch: int, left: int, kind: RecordKind, payload: bytes) -> bytes:
    """One record."""
    tail = _TAIL.pack(batch, left, kind) + payload
    return _PREFIX.pack(MAGIC, len(payload), google_crc32c.extend(salt, tail)) + tail


def append_entry(
    parts: list[bytes], salt: int, batch: int, left: int, index: int, term: int, kind: int, data: bytes
) -> int:
    """Add an ENTRY record's pieces to `parts`; returns its size in bytes. The data is not copied."""
    tail = _ENTRY_TAIL.pack(batch, left, RecordKind.ENTRY, index, term, kind)
    crc = google_crc32c.extend(google_crc32c.extend(salt, tail), data)
    length = ENTRY_PAYLOAD.size + len(data)
    parts.append(_PREFIX.pack(MAGIC, length, crc))
    parts.append(tail)
    parts.append(data)
    return HEADER.size + length


def decode_at(content: memoryview, salt: int, offset: int) -> Record | str:
    """The record at `offset`, or why there is none."""
    if offset + HEADER.size > len(content):
        return "header cut short"
    magic, length, crc, batch, left, kind = HEADER.unpack_from(content, offset)
    if magic != MAGIC:
        return "no record begins here"
    start, end = offset + HEADER.size, offset + HEADER.size + length
    if end > len(content):
        return f"record of {length} bytes is cut short"
    if google_crc32c.extend(salt, bytes(content[offset + _CRC_FROM : end])) != crc:
        return "checksum mismatch"
    return Record(offset, end, batch, left, kind, content[start:end])


def read_records(content: memoryview, salt: int, offset: int) -> Iterator[Record | Damage]:
    """Records in order up to the zeros; a last item of type Damage when something else stands there.

    Gaps in the numbering of batches count as damage, and so does a batch whose end is missing.
    """
    previous: Record | None = None
    while offset < len(content):
        record = decode_at(content, salt, offset)
        if isinstance(record, str):
            if content[offset] == 0 and not bytes(content[offset:]).strip(b"\0"):
                break
            yield Damage(offset, record)
            return
        if previous is not None and not _follows(previous, record):
            yield Damage(offset, f"batch {record.batch} with {record.left} left does not follow batch {previous.batch}")
            return
        yield record
        previous = record
        offset = record.end
    if previous is not None and previous.left:
        yield Damage(offset, f"batch {previous.batch} lacks its last {previous.left} records")


def _follows(previous: Record, record: Record) -> bool:
    if previous.left:
        return record.batch == previous.batch and record.left == previous.left - 1
    return record.batch == previous.batch + 1


def later_batch(content: memoryview, salt: int, offset: int, batch: int) -> Record | None:
    """The first whole record behind `offset` of a batch above `batch`: proof that what stands before was durable."""
    rest = bytes(content)
    while (offset := rest.find(MAGIC, offset + 1)) >= 0:
        record = decode_at(content, salt, offset)
        if isinstance(record, Record) and record.batch > batch:
            return record
    return None
