"""The messages of the two protocols as values: what memberlist and Serf nodes tell each other.

Addresses are the raw 4 or 16 bytes that travel on the wire; times are Lamport times or nanoseconds as named.
Consul 1.7: memberlist protocol 2, Serf protocol 4.
"""

from typing import NamedTuple, TypeAlias

from gossipd.core.node import Node

FLAG_ACK = 1
FLAG_NO_BROADCAST = 2


class Ping(NamedTuple):
    """Are you alive? `node` is the name the receiver should have; empty matches any."""

    sequence: int
    node: str


class IndirectPing(NamedTuple):
    """Please ping `node` at `address` for me; `nack` asks for a Nack when it stays silent."""

    sequence: int
    address: bytes
    port: int
    node: str
    nack: bool


class Ack(NamedTuple):
    """Answer to a ping; `payload` carries the responder's network coordinate."""

    sequence: int
    payload: bytes


class Nack(NamedTuple):
    """Your indirect ping reached me, but its target did not answer in time."""

    sequence: int


class Suspect(NamedTuple):
    """`sender` got no answer from `node`."""

    incarnation: int
    node: str
    sender: str


class Alive(NamedTuple):
    """`node` is alive at this address with this metadata. `versions` is PMin PMax PCur DMin DMax DCur."""

    incarnation: int
    node: str
    address: bytes
    port: int
    meta: bytes
    versions: bytes


class Dead(NamedTuple):
    """`sender` declares `node` dead; a node that names itself has left."""

    incarnation: int
    node: str
    sender: str


class LeaveIntent(NamedTuple):
    """`node` is about to leave, or is made to; `prune` also erases it."""

    lamport_time: int
    node: str
    prune: bool


class JoinIntent(NamedTuple):
    """`node` has joined: newer than any leave of it before."""

    lamport_time: int
    node: str


class UserEvent(NamedTuple):
    """A user's broadcast."""

    lamport_time: int
    name: str
    payload: bytes
    coalesce: bool


class Query(NamedTuple):
    """A question to all nodes that match `filters`, answered straight to `address`."""

    lamport_time: int
    identifier: int
    address: bytes
    port: int
    filters: tuple[bytes, ...]
    flags: int
    relay_factor: int
    timeout_ns: int
    name: str
    payload: bytes


class QueryResponse(NamedTuple):
    """An answer to a query, or with FLAG_ACK the news that it was received."""

    lamport_time: int
    identifier: int
    sender: str
    flags: int
    payload: bytes


class Relay(NamedTuple):
    """`inner`, a whole Serf message, is to be passed on to an address."""

    address: bytes
    port: int
    inner: bytes


class EventSlot(NamedTuple):
    """The user events of one Lamport time, as push/pull carries them."""

    lamport_time: int
    events: tuple[tuple[str, bytes], ...]


class SerfState(NamedTuple):
    """What Serf adds to a push/pull."""

    lamport_time: int
    event_lamport_time: int
    query_lamport_time: int
    status_lamport_times: dict[str, int]
    left_members: tuple[str, ...]
    event_slots: tuple[EventSlot, ...]


class PushPull(NamedTuple):
    """A node's whole view. `nodes` may lack entries that the receiver knows to be equal to its own."""

    join: bool
    nodes: tuple[Node, ...]
    serf: SerfState | None


class KeyRequest(NamedTuple):
    """A key to install, use or remove; empty to list."""

    key: bytes


class KeyResponse(NamedTuple):
    """One node's answer to a key request; `keys` are base64 texts."""

    result: bool
    message: str
    keys: tuple[str, ...]


SerfMessage: TypeAlias = LeaveIntent | JoinIntent | UserEvent | Query | QueryResponse | Relay
SwimMessage: TypeAlias = Ping | IndirectPing | Ack | Nack | Suspect | Alive | Dead
Message: TypeAlias = SwimMessage | SerfMessage
