"""Raft messages as bytes between servers: MessagePack arrays whose first item numbers the type.

Numbers and the order of fields never change; new fields go at the end. Entries that several followers get in one
`Ready` are encoded once (`EntryEncoder`).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from raftd.core.configuration import Configuration
from raftd.core.entry import Entry, EntryKind
from raftd.core.errors import CorruptConfigurationError
from raftd.core.messages import (
    AppendRequest,
    AppendResponse,
    Message,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotChunk,
    SnapshotChunkResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
)
from raftd.core.snapshot import SnapshotMeta

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class MalformedMessageError(ValueError):
    """Bytes from another server that are no Raft message."""


class EntryEncoder:
    """Encodes messages, remembering the last tuple of entries by identity."""

    def __init__(self) -> None:
        self._entries: tuple[Entry, ...] = ()
        self._encoded = msgspec.Raw(_encode(()))

    def encode(self, message: Message) -> bytes:
        """One message."""
        if type(message) is AppendRequest:
            if message.entries is not self._entries:
                self._entries = message.entries
                self._encoded = msgspec.Raw(_encode(message.entries))
            return _encode(
                (
                    3,
                    message.source,
                    message.target,
                    message.term,
                    message.round,
                    message.prev_index,
                    message.prev_term,
                    message.commit_index,
                    self._encoded,
                )
            )
        if type(message) is SnapshotChunk:
            m = message
            return _encode((5, m.source, m.target, m.term, m.round, _meta_fields(m.meta), m.offset, m.data))
        number, fields = _PLAIN[type(message)]
        return _encode((number, *(getattr(message, field) for field in fields)))


def decode_message(data: bytes) -> Message:
    """The message in these bytes. Raises MalformedMessageError."""
    try:
        number, *fields = _decode(data)
        return _MAKERS[number](*fields)
    except (msgspec.DecodeError, CorruptConfigurationError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise MalformedMessageError(f"not a Raft message: {error!r}") from error


def _meta_fields(meta: SnapshotMeta) -> tuple[Any, ...]:
    return (
        meta.id,
        meta.index,
        meta.term,
        meta.configuration.encode(),
        meta.configuration_index,
        meta.size_bytes,
    )


def _make_append(
    source: str,
    target: str,
    term: int,
    number: int,
    prev_index: int,
    prev_term: int,
    commit_index: int,
    rows: list[tuple[int, int, int, bytes]],
) -> Message:
    entries = tuple(Entry(index, entry_term, EntryKind(kind), data) for index, entry_term, kind, data in rows)
    return AppendRequest(source, target, term, number, prev_index, prev_term, commit_index, entries)


def _make_chunk(source: str, target: str, term: int, number: int, meta: list[Any], offset: int, data: bytes) -> Message:
    snapshot_id, index, meta_term, configuration, configuration_index, size_bytes = meta
    decoded = SnapshotMeta(
        snapshot_id, index, meta_term, Configuration.decode(configuration), configuration_index, size_bytes
    )
    return SnapshotChunk(source, target, term, number, decoded, offset, data)


_NUMBERS: dict[int, type] = {
    1: VoteRequest,
    2: VoteResponse,
    4: AppendResponse,
    6: SnapshotChunkResponse,
    7: TimeoutNow,
    8: ReadIndexRequest,
    9: ReadIndexResponse,
}
_PLAIN: dict[type, tuple[int, tuple[str, ...]]] = {
    kind: (number, tuple(kind.__dataclass_fields__))  # type: ignore[attr-defined]
    for number, kind in _NUMBERS.items()
}
_MAKERS: dict[int, Callable[..., Message]] = {3: _make_append, 5: _make_chunk, **_NUMBERS}
