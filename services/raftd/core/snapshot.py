"""What describes a snapshot; the bytes themselves never enter the core except as chunks in transit."""

from dataclasses import dataclass

from raftd.core.configuration import Configuration


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """A snapshot of the state machine after `index` (Raft dissertation 5).

    Two snapshots with equal `id` have equal bytes: a transfer is resumed only when the id is the same.
    """

    id: str
    """Unique per file, Consul's style `<term>-<index>-<milliseconds>`."""
    index: int
    term: int
    configuration: Configuration
    """The configuration in force at `index`."""
    configuration_index: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SnapshotRead:
    """Order to the driver (leader): read `length` bytes at `offset` of snapshot `meta.id`, put them in `data` of a
    `SnapshotChunk` for `target` with these `term` and `round`, and send it. If it cannot be read, call
    `Raft.snapshot_unavailable(target)`."""

    target: str
    term: int
    round: int
    meta: SnapshotMeta
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SnapshotWrite:
    """Order to the driver (follower): write `data` at `offset` of the incoming snapshot `meta.id` (at offset 0:
    drop any other incoming one and start the file), then call `Raft.snapshot_written(now, meta.id, offset + len)`.

    With `last`, the call promises that the whole file is complete, verified and durable (data and name), i.e. that
    after a crash the driver would start from this snapshot. A file that does not verify: `Raft.snapshot_rejected`.
    """

    meta: SnapshotMeta
    offset: int
    data: bytes
    last: bool
