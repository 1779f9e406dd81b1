"""Configuration entries."""

from __future__ import annotations

from lictor.acl import Authorizer
from lictor.state import keys, topics
from lictor.state.queries.read import NO_OPTIONS, Read, ReadOptions, max_index
from lictor.state.rows import ConfigEntry, decode_config_entry
from lictor.state.store import ReadTxn


def may_read(authorizer: Authorizer, kind: str, name: str) -> bool:
    return kind == "proxy-defaults" or authorizer.service_read(name)


def entry(txn: ReadTxn, kind: str, name: str) -> Read[ConfigEntry | None]:
    """One entry. The caller asks `may_read` first: a refused read is an error."""
    raw = txn.get(keys.config_entry(kind, name))
    found = None if raw is None else decode_config_entry(raw)
    return Read(found, max_index(txn, "config-entries"), (topics.CONFIG,))


def entries(txn: ReadTxn, kind: str = "", options: ReadOptions = NO_OPTIONS) -> Read[list[ConfigEntry]]:
    """All entries of a kind; of every kind when it is empty."""
    prefix = keys.config_entries(kind) if kind else b"E"
    rows = (decode_config_entry(raw) for _, raw in txn.scan(prefix))
    found = [row for row in rows if may_read(options.authorizer, row.kind, row.name)]
    return Read(found, max_index(txn, "config-entries"), (topics.CONFIG,))
