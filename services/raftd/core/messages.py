"""Messages between servers (Raft dissertation, figures 3.1, 5.3 and chapters 6, 9). All may be lost, doubled or late.

Every leader message carries `round`, a number the leader raises for each heartbeat and each batch of reads; the answer
returns it. A quorum answering round r proves that the leader still led when r began: leases and ReadIndex rest on it.
"""

from dataclasses import dataclass

from raftd.core.entry import Entry
from raftd.core.snapshot import SnapshotMeta


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """Candidate to voters. In a pre-vote (9.6) `term` is the term it would campaign in; nobody's term changes."""

    source: str
    target: str
    term: int
    last_index: int
    last_term: int
    pre_vote: bool
    transfer: bool
    """The leader asked for this election: voters answer although they hear that leader (3.10)."""


@dataclass(frozen=True, slots=True)
class VoteResponse:
    """A granted pre-vote returns the request's term, all other answers the voter's own."""

    source: str
    target: str
    term: int
    pre_vote: bool
    granted: bool


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """AppendEntries. Without entries it is a heartbeat, a probe, or news of a higher commit index.

    Followers at the same position get the identical `entries` tuple in one `Ready`: encode it once, by identity.
    """

    source: str
    target: str
    term: int
    round: int
    prev_index: int
    prev_term: int
    commit_index: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class AppendResponse:
    """`success`: entries up to `match_index` are durable here and equal the leader's.

    Not `success`: no match at `rejected_index`; a common entry can be at most at `hint_index` with a term of at most
    `hint_term`. All four numbers are 0 when unused.
    """

    source: str
    target: str
    term: int
    round: int
    success: bool
    match_index: int
    rejected_index: int
    hint_index: int
    hint_term: int


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """A piece of a snapshot; `meta.size_bytes` tells when it is the last."""

    source: str
    target: str
    term: int
    round: int
    meta: SnapshotMeta
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SnapshotChunkResponse:
    """`next_offset` is what the follower has of `snapshot_id`, wherever the leader thought it was.

    `match_index` is 0 until the follower has all it needs up to that index durably (then the transfer is over).
    """

    source: str
    target: str
    term: int
    round: int
    snapshot_id: str
    next_offset: int
    match_index: int


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """Leader to its chosen successor: campaign at once (3.10)."""

    source: str
    target: str
    term: int


@dataclass(frozen=True, slots=True)
class ReadIndexRequest:
    """A follower's batch of reads asks the leader for a safe index (6.4)."""

    source: str
    target: str
    term: int
    request_id: int


@dataclass(frozen=True, slots=True)
class ReadIndexResponse:
    """Reads of batch `request_id` may be answered from a state at `index` or later; 0: refused, ask again."""

    source: str
    target: str
    term: int
    request_id: int
    index: int


Message = (
    VoteRequest
    | VoteResponse
    | AppendRequest
    | AppendResponse
    | SnapshotChunk
    | SnapshotChunkResponse
    | TimeoutNow
    | ReadIndexRequest
    | ReadIndexResponse
)
