"""One file of the write-ahead log.

It begins with a header (magic 8, salt 4, serial 8, CRC-32C 4) and a START record, both durable before the file gets its
name. START says where the log stands: everything above (`previous_index`, `previous_term`) is forgotten; with `reset`
everything below it, too. So all entries of a segment have a higher index than its `previous_index`, and the log from
there on is in this segment and the later ones.
"""

import os
import secrets
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from raftd.core.entry import Entry, EntryKind, HardState
from raftd.storage.errors import CorruptError
from raftd.storage.files import Files
from raftd.storage.record import ENTRY_PAYLOAD, HEADER, Record, RecordKind, decode_at, encode

FILE_MAGIC = b"LICTORW1"
FILE_HEADER = struct.Struct("<8sIQI")
_FILE_CRC = struct.Struct("<I")
_START = struct.Struct("<QQQB")
_TERM = struct.Struct("<Q")
_RESET = 1
SUFFIX = ".wal"
READ_AHEAD_BYTES = 256 << 10
"""Entries are read in pieces of this size, or of one record if that is larger."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the log stands at the beginning of a segment."""

    previous_index: int
    previous_term: int
    reset: bool
    hard_state: HardState

    def encode(self) -> bytes:
        """Payload of the START record."""
        head = _START.pack(self.previous_index, self.previous_term, self.hard_state.term, _RESET if self.reset else 0)
        return head + self.hard_state.vote.encode()

    @staticmethod
    def decode(payload: memoryview) -> "Start":
        """The inverse of `encode`."""
        previous_index, previous_term, term, flags = _START.unpack_from(payload)
        vote = bytes(payload[_START.size :]).decode()
        return Start(previous_index, previous_term, bool(flags & _RESET), HardState(term, vote))


def encode_hard_state(state: HardState) -> bytes:
    """Payload of a HARD_STATE record."""
    return _TERM.pack(state.term) + state.vote.encode()


def decode_hard_state(payload: memoryview) -> HardState:
    """The inverse of `encode_hard_state`."""
    return HardState(_TERM.unpack_from(payload)[0], bytes(payload[_TERM.size :]).decode())


def decode_entry(payload: memoryview) -> Entry:
    """The entry in an ENTRY record."""
    index, term, kind = ENTRY_PAYLOAD.unpack_from(payload)
    return Entry(index, term, EntryKind(kind), bytes(payload[ENTRY_PAYLOAD.size :]))


class Segment:
    """An open segment: its descriptor, where its good records end, and where each entry lies."""

    def __init__(self, path: Path, descriptor: int, serial: int, salt: int, start: Start, end: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.serial = serial
        self.salt = salt
        self.start = start
        self.end = end
        """Offset behind the last good record: the next batch goes here."""
        self.allocated = end
        """The file has at least this many bytes."""
        self._offsets = array("Q")

    @property
    def last_index(self) -> int:
        """Index of the last entry that counts, `start.previous_index` when there is none."""
        return self.start.previous_index + len(self._offsets)

    def place(self, index: int, offset: int) -> None:
        """The entry `index` lies at `offset`; entries from there on were cut off."""
        self.cut(index)
        assert index == self.last_index + 1, f"{self.path}: entry {index} after {self.last_index}"
        self._offsets.append(offset)

    def cut(self, index: int) -> None:
        """Forget where entries at `index` and after lie."""
        keep = max(index - self.start.previous_index - 1, 0)
        if keep < len(self._offsets):
            del self._offsets[keep:]

    def read(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Entries low..high, which must be here, until `max_bytes` is passed. Raises CorruptError."""
        first = self.start.previous_index + 1
        found: list[Entry] = []
        size_bytes = 0
        window, window_offset = memoryview(b""), 0
        for index in range(low, high + 1):
            offset = self._offsets[index - first]
            last = index - first + 1 == len(self._offsets)
            record_end = self.end if last else max(self._offsets[index - first + 1], offset)
            if offset < window_offset or record_end > window_offset + len(window):
                want = max(READ_AHEAD_BYTES, record_end - offset)
                window, window_offset = memoryview(os.pread(self.descriptor, want, offset)), offset
            record = decode_at(window, self.salt, offset - window_offset)
            if isinstance(record, str):
                # The window may end inside a record whose end is not the next one's start (a cut lies between).
                record = decode_at(self._read_record(offset), self.salt, 0)
            if isinstance(record, str):
                raise CorruptError(
                    f"{self.path}: offset {offset}: entry {index} was whole and is now damaged: {record}. "
                    "Check this disk; then remove the raft directory of this server and let it rejoin"
                )
            entry = decode_entry(record.payload)
            assert entry.index == index, f"{self.path}: offset {offset}: entry {entry.index} instead of {index}"
            found.append(entry)
            size_bytes += len(entry.data)
            if size_bytes >= max_bytes:
                break
        return found

    def _read_record(self, offset: int) -> memoryview:
        header = os.pread(self.descriptor, HEADER.size, offset)
        if len(header) < HEADER.size:
            return memoryview(header)
        length = HEADER.unpack(header)[1]
        return memoryview(os.pread(self.descriptor, HEADER.size + length, offset))

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def segment_path(directory: Path, serial: int) -> Path:
    """Where the segment of this serial number lies."""
    return directory / f"{serial:016x}{SUFFIX}"


def create_segment(files: Files, directory: Path, serial: int, batch: int, start: Start) -> Segment:
    """A new segment, durable with its START record. Raises as `Files`."""
    path = segment_path(directory, serial)
    salt = secrets.randbits(32)
    header = FILE_HEADER.pack(FILE_MAGIC, salt, serial, 0)[: -_FILE_CRC.size]
    content = header + _FILE_CRC.pack(google_crc32c.value(header))
    content += encode(salt, batch, 0, RecordKind.START, start.encode())
    temporary = path.with_suffix(".new")
    descriptor = files.create(temporary)
    try:
        files.write(descriptor, temporary, content, 0)
        files.sync(descriptor, temporary)
        files.rename(temporary, path)
    except BaseException:
        os.close(descriptor)
        raise
    return Segment(path, descriptor, serial, salt, start, len(content))


def read_file_header(path: Path, content: memoryview) -> tuple[int, int]:
    """Salt and serial of a segment file. Raises CorruptError."""
    if len(content) >= FILE_HEADER.size:
        magic, salt, serial, crc = FILE_HEADER.unpack_from(content)
        head = bytes(content[: FILE_HEADER.size - _FILE_CRC.size])
        if magic == FILE_MAGIC and google_crc32c.value(head) == crc:
            return int(salt), int(serial)
    raise CorruptError(f"{path}: offset 0: the file header is damaged. {ADVICE}")


ADVICE = (
    "The log cannot be trusted. If other servers hold the data, stop this one, move its raft directory away and let it "
    "rejoin empty; on a single server restore the raft directory or a snapshot from a backup"
)


def first_record(path: Path, record: Record | None, reason: str) -> Start:
    """The START record that must come first. Raises CorruptError."""
    if record is None or record.kind != RecordKind.START:
        raise CorruptError(f"{path}: offset {FILE_HEADER.size}: the first record is damaged: {reason}. {ADVICE}")
    return Start.decode(record.payload)
