"""Replacing the whole replicated state by an archive, through the log, so that every server does it at one index.

The archive travels as chunks in entries of their own kind (first byte 0xC1, which no command begins with); they wait in
the store under a reserved key until the last entry puts them together. Consul lets the Raft index jump above the
archive's; here the log goes on as it was, and the state keeps an offset instead: what a command applied at log index i
writes has index i + offset, so that no index ever goes back.
"""

import io
from collections.abc import Iterator

import msgspec

from lictor.state.commands import Done, Failed, Result
from lictor.state.memory import MemoryStore
from lictor.state.store import ReadTxn, WriteTxn

MARK = b"\xc1"
"""First byte of these entries' data; MessagePack never uses it."""
CHUNK_BYTES = 512 << 10
ARCHIVE_MAX_BYTES = 2 << 30
OFFSET_KEY = b"Moffset"
RESTORED_KEY = b"Mrestored"
"""8 bytes, big endian: the highest index of the archive restored last."""
_CHUNK_PREFIX = b"Mrestore\0"
_KEPT_PREFIX = b"M"
"""Facts about the store itself, which no archive holds."""


class UnsoundArchiveError(Exception):
    """The archive is damaged or not understood."""


class Chunk(msgspec.Struct, array_like=True, frozen=True, tag="chunk"):
    """A piece of the archive `restore_id`; number 0 drops what others left behind."""

    restore_id: bytes
    number: int
    data: bytes


class Finish(msgspec.Struct, array_like=True, frozen=True, tag="finish"):
    """All `count` pieces are there: replace the state."""

    restore_id: bytes
    count: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Chunk | Finish).decode


def encode_step(step: Chunk | Finish) -> bytes:
    """An entry's data."""
    return MARK + _encode(step)


def read_offset(txn: ReadTxn) -> int:
    """What is added to log indexes."""
    raw = txn.get(OFFSET_KEY)
    return int.from_bytes(raw, "big") if raw is not None else 0


def read_restored_index(txn: ReadTxn) -> int:
    """What has this index or a lower one came with an archive and has not changed since; 0 when none was restored."""
    raw = txn.get(RESTORED_KEY)
    return int.from_bytes(raw, "big") if raw is not None else 0


def apply_step(txn: WriteTxn, index: int, data: bytes) -> tuple[Result, bool]:
    """Apply one entry at log index `index`; the result, and whether the state was replaced."""
    try:
        step = _decode(data[len(MARK) :])
    except msgspec.DecodeError as error:
        return Failed(f"restore step at index {index} is not understood: {error}"), False
    if isinstance(step, Chunk):
        if step.number == 0:
            _drop_chunks(txn)
        txn.put(_chunk_key(step.restore_id, step.number), step.data)
        return Done(), False
    pieces = [txn.get(_chunk_key(step.restore_id, number)) for number in range(step.count)]
    _drop_chunks(txn)
    if any(piece is None for piece in pieces):
        return Failed("failed to restore snapshot: another restore came in between"), False
    try:
        loaded = load(b"".join(piece for piece in pieces if piece is not None))
    except UnsoundArchiveError as error:
        return Failed(str(error)), False
    _replace(txn, loaded, max(loaded.last_index + 1 - index, 0, read_offset(txn)))
    return Done(), True


class Loaded(msgspec.Struct, frozen=True):
    """An archive read into memory, and the highest index in it."""

    store: MemoryStore
    last_index: int


def load(archive: bytes) -> Loaded:
    """Read and check a whole archive. Raises UnsoundArchiveError."""
    # Rare, and slow to import: a server starts without it.
    from lictor.state.consul_archive import ArchiveError, load_archive

    store = MemoryStore()
    try:
        with store.write() as txn:
            meta = load_archive(txn, io.BytesIO(archive))
    except ArchiveError as error:
        raise UnsoundArchiveError(str(error)) from error
    tables = [int.from_bytes(raw, "big") for _, raw in store.scan(b"I")]
    return Loaded(store, max(meta.index, *tables) if tables else meta.index)


def steps(restore_id: bytes, archive: bytes) -> Iterator[bytes]:
    """The data of the entries that carry an archive, in order."""
    count = 0
    for start in range(0, len(archive), CHUNK_BYTES):
        yield encode_step(Chunk(restore_id, count, archive[start : start + CHUNK_BYTES]))
        count += 1
    yield encode_step(Finish(restore_id, count))


def _replace(txn: WriteTxn, loaded: Loaded, offset: int) -> None:
    for key in [key for key, _ in txn.scan(b"") if not key.startswith(_KEPT_PREFIX)]:
        txn.delete(key)
    for key, value in loaded.store.items():
        txn.put(key, value)
    txn.put(OFFSET_KEY, offset.to_bytes(8, "big"))
    txn.put(RESTORED_KEY, loaded.last_index.to_bytes(8, "big"))


def _chunk_key(restore_id: bytes, number: int) -> bytes:
    return _CHUNK_PREFIX + restore_id + number.to_bytes(8, "big")


def _drop_chunks(txn: WriteTxn) -> None:
    for key in [key for key, _ in txn.scan(_CHUNK_PREFIX)]:
        txn.delete(key)
