"""The Raft server: a plain object; every input carries the time, effects wait in `ready()`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raftd.core.config import RaftConfig
from raftd.core.configuration import Configuration, ConfigurationChange
from raftd.core.effects import Ready, SoftState
from raftd.core.entry import HardState
from raftd.core.log_summary import LogReader, LogSummary
from raftd.core.messages import Message
from raftd.core.snapshot import SnapshotMeta


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a leader knows of another server, for autopilot and metrics."""

    id: str
    match_index: int
    next_index: int
    state: str
    """"probe", "replicate" or "snapshot"."""
    last_contact_ns: int
    """When it last answered, 0 if not in this term."""


class Raft:
    """One server. Not thread-safe. `now_ns` must never go back, and must be read after what it accompanies was received.

    `draw(low, high)` returns a random integer in low..high inclusive (e.g. `random.Random(seed).randint`).
    """

    def __init__(
        self,
        config: RaftConfig,
        now_ns: int,
        draw: Callable[[int, int], int],
        reader: LogReader,
        hard_state: HardState,
        log: LogSummary,
        snapshot: SnapshotMeta | None,
        applied_index: int,
    ) -> None:
        """Start from what is durable: all empty on a new server.

        `log` describes the stored log and is owned by the core from here on; `snapshot` is the newest complete one.
        A log that does not reach or match the snapshot (a crash in the middle of an install) is reset in the first
        `Ready`. `applied_index` is the state machine's, at least the snapshot's index.
        """
        raise NotImplementedError

    # --- what the outside may look at -------------------------------------------------------------------------

    @property
    def soft_state(self) -> SoftState:
        """Role, term, leader, commit index and lease, as of the last input."""
        raise NotImplementedError

    @property
    def configuration(self) -> Configuration:
        """The configuration in force: the latest in the log, committed or not."""
        raise NotImplementedError

    @property
    def configuration_index(self) -> int:
        """Index of the entry that holds `configuration`."""
        raise NotImplementedError

    @property
    def first_index(self) -> int:
        """First log index kept."""
        raise NotImplementedError

    @property
    def last_index(self) -> int:
        """Last log index, durable or not."""
        raise NotImplementedError

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        raise NotImplementedError

    @property
    def applied_index(self) -> int:
        """As last reported by `applied`."""
        raise NotImplementedError

    @property
    def last_contact_ns(self) -> int:
        """When a leader was last heard (0: never since start); on a leader, when a quorum last answered."""
        raise NotImplementedError

    def peers(self) -> list[PeerStatus]:
        """On the leader: every other member and removed ones still being told; empty elsewhere."""
        raise NotImplementedError

    def wake_at(self) -> int | None:
        """Call `tick` at this time at the latest; None: nothing is waiting for time to pass."""
        raise NotImplementedError

    def has_ready(self) -> bool:
        """Whether `ready()` would hold anything."""
        raise NotImplementedError

    def ready(self) -> Ready:
        """Take the effects gathered so far. Must be carried out as `raftd.core.effects` says."""
        raise NotImplementedError

    # --- inputs -----------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Let time pass: timers that are due fire. Calling it more often does no harm."""
        raise NotImplementedError

    def step(self, now_ns: int, message: Message) -> None:
        """Take a message from another server. Messages for somebody else or from strangers are ignored where unsafe."""
        raise NotImplementedError

    def propose(self, now_ns: int, data: Sequence[bytes]) -> tuple[int, int]:
        """Append commands; returns (index of the first, term). All or none are taken.

        Raises NotLeaderError, TransferInProgressError, UncommittedLimitError, EntryTooLargeError.
        """
        raise NotImplementedError

    def propose_barrier(self, now_ns: int) -> tuple[int, int]:
        """Append an empty entry: once applied, everything before it is. Raises as `propose`."""
        raise NotImplementedError

    def propose_configuration_change(
        self, now_ns: int, change: ConfigurationChange, expected_index: int = 0
    ) -> tuple[int, int]:
        """Append a configuration with one server changed; returns (index, term).

        `expected_index` not 0: refuse unless it is the current `configuration_index`. Raises NotLeaderError,
        TransferInProgressError, ConfigurationChangeError.
        """
        raise NotImplementedError

    def read_index(self, now_ns: int, contexts: Sequence[int]) -> None:
        """Ask for a safe read index for each context (numbers of the driver's choice); on a follower through the leader.

        Answered by `Ready.reads` or `Ready.read_failures`. Raises NoLeaderError, TooManyReadsError.
        """
        raise NotImplementedError

    def transfer_leadership(self, now_ns: int, target_id: str = "") -> str:
        """Hand leadership to `target_id`, or to the most advanced voter; returns who it is.

        Proposals are refused until it is done or an election timeout has passed. Raises NotLeaderError,
        TransferInProgressError, TransferTargetError.
        """
        raise NotImplementedError

    def bootstrap(self, now_ns: int, configuration: Configuration) -> None:
        """Make this the first configuration of a new cluster; all its servers may do so, with an equal one.

        Raises AlreadyBootstrappedError.
        """
        raise NotImplementedError

    def persisted(self, now_ns: int, sequence: int) -> None:
        """Everything in `Ready`s up to `sequence` is durable."""
        raise NotImplementedError

    def applied(self, now_ns: int, index: int) -> None:
        """The state machine has applied up to `index` (by entries or by a snapshot restored)."""
        raise NotImplementedError

    def snapshot_taken(self, now_ns: int, meta: SnapshotMeta) -> None:
        """A snapshot of this server's state machine is complete and durable; followers may be sent it."""
        raise NotImplementedError

    def configuration_at(self, index: int) -> tuple[Configuration, int]:
        """The configuration in force at `index` (an applied index) and its own index, for a snapshot's meta."""
        raise NotImplementedError

    def compact(self, now_ns: int, index: int) -> int:
        """Forget entries up to `index`, at most up to the latest snapshot and not what a running snapshot transfer
        needs next; returns up to where. The driver then removes those from its log."""
        raise NotImplementedError

    def snapshots_in_use(self) -> frozenset[str]:
        """Ids of snapshots that are being sent: keep their files."""
        raise NotImplementedError

    def snapshot_unavailable(self, now_ns: int, target: str) -> None:
        """A `SnapshotRead` for `target` could not be carried out."""
        raise NotImplementedError

    def snapshot_written(self, now_ns: int, snapshot_id: str, next_offset: int) -> None:
        """A `SnapshotWrite` was carried out, see there for what it promises."""
        raise NotImplementedError

    def snapshot_rejected(self, now_ns: int, snapshot_id: str) -> None:
        """The incoming snapshot could not be written or does not verify; it starts again from offset 0."""
        raise NotImplementedError

    def peer_unreachable(self, now_ns: int, peer: str) -> None:
        """The transport knows that messages to `peer` were lost (its stream broke)."""
        raise NotImplementedError


def recovery_meta(
    log: LogSummary, snapshot: SnapshotMeta | None, meta_id: str, configuration: Configuration, size_bytes: int
) -> SnapshotMeta:
    """The meta of a snapshot that puts `configuration` in force on a stopped server (peers.json recovery).

    Procedure (Consul's): apply the whole stored log to the state machine, snapshot it with this meta, make that durable,
    then start with an empty log after it.
    """
    raise NotImplementedError
