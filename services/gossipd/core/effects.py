"""What a pool wants done: its only way to act. The driver carries effects out in order."""

from enum import IntEnum
from typing import NamedTuple, TypeAlias

from gossipd.core.member import Member
from gossipd.core.messages import Query, UserEvent


class LogLevel(IntEnum):
    """Numbers of the standard logging module."""

    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40


class Endpoint(NamedTuple):
    """Where packets go: the text of an IP address and a port. Equal to the tuple that sockets use."""

    host: str
    port: int


class SendPacket(NamedTuple):
    """One datagram with these encoded messages; `crc` puts a checksum on it."""

    to: tuple[str, int]
    parts: tuple[bytes, ...]
    crc: bool


class StartStreamPing(NamedTuple):
    """Ping over a stream; answer with `Pool.stream_ping_done(sequence, True)` if it works before the deadline."""

    sequence: int
    node: str
    to: tuple[str, int]
    deadline_ns: int


class StartPushPull(NamedTuple):
    """Exchange views over a stream; hand the answer to `Pool.merge`."""

    node: str
    to: tuple[str, int]
    join: bool


class Log(NamedTuple):
    """A line for the log; `layer` is "memberlist" or "serf"."""

    level: LogLevel
    layer: str
    text: str


class MemberEventKind(IntEnum):
    """What happened to a member; numbered as in the gRPC contract."""

    JOIN = 1
    LEAVE = 2
    FAILED = 3
    UPDATE = 4
    REAP = 5


class MemberChanged(NamedTuple):
    """A member joined, left, failed, changed or was forgotten. `member` is as it is now (`gossipd.core.member`)."""

    kind: MemberEventKind
    member: Member


class UserEventReceived(NamedTuple):
    """A user event, delivered once."""

    event: UserEvent


class QueryReceived(NamedTuple):
    """A query for the user's ears (not an internal one), to be answered with `Pool.respond` before the deadline."""

    query: Query
    deadline_ns: int


class QueryAnswered(NamedTuple):
    """An answer to a query of ours, or (`ack`) the news that it arrived."""

    query_key: tuple[int, int]
    sender: str
    payload: bytes
    ack: bool


class QueryFinished(NamedTuple):
    """No more answers to this query will be delivered."""

    query_key: tuple[int, int]


class BroadcastFinished(NamedTuple):
    """The broadcast that somebody waits for has gone out."""

    waiter: int


class LeaveFinished(NamedTuple):
    """This node has left the pool gracefully."""


class KeyringChanged(NamedTuple):
    """The keys changed, primary first: use them, and write the keyring file."""

    keys: tuple[bytes, ...]


class SnapshotAppend(NamedTuple):
    """Lines for the end of the snapshot file; `flush` at once or when convenient (500 ms)."""

    text: str
    flush: bool


class SnapshotRewrite(NamedTuple):
    """The whole new content of the snapshot file."""

    text: str


Effect: TypeAlias = (
    SendPacket
    | StartStreamPing
    | StartPushPull
    | Log
    | MemberChanged
    | UserEventReceived
    | QueryReceived
    | QueryAnswered
    | QueryFinished
    | BroadcastFinished
    | LeaveFinished
    | KeyringChanged
    | SnapshotAppend
    | SnapshotRewrite
)
