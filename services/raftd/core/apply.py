"""Hands committed entries to the state machine, in order, once, and no more at a time than it can hold."""

from collections import deque

from raftd.core.entry import ENTRY_OVERHEAD_BYTES, Entry
from raftd.core.node import Node


class Applier:
    """Only entries durable in this server's own log are handed out: the state machine never runs ahead of it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._handed_index = node.applied_index
        self._inflight: deque[tuple[int, int]] = deque()
        self._inflight_bytes = 0

    def has_work(self) -> bool:
        """Whether `take` would return entries."""
        node = self._node
        end = min(node.commit_index, node.log.durable_index)
        return self._handed_index < end and self._inflight_bytes < node.config.apply_inflight_max_bytes

    def take(self) -> list[Entry]:
        """The next entries to apply, within limits."""
        node = self._node
        if node.log.first_index > self._handed_index + 1:
            self._handed_index = node.log.summary.before_index  # a snapshot took their place
        if not self.has_work():
            return []
        end = min(node.commit_index, node.log.durable_index)
        count = end - self._handed_index
        entries = list(node.log.entries(self._handed_index + 1, end, node.config.apply_max_bytes, count))
        size_bytes = sum(len(entry.data) for entry in entries) + ENTRY_OVERHEAD_BYTES * len(entries)
        self._handed_index = entries[-1].index
        self._inflight.append((self._handed_index, size_bytes))
        self._inflight_bytes += size_bytes
        return entries

    def applied(self, index: int) -> None:
        """The state machine reports its progress."""
        node = self._node
        node.applied_index = max(node.applied_index, index)
        while self._inflight and self._inflight[0][0] <= index:
            self._inflight_bytes -= self._inflight.popleft()[1]
