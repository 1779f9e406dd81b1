"""The core's numbers: times in nanoseconds, limits in bytes or counts. Defaults are Consul 1.7's."""

from dataclasses import dataclass

MS = 1_000_000
"""Nanoseconds in a millisecond."""

CLOCK_DRIFT_PERCENT_MAX = 20
"""Two servers' clocks may run apart by this much; leases stay safe (see `RaftConfig.__post_init__`)."""


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """One server's settings; the times must be the same on all servers of a cluster."""

    id: str
    """This server's id in configurations."""

    heartbeat_timeout_ns: int = 5000 * MS
    """A follower that hears no leader this long (at random up to twice) campaigns; until then it grants no vote."""
    election_timeout_ns: int = 5000 * MS
    """A candidate tries again after this long (at random up to twice)."""
    lease_timeout_ns: int = 2500 * MS
    """A quorum's answer lets the leader serve reads alone for this long after asking."""
    quorum_timeout_ns: int = 5000 * MS
    """A leader that hears no quorum this long steps down (check quorum, dissertation 6.2)."""
    sole_voter_lease_ns: int = 1000 * MS
    """Lease of the only voter; nobody else can be elected, so it may outlast the timeouts above."""
    commit_notice_ns: int = 10 * MS
    """With nothing else to send, followers are told of a higher commit index after this long."""
    snapshot_retry_ns: int = 2000 * MS
    """An unanswered snapshot chunk is sent again after this long."""
    read_timeout_ns: int = 5000 * MS
    """A follower's unanswered ReadIndex request fails after this long (a leader that cannot confirm steps down)."""

    append_max_bytes: int = 1 << 20
    """Entries in one AppendRequest (at least one entry goes)."""
    append_max_entries: int = 1024
    inflight_max_messages: int = 128
    """AppendRequests sent to a follower and not yet answered."""
    inflight_max_bytes: int = 32 << 20
    log_cache_max_bytes: int = 16 << 20
    """Durable entries kept in memory; older ones come from the `LogReader`."""
    apply_max_bytes: int = 4 << 20
    """Committed entries in one `Ready`."""
    apply_inflight_max_bytes: int = 16 << 20
    """Committed entries handed out and not yet reported by `Raft.applied`."""
    entry_max_bytes: int = 64 << 20
    """One proposal's data."""
    uncommitted_max_bytes: int = 128 << 20
    """Proposed and not yet committed; a single proposal is always taken when nothing is uncommitted."""
    snapshot_chunk_bytes: int = 512 << 10
    snapshot_transfers_max: int = 2
    """Followers that are sent a snapshot at the same time."""
    reads_max: int = 65536
    """Reads waiting for confirmation."""

    def __post_init__(self) -> None:
        margin = self.lease_timeout_ns * (100 + CLOCK_DRIFT_PERCENT_MAX) // (100 - CLOCK_DRIFT_PERCENT_MAX)
        assert margin < self.heartbeat_timeout_ns, (
            f"lease {self.lease_timeout_ns} ns is too long for heartbeat timeout {self.heartbeat_timeout_ns} ns: "
            "under clock drift another leader could be elected while it runs"
        )
        assert 0 < self.heartbeat_timeout_ns <= self.election_timeout_ns

    @property
    def heartbeat_interval_ns(self) -> int:
        """The shortest pause between heartbeats; the longest is twice this (Consul 1.7: timeout / 10)."""
        return self.heartbeat_timeout_ns // 10


def consul_config(server_id: str, raft_multiplier: int) -> RaftConfig:
    """Consul's timing: 1000/1000/500 ms times `performance.raft_multiplier` (1..10, default 5)."""
    assert 1 <= raft_multiplier <= 10
    return RaftConfig(
        id=server_id,
        heartbeat_timeout_ns=1000 * MS * raft_multiplier,
        election_timeout_ns=1000 * MS * raft_multiplier,
        lease_timeout_ns=500 * MS * raft_multiplier,
        quorum_timeout_ns=1000 * MS * raft_multiplier,
    )


def dev_config(server_id: str) -> RaftConfig:
    """`consul agent -dev`: 35/52/20 ms."""
    return RaftConfig(
        id=server_id,
        heartbeat_timeout_ns=35 * MS,
        election_timeout_ns=52 * MS,
        lease_timeout_ns=20 * MS,
        quorum_timeout_ns=52 * MS,
    )
