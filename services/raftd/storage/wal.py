"""The write-ahead log: segments in a directory, read once at start, then appended to.

Rules:
* `write` returns only when everything handed in is durable. Several writes share one sync.
* A torn tail, the rest of a batch that was being written when the machine stopped, is cut and logged. Anything else
  that cannot be read refuses to open (`CorruptError`): nothing that was acknowledged is dropped silently.
* An entry at or below the last index cuts the log there. If that reaches before the current segment, a new segment
  begins, so that segments can be removed from the oldest on.
* When the disk is full, nothing of the failed batch counts; the same call may be made again.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raftd.core.entry import Entry, HardState
from raftd.core.log_summary import LogSummary
from raftd.storage.errors import CorruptError
from raftd.storage.files import Files
from raftd.storage.record import Damage, Record, RecordKind, append_entry, encode, later_batch, read_records
from raftd.storage.segment import (
    ADVICE,
    FILE_HEADER,
    SUFFIX,
    Segment,
    Start,
    create_segment,
    decode_entry,
    decode_hard_state,
    encode_hard_state,
    first_record,
    read_file_header,
    segment_path,
)

SEGMENT_BYTES = 16 << 20
"""A segment that has reached this size is followed by a new one."""
PREALLOCATE_BYTES = 1 << 20
"""A segment grows by this much at a time, so that most syncs write data only."""
BATCH_BYTES = 8 << 20
"""One sync takes about this much at most."""

log = logging.getLogger("agent.server.raft")


@dataclass(slots=True)
class LogWrite:
    """One `Ready`'s share for the log, in the order: reset, hard state, entries."""

    reset: tuple[int, int] | None = None
    """(index, term): forget every entry; the log goes on after this."""
    hard_state: HardState | None = None
    entries: Sequence[Entry] = ()


@dataclass(slots=True)
class _Batch:
    """Records gathered for one sync."""

    hard_state: HardState | None = None
    entries: list[Entry] = field(default_factory=list)
    size_bytes: int = 0


class Wal:
    """An open log. One thread writes; entries may be read from others."""

    def __init__(self, directory: Path, files: Files, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Read what is there. Raises CorruptError, and as `Files`."""
        self._directory = directory
        self._files = files
        self._segment_bytes = segment_bytes
        self._segments: list[Segment] = []
        self._lock = threading.Lock()
        self._batch = 0
        self.summary = LogSummary()
        """What the log holds; handed to the core at start and not kept up to date here."""
        self.hard_state = HardState()
        self._last_index = 0
        self._last_term = 0
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # --- opening ----------------------------------------------------------------------------------------------

    def _open(self) -> None:
        for leftover in self._directory.glob("*.new"):
            leftover.unlink()
        paths = sorted(self._directory.glob(f"*{SUFFIX}"))
        for position, path in enumerate(paths):
            if position and path != segment_path(self._directory, self._segments[-1].serial + 1):
                missing = segment_path(self._directory, self._segments[-1].serial + 1)
                raise CorruptError(f"{missing}: offset 0: this segment is missing. {ADVICE}")
            self._load(path, last=position == len(paths) - 1)
        self._last_index, self._last_term = self.summary.last_index, self.summary.last_term
        if not self._segments:
            self._begin_segment(Start(0, 0, False, HardState()))

    def _load(self, path: Path, last: bool) -> None:
        """Read one segment and take its records over."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            content = memoryview(_read_all(descriptor))
            salt, serial = read_file_header(path, content)
            records: list[Record] = []
            damage: Damage | None = None
            for item in read_records(content, salt, FILE_HEADER.size):
                if isinstance(item, Damage):
                    damage = item
                else:
                    records.append(item)
            first = records[0] if records else None
            start = first_record(path, first, damage.reason if damage else "the file ends")
            assert first is not None
            if path != segment_path(self._directory, serial) or (self._batch and first.batch != self._batch + 1):
                raise CorruptError(f"{path}: offset 0: this file does not belong here. {ADVICE}")
            end = self._check_damage(path, content, salt, records, damage, last)
        except BaseException:
            os.close(descriptor)
            raise
        segment = Segment(path, descriptor, serial, salt, start, end)
        segment.allocated = len(content)
        self._take_start(segment)
        self._segments.append(segment)
        for record in records[1:]:
            if record.end <= end:
                self._take(segment, record)
        self._batch = max(record.batch for record in records if record.end <= end)

    def _check_damage(
        self, path: Path, content: memoryview, salt: int, records: list[Record], damage: Damage | None, last: bool
    ) -> int:
        """Where the good records end, after cutting a torn tail. Raises CorruptError for any other damage."""
        if damage is None:
            return records[-1].end
        tail = records[-1]
        torn_batch = tail.batch if tail.left else tail.batch + 1
        if not last or later_batch(content, salt, damage.offset, torn_batch) is not None:
            raise CorruptError(f"{path}: offset {damage.offset}: damaged record: {damage.reason}. {ADVICE}")
        end = max((record.end for record in records if record.batch < torn_batch), default=0)
        log.warning(
            "write-ahead log: cut an unfinished write at its end: file=%s offset=%d bytes=%d reason=%r",
            path,
            end,
            len(bytes(content[end:]).rstrip(b"\0")),
            damage.reason,
        )
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, end)
            os.ftruncate(descriptor, len(content))
            self._files.sync(descriptor, path)
        finally:
            os.close(descriptor)
        return end

    def _take_start(self, segment: Segment) -> None:
        start = segment.start
        self.hard_state = start.hard_state
        if start.reset or not self._segments or start.previous_index > self.summary.last_index:
            if self._segments and not start.reset:
                raise CorruptError(
                    f"{segment.path}: offset {FILE_HEADER.size}: entries up to {start.previous_index} are missing, the "
                    f"log ends at {self.summary.last_index}. {ADVICE}"
                )
            self.summary = LogSummary(start.previous_index, start.previous_term)
            return
        self.summary.cut(start.previous_index + 1)
        for earlier in self._segments:
            earlier.cut(start.previous_index + 1)

    def _take(self, segment: Segment, record: Record) -> None:
        if record.kind == RecordKind.ENTRY:
            entry = decode_entry(record.payload)
            self.summary.append(entry)
            segment.place(entry.index, record.offset)
        elif record.kind == RecordKind.HARD_STATE:
            self.hard_state = decode_hard_state(record.payload)
        elif record.kind != RecordKind.CLOSE:
            raise CorruptError(
                f"{segment.path}: offset {record.offset}: record of unknown kind {record.kind}: "
                "written by a later version? Start that version, or restore a backup"
            )

    # --- writing ----------------------------------------------------------------------------------------------

    def write(self, writes: "deque[LogWrite]") -> None:
        """Make all writes durable, taking each off the left when it is. Raises as `Files`; after DiskFullError what is
        left in `writes` may be written again."""
        while writes:
            self._write_some(writes)

    def _write_some(self, writes: "deque[LogWrite]") -> None:
        """One sync's worth; or a new segment, where the next write needs one."""
        segment = self._segments[-1]
        head = writes[0]
        if head.reset is not None:
            index, term = head.reset
            self._begin_segment(Start(index, term, True, head.hard_state or self.hard_state))
            self._last_index, self._last_term = index, term
            writes[0] = LogWrite(entries=head.entries)
            self._remove_before(len(self._segments) - 1)
            return
        if segment.end >= self._segment_bytes:
            self._begin_segment(Start(self._last_index, self._last_term, False, self.hard_state))
            return
        if head.entries and head.entries[0].index <= segment.start.previous_index:
            previous = head.entries[0].index - 1
            self._begin_segment(Start(previous, self._term_at(previous), False, head.hard_state or self.hard_state))
            return
        batch, count = self._gather(writes, segment.start.previous_index)
        self._write_batch(segment, batch)
        for _ in range(count):
            writes.popleft()

    def _gather(self, writes: "deque[LogWrite]", floor_index: int) -> tuple[_Batch, int]:
        """As many writes from the left as go into one batch."""
        batch = _Batch()
        count = 0
        for write in writes:
            if count and (write.reset is not None or batch.size_bytes >= BATCH_BYTES):
                break
            if write.entries and write.entries[0].index <= floor_index:
                break
            if write.hard_state is not None:
                batch.hard_state = write.hard_state
            batch.entries.extend(write.entries)
            batch.size_bytes += sum(len(entry.data) for entry in write.entries)
            count += 1
        return batch, count

    def _write_batch(self, segment: Segment, batch: _Batch) -> None:
        number = self._batch + 1
        left = len(batch.entries) + (batch.hard_state is not None)
        if left == 0:
            return
        parts: list[bytes] = []
        offset = segment.end
        if batch.hard_state is not None:
            left -= 1
            parts.append(encode(segment.salt, number, left, RecordKind.HARD_STATE, encode_hard_state(batch.hard_state)))
            offset += len(parts[0])
        places: list[tuple[int, int]] = []
        for entry in batch.entries:
            left -= 1
            places.append((entry.index, offset))
            offset += append_entry(parts, segment.salt, number, left, entry.index, entry.term, entry.kind, entry.data)
        self._write_records(segment, b"".join(parts), offset)
        self._batch = number
        with self._lock:
            segment.end = offset
            for index, place in places:
                segment.place(index, place)
        if batch.hard_state is not None:
            self.hard_state = batch.hard_state
        if batch.entries:
            self._last_index, self._last_term = batch.entries[-1].index, batch.entries[-1].term

    def _write_records(self, segment: Segment, content: bytes, end: int) -> None:
        if end > segment.allocated:
            size_bytes = -(-end // PREALLOCATE_BYTES) * PREALLOCATE_BYTES
            self._files.preallocate(segment.descriptor, segment.path, size_bytes)
            segment.allocated = size_bytes
        self._files.write(segment.descriptor, segment.path, content, segment.end)
        self._files.sync(segment.descriptor, segment.path)

    def _begin_segment(self, start: Start) -> None:
        serial = self._segments[-1].serial + 1 if self._segments else 1
        segment = create_segment(self._files, self._directory, serial, self._batch + 1, start)
        self._batch += 1
        self.hard_state = start.hard_state
        with self._lock:
            for earlier in self._segments:
                earlier.cut(start.previous_index + 1)
            self._segments.append(segment)
        self._last_index, self._last_term = start.previous_index, start.previous_term

    def _term_at(self, index: int) -> int:
        """The term of an entry in the log, or of what lies before it."""
        first = self._segments[0].start
        if index == first.previous_index:
            return first.previous_term
        return self.entries(index, index, 0)[0].term

    # --- reading and removing ---------------------------------------------------------------------------------

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Durable entries low..high, at least one, stopping once `max_bytes` is passed. Raises CorruptError."""
        with self._lock:
            for segment in reversed(self._segments):
                if segment.start.previous_index < low <= segment.last_index:
                    return segment.read(low, min(high, segment.last_index), max_bytes)
        raise AssertionError(f"entry {low} is not in the log")

    def compact(self, index: int) -> None:
        """Entries up to `index` are not needed any more: remove whole segments of them."""
        keep = 0
        for position, segment in enumerate(self._segments):
            if segment.start.previous_index <= index:
                keep = position
        self._remove_before(keep)

    def _remove_before(self, keep: int) -> None:
        with self._lock:
            removed, self._segments = self._segments[:keep], self._segments[keep:]
        for segment in removed:
            segment.close()
            # Oldest first: after a crash in between, the rest is still a log without gaps.
            segment.path.unlink()
        if removed:
            self._files.sync_directory(self._directory)

    def finish(self) -> None:
        """Mark an orderly stop, so that damage to the tail can be told from an unfinished write. Raises as `Files`."""
        segment = self._segments[-1]
        number = self._batch + 1
        content = encode(segment.salt, number, 0, RecordKind.CLOSE, b"")
        self._write_records(segment, content, segment.end + len(content))
        self._batch = number
        segment.end += len(content)

    def close(self) -> None:
        """Close the files."""
        for segment in self._segments:
            segment.close()
        self._segments.clear()


def _read_all(descriptor: int) -> bytes:
    size_bytes = os.fstat(descriptor).st_size
    pieces: list[bytes] = []
    while size_bytes > 0:
        piece = os.read(descriptor, size_bytes)
        if not piece:
            break
        pieces.append(piece)
        size_bytes -= len(piece)
    return b"".join(pieces)
