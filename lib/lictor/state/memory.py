"""The keyspace in memory: a dict and a sorted list of its keys. For the simulator and for tests."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from contextlib import contextmanager

from lictor.state.store import prefix_end


class MemoryStore:
    """One transaction at a time; a write that raises is undone by its journal."""

    memory = None
    """Nothing is remembered: a reader may see what is then undone."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._undo: list[tuple[bytes, bytes | None]] | None = None

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def scan(self, prefix: bytes, start: bytes | None = None, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        end = prefix_end(prefix)
        low = bisect_left(self._keys, prefix)
        high = len(self._keys) if end is None else bisect_left(self._keys, end)
        if start is not None and reverse:
            high = min(high, bisect_right(self._keys, start))
        elif start is not None:
            low = max(low, bisect_left(self._keys, start))
        chosen = self._keys[low:high]
        if reverse:
            chosen.reverse()
        return ((key, self._values[key]) for key in chosen)

    def put(self, key: bytes, value: bytes) -> None:
        old = self._values.get(key)
        if self._undo is not None:
            self._undo.append((key, old))
        if old is None:
            insort(self._keys, key)
        self._values[key] = value

    def delete(self, key: bytes) -> bool:
        old = self._values.pop(key, None)
        if old is None:
            return False
        if self._undo is not None:
            self._undo.append((key, old))
        del self._keys[bisect_left(self._keys, key)]
        return True

    @contextmanager
    def read(self) -> Iterator[MemoryStore]:
        yield self

    @contextmanager
    def write(self) -> Iterator[MemoryStore]:
        assert self._undo is None, "memory store: a write is already open"
        self._undo = []
        try:
            yield self
        except BaseException:
            undo, self._undo = self._undo, None
            for key, old in reversed(undo):
                if old is None:
                    self.delete(key)
                else:
                    self.put(key, old)
            raise
        finally:
            self._undo = None

    def items(self) -> list[tuple[bytes, bytes]]:
        """Everything, in key order."""
        return [(key, self._values[key]) for key in self._keys]
