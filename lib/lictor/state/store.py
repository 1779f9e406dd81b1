"""The ordered byte keyspace under the replicated state: what a transaction can do.

Two implementations: `memory.py` (the simulator, tests) and `lmdb_store.py` (raftd, apid, dnsd). Keys and
values are bytes; keys are ordered bytewise and may be of any length; an empty value is a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class StoreError(Exception):
    """The keyspace cannot be opened, read or written."""


class ReadTxn(Protocol):
    """A consistent view of the keyspace."""

    @property
    def memory(self) -> dict[str, Any] | None:
        """What this process's readers of the store remember between views, by who they are; None: nothing.

        It lives as long as the store is open. What is in it must be checked against the view before use.
        """
        ...

    def get(self, key: bytes) -> bytes | None:
        """The value under the key, None when there is none."""
        ...

    def scan(self, prefix: bytes, start: bytes | None = None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Pairs whose key begins with the prefix, in key order (descending if reverse).

        `start` skips what lies before it in the direction of travel (the key itself is included). The keyspace must
        not be written while the iterator is in use: collect first, then write.
        """
        ...


class WriteTxn(ReadTxn, Protocol):
    """A view that may be changed; the owner of the transaction commits or abandons the whole."""

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> bool:
        """Removes the key; whether it was there."""
        ...


def prefix_end(prefix: bytes) -> bytes | None:
    """The smallest key greater than every key with the prefix; None when there is none (all bytes 0xff)."""
    trimmed = prefix.rstrip(b"\xff")
    if not trimmed:
        return None
    return trimmed[:-1] + bytes((trimmed[-1] + 1,))
