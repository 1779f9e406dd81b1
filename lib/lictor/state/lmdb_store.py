"""The keyspace in an LMDB environment: one writing process, any number of reading ones.

LMDB limits a key to 511 bytes; ours are of any length. Keys up to 510 bytes are stored as they are. Longer ones share
one record per 510-byte head: its key is the head plus a zero byte (511 bytes, a length no other record has) and its
value the sorted pairs of tail and value. Bytewise order is kept: the head itself sorts before its longer keys, and
every key that shares the head is in that record.

The Raft log is what is durable, so commits do not sync (`Design: section 4`); `sync()` does, before a snapshot.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from lictor.state.store import StoreError

MAP_SIZE_BYTES = 64 << 30
"""Address space, not disk: the file is sparse and grows as it is written."""
MAX_READERS = 512
"""Reader slots over all processes."""
HEAD_BYTES = 510
"""Longest key that has a record of its own."""

_Tails = list[tuple[bytes, bytes]]
_decode_tails = msgspec.msgpack.Decoder(_Tails).decode
_encode_tails = msgspec.msgpack.Encoder().encode


class LmdbTxn:
    """A transaction, reading or writing; valid inside the context manager that gave it."""

    __slots__ = ("_get", "_txn", "memory")

    def __init__(self, txn: Any, memory: dict[str, Any] | None = None) -> None:
        self._txn = txn
        self._get = txn.get
        self.memory = memory

    def get(self, key: bytes) -> bytes | None:
        if len(key) <= HEAD_BYTES:
            value: bytes | None = self._get(key)
            return value
        tails, position = self._find(key)
        if position < len(tails) and tails[position][0] == key[HEAD_BYTES:]:
            return tails[position][1]
        return None

    def put(self, key: bytes, value: bytes) -> None:
        if len(key) <= HEAD_BYTES:
            self._txn.put(key, value)
            return
        tails, position = self._find(key)
        tail = key[HEAD_BYTES:]
        if position < len(tails) and tails[position][0] == tail:
            tails[position] = (tail, value)
        else:
            tails.insert(position, (tail, value))
        self._txn.put(key[:HEAD_BYTES] + b"\0", _encode_tails(tails))

    def delete(self, key: bytes) -> bool:
        if len(key) <= HEAD_BYTES:
            return bool(self._txn.delete(key))
        tails, position = self._find(key)
        if position == len(tails) or tails[position][0] != key[HEAD_BYTES:]:
            return False
        del tails[position]
        record = key[:HEAD_BYTES] + b"\0"
        if tails:
            self._txn.put(record, _encode_tails(tails))
        else:
            self._txn.delete(record)
        return True

    def scan(self, prefix: bytes, start: bytes | None = None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        if reverse:
            return self._scan_reverse(prefix, start)
        return self._scan_forward(prefix, start)

    def _find(self, key: bytes) -> tuple[_Tails, int]:
        raw = self._get(key[:HEAD_BYTES] + b"\0")
        tails = _decode_tails(raw) if raw is not None else []
        return tails, bisect_left(tails, (key[HEAD_BYTES:], b""))

    def _scan_forward(self, prefix: bytes, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        first = prefix if start is None or start < prefix else start
        cursor = self._txn.cursor()
        try:
            if not cursor.set_range(first[:HEAD_BYTES]):
                return
            if len(first) > HEAD_BYTES:
                yield from self._from_long(cursor, prefix, first)
                return
            for key, value in cursor:
                if len(key) <= HEAD_BYTES:
                    if not key.startswith(prefix):
                        return
                    yield key, value
                else:
                    head = key[:HEAD_BYTES]
                    if not head.startswith(prefix):
                        return
                    for tail, tail_value in _decode_tails(value):
                        yield head + tail, tail_value
        finally:
            cursor.close()

    def _from_long(self, cursor: Any, prefix: bytes, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        """As above for a beginning that is itself too long to be a record's key."""
        head = prefix[:HEAD_BYTES]
        for key, value in cursor:
            if not key.startswith(head):
                return
            if len(key) <= HEAD_BYTES:
                if key >= first and key.startswith(prefix):
                    yield key, value
                continue
            for tail, tail_value in _decode_tails(value):
                whole = key[:HEAD_BYTES] + tail
                if whole >= first and whole.startswith(prefix):
                    yield whole, tail_value

    def _scan_reverse(self, prefix: bytes, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        head = prefix[:HEAD_BYTES]
        with self._txn.cursor() as cursor:
            for key, value in _backwards(cursor, head, start):
                if len(key) <= HEAD_BYTES:
                    if key.startswith(prefix) and (start is None or key <= start):
                        yield key, value
                    continue
                for tail, tail_value in reversed(_decode_tails(value)):
                    whole = key[:HEAD_BYTES] + tail
                    if whole.startswith(prefix) and (start is None or whole <= start):
                        yield whole, tail_value


def _backwards(cursor: Any, head: bytes, start: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    """Physical records with the head, from the last one that may hold a key up to start, descending."""
    end = head.ljust(HEAD_BYTES + 1, b"\xff")
    if start is not None:
        end = min(end, start[:HEAD_BYTES] + b"\0" if len(start) > HEAD_BYTES else start)
    if cursor.set_range(end):
        if cursor.key() > end and not cursor.prev():
            return
    elif not cursor.last():
        return
    while True:
        key = cursor.key()
        if not key.startswith(head):
            return
        yield key, cursor.value()
        if not cursor.prev():
            return


class Reading:
    """One read transaction; the view ends with the block."""

    __slots__ = ("_env", "_memory", "_txn")

    def __init__(self, env: Any, memory: dict[str, Any] | None) -> None:
        self._env = env
        self._memory = memory

    def __enter__(self) -> LmdbTxn:
        self._txn = txn = self._env.begin()
        return LmdbTxn(txn, self._memory)

    def __exit__(self, *exception: object) -> None:
        self._txn.abort()


class LmdbStore:
    """An open environment. Not for use across a fork: open it in the process that uses it."""

    def __init__(self, env: Any, readonly: bool) -> None:
        self._env = env
        self.readonly = readonly
        self._memory: dict[str, Any] | None = {} if readonly else None

    def read(self) -> Reading:
        """A consistent view of the last commit, for a `with` block.

        The binding keeps finished read transactions and their reader slots (`max_spare_txns`) and renews them:
        microseconds, and no lock shared with the other processes.
        """
        return Reading(self._env, self._memory)

    @contextmanager
    def write(self) -> Iterator[LmdbTxn]:
        """A write transaction: committed at the end, abandoned when the block raises."""
        assert not self.readonly, "lmdb store: opened read-only"
        try:
            with self._env.begin(write=True, buffers=False) as txn:
                yield LmdbTxn(txn)
        except lmdb.Error as error:
            raise StoreError(f"state file {self._env.path()}: {error}") from error

    def sync(self) -> None:
        """Forces everything committed to disk."""
        self._env.sync(True)

    def copy(self, path: Path) -> None:
        """Writes a consistent, compacted copy to a file (made for it, must not exist); writers go on meanwhile."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            self._env.copyfd(descriptor, compact=True)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def release_dead_readers(self) -> int:
        """Frees reader slots of processes that were killed; how many. The writer calls it now and then."""
        return int(self._env.reader_check())

    def close(self) -> None:
        self._env.close()


def open_store(path: Path, readonly: bool = False, map_size_bytes: int = MAP_SIZE_BYTES) -> LmdbStore:
    """Opens (and unless read-only, creates) the environment in the directory.

    Errors: StoreError when it does not exist (read-only), is damaged, or cannot be mapped.
    """
    if not readonly:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        env = lmdb.open(
            str(path),
            map_size=map_size_bytes,
            readonly=readonly,
            create=not readonly,
            sync=False,
            metasync=False,
            writemap=False,
            readahead=False,
            max_readers=MAX_READERS,
            max_spare_txns=16,
            subdir=True,
            mode=0o600,
        )
    except (lmdb.Error, OSError) as error:
        raise StoreError(f"state file {path}: {error}") from error
    store = LmdbStore(env, readonly)
    if not readonly:
        store.release_dead_readers()
    return store
