"""Everything a driver of the core needs, in one place to import from."""

from raftd.core.config import RaftConfig, consul_config, dev_config
from raftd.core.configuration import ChangeKind, Configuration, ConfigurationChange, Server
from raftd.core.effects import ReadFailure, ReadState, Ready, RoleName, SoftState
from raftd.core.entry import Entry, EntryKind, HardState
from raftd.core.errors import (
    AlreadyBootstrappedError,
    ConfigurationChangeError,
    CorruptConfigurationError,
    EntryTooLargeError,
    NoLeaderError,
    NotLeaderError,
    RaftError,
    TooManyReadsError,
    TransferInProgressError,
    TransferTargetError,
    UncommittedLimitError,
)
from raftd.core.log_summary import LogReader, LogSummary
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
from raftd.core.raft import PeerStatus, Raft, recovery_meta
from raftd.core.snapshot import SnapshotMeta, SnapshotRead, SnapshotWrite

__all__ = [
    "AlreadyBootstrappedError",
    "AppendRequest",
    "AppendResponse",
    "ChangeKind",
    "Configuration",
    "ConfigurationChange",
    "ConfigurationChangeError",
    "CorruptConfigurationError",
    "Entry",
    "EntryKind",
    "EntryTooLargeError",
    "HardState",
    "LogReader",
    "LogSummary",
    "Message",
    "NoLeaderError",
    "NotLeaderError",
    "PeerStatus",
    "Raft",
    "RaftConfig",
    "RaftError",
    "ReadFailure",
    "ReadIndexRequest",
    "ReadIndexResponse",
    "ReadState",
    "Ready",
    "RoleName",
    "Server",
    "SnapshotChunk",
    "SnapshotChunkResponse",
    "SnapshotMeta",
    "SnapshotRead",
    "SnapshotWrite",
    "SoftState",
    "TimeoutNow",
    "TooManyReadsError",
    "TransferInProgressError",
    "TransferTargetError",
    "UncommittedLimitError",
    "VoteRequest",
    "VoteResponse",
    "consul_config",
    "dev_config",
    "recovery_meta",
]
