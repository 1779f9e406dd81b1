"""What makes a registration durable with one sync, however many documents it is made of.

The documents' own files are written without a sync: they outlive a killed process as they are. Only after an unclean
stop of the machine may they lack what was acknowledged last, and that is in the journal, which is synced before
anything is acknowledged. Two files take turns: while one fills, the documents that the other one holds are synced in
the background; then it is written over.

A record: magic, generation of the file, length and CRC of what follows; a JSON list of [folder, file name, document
or null]. A file ends where a record is damaged or of an earlier generation.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from checkd.core.effects import CHECKS, SERVICES

CAPACITY_BYTES = 2 << 20
"""Of each file; a larger batch makes its file longer. Filled with zeros at first, so that a sync writes data alone."""
FILE_MODE = 0o600
MAGIC = b"LJ01"
HEADER = struct.Struct("<4sQII")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

Entry = tuple[str, str, dict[str, Any] | None]
"""Folder, file name, document; None: the document was removed."""


def boot_id() -> str:
    """Which start of the machine this is; empty where the system does not tell."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Journal:
    """Two files in `directory`. `settle` syncs the documents of the given folders and names; it runs in a thread.

    Every call blocks; `append` and `close` raise OSError.
    """

    def __init__(
        self, directory: Path, settle: Callable[[set[tuple[str, str]]], None], capacity_bytes: int = CAPACITY_BYTES
    ) -> None:
        self._directory = directory
        self._settle = settle
        self._capacity_bytes = capacity_bytes
        self._files: list[int] = []
        self._current = 0
        self._generation = 0
        self._end = 0
        self._touched: set[tuple[str, str]] = set()
        self._settler = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkd-settle")
        self._settling: Future[None] | None = None

    def recover(self, this_boot: str) -> list[Entry]:
        """What the documents' files may lack, oldest first. Call it first, then write that and `reset`."""
        try:
            same = (self._directory / "boot").read_text() == this_boot
        except OSError:
            same = False
        if same and this_boot:
            return []
        found: list[tuple[int, list[Entry]]] = []
        for number in range(2):
            try:
                content = self._path(number).read_bytes()
            except FileNotFoundError:
                continue
            records = list(_records(content))
            if records:
                found.append((records[0][0], [entry for _, entries in records for entry in entries]))
        return [entry for _, entries in sorted(found, key=lambda each: each[0]) for entry in entries]

    def reset(self, this_boot: str) -> None:
        """Begin anew: what was in the journal is in the documents' files, synced."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(2):
            self._path(number).unlink(missing_ok=True)
        (self._directory / "boot").write_text(this_boot)
        _sync_folder(self._directory)

    def append(self, entries: list[Entry]) -> None:
        """Returns when the entries are on disk."""
        if not entries:
            return
        payload = json.dumps(entries, separators=(",", ":")).encode()
        if not self._files:
            self._open()
        elif self._end and self._end + HEADER.size + len(payload) > self._capacity_bytes:
            self._turn()
        descriptor = self._files[self._current]
        self._touched.update((folder, name) for folder, name, _ in entries)
        _write_at(descriptor, _header(self._generation, payload) + payload, self._end)
        os.fdatasync(descriptor)
        # A record whose sync failed is written over by the next.
        self._end += HEADER.size + len(payload)

    def close(self) -> None:
        """Sync all documents; the journal is empty afterwards."""
        try:
            if self._settling is not None:
                self._settling.result()
            if self._files:
                self._settle(self._touched)
                for number, descriptor in enumerate(self._files):
                    os.close(descriptor)
                    self._path(number).unlink(missing_ok=True)
        finally:
            self._files, self._settling = [], None
            self._settler.shutdown()

    def _open(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files.append(self._create(0))
        self._generation += 1
        _sync_folder(self._directory)

    def _create(self, number: int) -> int:
        descriptor = os.open(self._path(number), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        try:
            _write_at(descriptor, bytes(self._capacity_bytes), 0)
            os.fsync(descriptor)
        except OSError:
            os.close(descriptor)
            self._path(number).unlink(missing_ok=True)
            raise
        return descriptor

    def _turn(self) -> None:
        """Go on in the other file, which waits until its own documents are synced; sync this one's meanwhile."""
        if self._settling is not None:
            self._settling.result()
        if len(self._files) == 1:
            self._files.append(self._create(1))
            _sync_folder(self._directory)
        self._settling = self._settler.submit(self._settle, self._touched)
        self._touched = set()
        self._current = 1 - self._current
        self._generation += 1
        self._end = 0

    def _path(self, number: int) -> Path:
        return self._directory / f"journal-{number}"


def _header(generation: int, payload: bytes) -> bytes:
    check = zlib.crc32(payload, zlib.crc32(generation.to_bytes(8, "little")))
    return HEADER.pack(MAGIC, generation, len(payload), check)


def _records(content: bytes) -> Iterator[tuple[int, list[Entry]]]:
    """Generation and entries of each record, up to the first that does not belong."""
    offset, first = 0, None
    while offset + HEADER.size <= len(content):
        magic, generation, length, _ = HEADER.unpack_from(content, offset)
        payload = content[offset + HEADER.size : offset + HEADER.size + length]
        if magic != MAGIC or len(payload) != length or (first is not None and generation != first):
            return
        if _header(generation, payload) != content[offset : offset + HEADER.size]:
            return
        first = generation
        yield generation, [_entry(folder, name, document) for folder, name, document in json.loads(payload)]
        offset += HEADER.size + length


def _entry(folder: str, name: str, document: dict[str, Any] | None) -> Entry:
    assert folder in (SERVICES, CHECKS) and "/" not in name, "only what this module wrote has the right CRC"
    return folder, name, document


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        count = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[count:], offset + count


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
