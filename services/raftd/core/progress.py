"""What a leader knows of one follower's log, and how much may be on its way to it (Raft dissertation 10.2).

PROBE: the position is a guess; one append at a time, until one matches. REPLICATE: entries stream, up to a window.
SNAPSHOT: what the follower needs is compacted; it gets a snapshot first.
"""

from collections import deque
from enum import StrEnum

from raftd.core.config import RaftConfig
from raftd.core.snapshot import SnapshotMeta


class ProgressState(StrEnum):
    """See the module's docstring."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


class Progress:
    """One follower. `match_index` < `next_index` always."""

    __slots__ = (
        "_inflight",
        "_inflight_bytes",
        "acked_round",
        "commit_sent",
        "contact_ns",
        "departs_at_ns",
        "id",
        "match_index",
        "matched_round",
        "next_index",
        "offset",
        "probe_sent",
        "read_sent",
        "retry_ns",
        "snapshot",
        "state",
    )

    def __init__(self, server_id: str, next_index: int) -> None:
        self.id = server_id
        self.match_index = 0
        self.matched_round = 0
        """The leader's round when it learned of `match_index`."""
        self.next_index = next_index
        self.state = ProgressState.PROBE
        self.contact_ns = 0
        self.acked_round = 0
        self.commit_sent = 0
        self.probe_sent = False
        self.departs_at_ns: int | None = None
        """For a server removed from the configuration: until when it is still told so."""
        self.snapshot: SnapshotMeta | None = None
        self.offset = 0
        self.read_sent = False
        self.retry_ns = 0
        self._inflight: deque[tuple[int, int]] = deque()
        self._inflight_bytes = 0

    def probe(self, next_index: int) -> None:
        """Guess `next_index`, and ask."""
        self._leave(ProgressState.PROBE)
        self.next_index = max(next_index, self.match_index + 1)
        self.probe_sent = False

    def replicate(self) -> None:
        """`next_index` is known to be right: stream from there."""
        self._leave(ProgressState.REPLICATE)

    def send_snapshot(self, meta: SnapshotMeta) -> None:
        """Begin with a snapshot at offset 0; the follower answers with what it already has of it."""
        self._leave(ProgressState.SNAPSHOT)
        self.snapshot = meta
        self.offset = 0
        self.read_sent = False

    def _leave(self, state: ProgressState) -> None:
        self.state = state
        self.snapshot = None
        self._inflight.clear()
        self._inflight_bytes = 0

    def has_room(self, config: RaftConfig) -> bool:
        """Whether another append may be streamed."""
        return len(self._inflight) < config.inflight_max_messages and self._inflight_bytes < config.inflight_max_bytes

    def sent(self, last_index: int, size_bytes: int) -> None:
        """An append up to `last_index` was streamed."""
        self._inflight.append((last_index, size_bytes))
        self._inflight_bytes += size_bytes
        self.next_index = last_index + 1

    def has_lost(self, hint_index: int, round_number: int) -> bool:
        """Whether a rejection proves that the log there is no longer what it was: it answers something sent after the
        follower had more than it has now."""
        return round_number > self.matched_round and hint_index < self.match_index

    def forget(self) -> None:
        """Nothing is known to be durable there any more."""
        self.match_index = 0

    def matched(self, index: int, round_number: int) -> bool:
        """Entries up to `index` are durable there, as is known in this round; returns whether that is news."""
        while self._inflight and self._inflight[0][0] <= index:
            self._inflight_bytes -= self._inflight.popleft()[1]
        if index <= self.match_index:
            return False
        self.match_index = index
        self.matched_round = round_number
        self.next_index = max(self.next_index, index + 1)
        return True
