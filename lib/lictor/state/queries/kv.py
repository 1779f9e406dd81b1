"""Keys: one, a prefix, names up to a separator."""

from __future__ import annotations

from collections.abc import Iterable

from lictor.acl import ALLOW_ALL, Authorizer
from lictor.state import keys, topics
from lictor.state.queries.read import Read, max_index
from lictor.state.rows import KVEntry, decode_kv
from lictor.state.store import ReadTxn

Pair = tuple[bytes, KVEntry]


def get(txn: ReadTxn, key: bytes) -> Read[KVEntry | None]:
    """One key. The caller asks its authorizer for `key_read` first: a refused read is an error, not an absence."""
    raw = txn.get(b"K" + key)
    waits = (topics.kv(key),)
    if raw is None:
        return Read(None, max_index(txn, "kvs", "tombstones"), waits)
    entry = decode_kv(raw)
    return Read(entry, entry.modify_index, waits)


def list_prefix(txn: ReadTxn, prefix: bytes, authorizer: Authorizer = ALLOW_ALL) -> Read[list[Pair]]:
    """Every readable key under the prefix."""
    pairs = [(key[1:], decode_kv(raw)) for key, raw in txn.scan(b"K" + prefix)]
    index = _index(txn, prefix, (entry.modify_index for _, entry in pairs))
    if not authorizer.allows_all:
        pairs = [pair for pair in pairs if authorizer.key_read(_text(pair[0]))]
    return Read(pairs, index, (topics.kv_prefix(prefix),))


def key_names(
    txn: ReadTxn, prefix: bytes, separator: bytes = b"", authorizer: Authorizer = ALLOW_ALL
) -> Read[list[bytes]]:
    """Names of readable keys under the prefix, each cut after the first separator behind it, without repetition."""
    names: dict[bytes, None] = {}
    newest = 0
    length = len(prefix)
    for record, raw in txn.scan(b"K" + prefix):
        newest = max(newest, decode_kv(raw).modify_index)
        key = record[1:]
        if not authorizer.allows_all and not authorizer.key_read(_text(key)):
            continue
        if separator:
            position = key.find(separator, length)
            if position >= 0:
                key = key[: position + len(separator)]
        names[key] = None
    index = _index(txn, prefix, (newest,))
    return Read(list(names), index, (topics.kv_prefix(prefix),))


def _index(txn: ReadTxn, prefix: bytes, modify_indexes: Iterable[int]) -> int:
    """The newest change under the prefix, tombstones included; the table's for the root or when there is none."""
    if not prefix:
        return max_index(txn, "kvs", "tombstones")
    newest = max(modify_indexes, default=0)
    for _, raw in txn.scan(keys.tombstone(prefix)):
        newest = max(newest, int.from_bytes(raw, "big"))
    return newest or max_index(txn, "kvs", "tombstones")


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
