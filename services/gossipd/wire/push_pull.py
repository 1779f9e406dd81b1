"""Push/pull: every node's whole view in one stream message.

A pool of thousands sends megabytes, many times a minute, and nearly all of it is what the receiver has already. So
encodings of nodes are kept, and a received entry whose bytes equal a kept one of a live node is skipped unread.
"""

from collections.abc import Collection, Iterable

import msgpack

from gossipd.core.address import to_text
from gossipd.core.messages import PushPull, SerfState
from gossipd.core.node import Node, NodeState
from gossipd.wire.errors import ProtocolError
from gossipd.wire.fields import (
    MAX_UINT16,
    Fields,
    as_map,
    boolean,
    name,
    pack,
    raw,
    uint,
    unpack_prefix,
)
from gossipd.wire.serf import decode_state, encode_state

MAX_NODES = 1_000_000
MAX_USER_STATE_BYTES = 64 * 1024 * 1024
NODE_START = b"\x87\xa4Addr"


def encode_node(node: Node) -> bytes:
    return pack(
        {
            "Addr": node.address,
            "Incarnation": node.incarnation,
            "Meta": node.meta,
            "Name": node.name,
            "Port": node.port,
            "State": int(node.state),
            "Vsn": node.versions,
        }
    )


def decode_node(fields: Fields) -> Node:
    """A remote node; `changed_at_ns` means nothing in it."""
    state = uint(fields, b"State")
    if state > NodeState.LEFT:
        raise ProtocolError(f"unknown node state {state}")
    address = raw(fields, b"Addr")
    return Node(
        name(fields, b"Name"),
        address,
        to_text(address),
        uint(fields, b"Port", MAX_UINT16),
        raw(fields, b"Meta"),
        raw(fields, b"Vsn"),
        uint(fields, b"Incarnation"),
        NodeState(state),
        0,
    )


class NodeEncodings:
    """The encodings of the nodes of one pool, the newest of each name."""

    def __init__(self) -> None:
        self._of_name: dict[str, tuple[Node, bytes]] = {}
        # Only of live nodes: hearing again of a suspect or dead one can matter.
        self.alive: dict[bytes, str] = {}

    def encode(self, node: Node) -> bytes:
        kept = self._of_name.get(node.name)
        if kept is not None:
            if kept[0] is node:
                return kept[1]
            self.alive.pop(kept[1], None)
        encoded = encode_node(node)
        self._of_name[node.name] = (node, encoded)
        if node.state is NodeState.ALIVE:
            self.alive[encoded] = node.name
        return encoded

    def retain(self, nodes: Collection[Node]) -> None:
        """Bring the encodings up to date with the pool's nodes: call before decoding."""
        for node in nodes:
            self.encode(node)
        if len(self._of_name) > len(nodes):
            for gone in self._of_name.keys() - {node.name for node in nodes}:
                self.alive.pop(self._of_name.pop(gone)[1], None)


def encode_push_pull(join: bool, nodes: Iterable[Node], serf_state: SerfState, encodings: NodeEncodings) -> bytes:
    """The whole stream message, type byte included."""
    entries = [encodings.encode(node) for node in nodes]
    user_state = encode_state(serf_state)
    header = {"Join": join, "Nodes": len(entries), "UserStateLen": len(user_state)}
    return b"".join((b"\x06", pack(header), *entries, user_state))


def decode_header(fields: Fields) -> tuple[bool, int, int]:
    """Join, number of nodes, length of the user state."""
    return (
        boolean(fields, b"Join"),
        uint(fields, b"Nodes", MAX_NODES),
        uint(fields, b"UserStateLen", MAX_USER_STATE_BYTES),
    )


def decode_push_pull(data: bytes, known: dict[bytes, str]) -> PushPull:
    """The message behind its type byte. Entries whose bytes are in `known` are left out of the result.

    Raises ProtocolError.
    """
    header, rest = unpack_prefix(data)
    join, node_count, user_state_length = decode_header(as_map(header))
    if user_state_length > len(rest):
        raise ProtocolError("the push/pull message ends early")
    split = len(rest) - user_state_length
    nodes = _decode_nodes(rest[:split], node_count, known)
    return PushPull(join, tuple(nodes), decode_state(rest[split:]) if user_state_length else None)


def _decode_nodes(data: bytes, count: int, known: dict[bytes, str]) -> list[Node]:
    entries = data.split(NODE_START)
    # An entry of another shape, or one with our marker inside its metadata, makes the counts differ.
    if entries[0] == b"" and len(entries) == count + 1:
        unknown = [entry for piece in entries[1:] if (entry := NODE_START + piece) not in known]
        try:
            return [_decode_whole(entry) for entry in unknown]
        except ProtocolError:
            pass
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=len(data) or 1)
    unpacker.feed(data)
    try:
        return [decode_node(as_map(unpacker.unpack())) for _ in range(count)]
    except msgpack.OutOfData:
        raise ProtocolError("the push/pull message ends early") from None
    except (TypeError, OverflowError, msgpack.UnpackException) as error:
        raise ProtocolError(f"not msgpack: {error!r}") from None


def _decode_whole(entry: bytes) -> Node:
    fields, rest = unpack_prefix(entry)
    if rest:
        raise ProtocolError("bytes behind a node's entry")
    return decode_node(as_map(fields))
