"""What the core asks of its driver: one `Ready` at a time.

The driver's duties, in this order for each `Ready`:

1. Publish `soft_state` (the shared page), before any message leaves: a revoked lease must be seen revoked first.
2. Send `messages`. All of them may go at once; what must wait for durability the core itself holds back.
3. If `sequence` is not 0, hand (`log_reset`, `hard_state`, `entries`) to the log writer. Writes happen in order of
   sequence; several may share one fsync. When durable: `Raft.persisted(now, sequence)` (it covers all up to it).
   `entries[0].index` may be at or below the last index written: the log is cut there first. `log_reset` means: forget
   every entry; the log goes on after that snapshot's index.
4. `snapshot_restore`, if any, then `committed`, in order, to the state machine, then `Raft.applied(now, last index)`.
   Everything handed out is durable in this server's log. Answer a write's client only after applying it here.
5. `snapshot_reads` and `snapshot_writes`: see their types.
6. Answer reads: a `ReadState` once the applied index reaches `index`, a `ReadFailure` at once.

A proposal at (index, term) has succeeded when an entry of that term is applied at that index, and is lost for certain
when one of another term is. Until then, also after losing leadership or when the entry was cut off this server's log,
its outcome is unknown: another server may hold it and commit it. A `snapshot_restore` leaves those it covers unknown
for good.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from raftd.core.configuration import Configuration
from raftd.core.entry import Entry, HardState
from raftd.core.messages import Message
from raftd.core.snapshot import SnapshotMeta, SnapshotRead, SnapshotWrite


class RoleName(StrEnum):
    """What a server is at the moment; Consul's names where it shows them."""

    FOLLOWER = "Follower"
    PRE_CANDIDATE = "PreCandidate"
    CANDIDATE = "Candidate"
    LEADER = "Leader"


@dataclass(frozen=True, slots=True)
class SoftState:
    """What readers and metrics want to know; changes without anything being stored."""

    role: RoleName
    term: int
    leader_id: str
    """"" when unknown."""
    commit_index: int
    lease_expiry_ns: int
    """While the clock (the one `now_ns` comes from) is below this, this server may answer linearizable reads from its
    applied state without asking anyone. 0: it may not."""
    sole_voter: bool = False
    """Nobody else has a vote, so that nobody can be elected beside this server, lease or not."""


@dataclass(frozen=True, slots=True)
class ReadState:
    """The read `context` may be answered from any state applied up to `index` or later."""

    context: int
    index: int


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """The read `context` cannot be confirmed (leadership lost, no answer); it may be asked again."""

    context: int


@dataclass(slots=True)
class Ready:
    """Effects gathered since the last one. See the module's docstring for what to do with each."""

    sequence: int = 0
    hard_state: HardState | None = None
    log_reset: SnapshotMeta | None = None
    entries: list[Entry] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)
    committed: list[Entry] = field(default_factory=list)
    snapshot_restore: SnapshotMeta | None = None
    snapshot_reads: list[SnapshotRead] = field(default_factory=list)
    snapshot_writes: list[SnapshotWrite] = field(default_factory=list)
    reads: list[ReadState] = field(default_factory=list)
    read_failures: list[ReadFailure] = field(default_factory=list)
    soft_state: SoftState | None = None
    """The new one, if anything in it changed."""
    configuration: Configuration | None = None
    """The new one, if another configuration came into force (appended, cut off, or from a snapshot)."""
