"""Serf's messages inside memberlist user messages, and the key messages inside queries."""

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from gossipd.core.member import Member
from gossipd.core.messages import (
    EventSlot,
    JoinIntent,
    KeyRequest,
    KeyResponse,
    LeaveIntent,
    Query,
    QueryResponse,
    Relay,
    SerfMessage,
    SerfState,
    UserEvent,
)
from gossipd.wire.errors import ProtocolError
from gossipd.wire.fields import (
    MAX_LAMPORT_TIME,
    MAX_UINT16,
    Fields,
    array,
    as_map,
    boolean,
    name,
    pack,
    raw,
    text,
    uint,
    unpack_map,
    unpack_prefix,
)

EVENT_SLOT_COUNT = 512
MAX_TIMEOUT_NS = 2**63 - 1


class SerfType(IntEnum):
    """The first byte of a Serf message."""

    LEAVE = 0
    JOIN = 1
    PUSH_PULL = 2
    USER_EVENT = 3
    QUERY = 4
    QUERY_RESPONSE = 5
    CONFLICT_RESPONSE = 6
    KEY_REQUEST = 7
    KEY_RESPONSE = 8
    RELAY = 9


def encode_leave(message: LeaveIntent) -> bytes:
    return b"\x00" + pack({"LTime": message.lamport_time, "Node": message.node, "Prune": message.prune})


def encode_join(message: JoinIntent) -> bytes:
    return b"\x01" + pack({"LTime": message.lamport_time, "Node": message.node})


def encode_user_event(message: UserEvent) -> bytes:
    return b"\x03" + pack(
        {
            "CC": message.coalesce,
            "LTime": message.lamport_time,
            "Name": message.name,
            "Payload": message.payload or None,
        }
    )


def encode_query(message: Query) -> bytes:
    return b"\x04" + pack(
        {
            "Addr": message.address,
            "Filters": list(message.filters) if message.filters else None,
            "Flags": message.flags,
            "ID": message.identifier,
            "LTime": message.lamport_time,
            "Name": message.name,
            "Payload": message.payload or None,
            "Port": message.port,
            "RelayFactor": message.relay_factor,
            "Timeout": message.timeout_ns,
        }
    )


def encode_query_response(message: QueryResponse) -> bytes:
    return b"\x05" + pack(
        {
            "Flags": message.flags,
            "From": message.sender,
            "ID": message.identifier,
            "LTime": message.lamport_time,
            "Payload": message.payload or None,
        }
    )


def encode_relay(message: Relay) -> bytes:
    address = {"IP": message.address, "Port": message.port, "Zone": ""}
    return b"\x09" + pack({"DestAddr": address}) + message.inner


def encode_key_request(message: KeyRequest) -> bytes:
    return b"\x07" + pack({"Key": message.key or None})


def encode_key_response(message: KeyResponse) -> bytes:
    return b"\x08" + pack(
        {"Keys": list(message.keys) if message.keys else None, "Message": message.message, "Result": message.result}
    )


def encode_conflict_response(member: Member | None) -> bytes:
    """What this node knows of a member whose name is in dispute."""
    if member is None:
        return b"\x06" + pack(None)
    node = member.node
    protocol_min, protocol_max, protocol_cur, delegate_min, delegate_max, delegate_cur = node.versions
    return b"\x06" + pack(
        {
            "Addr": node.address,
            "DelegateCur": delegate_cur,
            "DelegateMax": delegate_max,
            "DelegateMin": delegate_min,
            "Name": node.name,
            "Port": node.port,
            "ProtocolCur": protocol_cur,
            "ProtocolMax": protocol_max,
            "ProtocolMin": protocol_min,
            "Status": int(member.status),
            "Tags": member.tags,
        }
    )


def _lamport_time(fields: Fields, key: bytes = b"LTime") -> int:
    return uint(fields, key, MAX_LAMPORT_TIME)


def _decode_leave(body: bytes) -> LeaveIntent:
    fields = unpack_map(body)
    return LeaveIntent(_lamport_time(fields), name(fields, b"Node"), boolean(fields, b"Prune"))


def _decode_join(body: bytes) -> JoinIntent:
    fields = unpack_map(body)
    return JoinIntent(_lamport_time(fields), name(fields, b"Node"))


def _decode_user_event(body: bytes) -> UserEvent:
    fields = unpack_map(body)
    return UserEvent(_lamport_time(fields), text(fields, b"Name"), raw(fields, b"Payload"), boolean(fields, b"CC"))


def _decode_query(body: bytes) -> Query:
    fields = unpack_map(body)
    filters = tuple(array(fields, b"Filters"))
    if any(type(element) is not bytes for element in filters):
        raise ProtocolError("Filters holds something else than byte strings")
    return Query(
        _lamport_time(fields),
        uint(fields, b"ID"),
        raw(fields, b"Addr"),
        uint(fields, b"Port", MAX_UINT16),
        filters,
        uint(fields, b"Flags"),
        uint(fields, b"RelayFactor", 255),
        uint(fields, b"Timeout", MAX_TIMEOUT_NS),
        text(fields, b"Name"),
        raw(fields, b"Payload"),
    )


def _decode_query_response(body: bytes) -> QueryResponse:
    fields = unpack_map(body)
    return QueryResponse(
        _lamport_time(fields),
        uint(fields, b"ID"),
        name(fields, b"From"),
        uint(fields, b"Flags"),
        raw(fields, b"Payload"),
    )


def _decode_relay(body: bytes) -> Relay:
    header, inner = unpack_prefix(body)
    address = as_map(as_map(header).get(b"DestAddr"))
    if not inner:
        raise ProtocolError("a relay without a message in it")
    return Relay(raw(address, b"IP"), uint(address, b"Port", MAX_UINT16), bytes(inner))


def decode_key_request(data: bytes) -> KeyRequest:
    _expect(data, SerfType.KEY_REQUEST)
    return KeyRequest(raw(unpack_map(data[1:]), b"Key"))


def decode_key_response(data: bytes) -> KeyResponse:
    _expect(data, SerfType.KEY_RESPONSE)
    fields = unpack_map(data[1:])
    keys = array(fields, b"Keys")
    if any(type(key) is not bytes for key in keys):
        raise ProtocolError("Keys holds something else than texts")
    return KeyResponse(
        boolean(fields, b"Result"),
        text(fields, b"Message"),
        tuple(key.decode("ascii", "replace") for key in keys),
    )


def _expect(data: bytes, kind: SerfType) -> None:
    if not data or data[0] != kind:
        raise ProtocolError(f"expected Serf message {kind.name}")


ENCODERS: dict[type, Callable[[Any], bytes]] = {
    LeaveIntent: encode_leave,
    JoinIntent: encode_join,
    UserEvent: encode_user_event,
    Query: encode_query,
    QueryResponse: encode_query_response,
    Relay: encode_relay,
    KeyRequest: encode_key_request,
    KeyResponse: encode_key_response,
}

_DECODERS: dict[int, Callable[[bytes], SerfMessage]] = {
    SerfType.LEAVE: _decode_leave,
    SerfType.JOIN: _decode_join,
    SerfType.USER_EVENT: _decode_user_event,
    SerfType.QUERY: _decode_query,
    SerfType.QUERY_RESPONSE: _decode_query_response,
    SerfType.RELAY: _decode_relay,
}


def decode(data: bytes) -> SerfMessage:
    """A whole Serf message, type byte included. Raises ProtocolError."""
    decoder = _DECODERS.get(data[0]) if data else None
    if decoder is None:
        raise ProtocolError(f"unknown Serf message type {data[0]}" if data else "an empty user message")
    return decoder(data[1:])


def encode_state(state: SerfState) -> bytes:
    """The user state of a push/pull: always 512 event slots."""
    slots: list[Any] = [None] * EVENT_SLOT_COUNT
    for slot in state.event_slots:
        slots[slot.lamport_time % EVENT_SLOT_COUNT] = {
            "Events": [{"Name": event, "Payload": payload or None} for event, payload in slot.events],
            "LTime": slot.lamport_time,
        }
    return b"\x02" + pack(
        {
            "EventLTime": state.event_lamport_time,
            "Events": slots,
            "LTime": state.lamport_time,
            "LeftMembers": list(state.left_members),
            "QueryLTime": state.query_lamport_time,
            "StatusLTimes": state.status_lamport_times,
        }
    )


def decode_state(data: bytes) -> SerfState:
    """The user state of a push/pull. Raises ProtocolError."""
    _expect(data, SerfType.PUSH_PULL)
    fields = unpack_map(data[1:])
    times = as_map(fields.get(b"StatusLTimes") or {})
    left = array(fields, b"LeftMembers")
    try:
        status_times = {member.decode(): time for member, time in times.items()}
        left_members = tuple(member.decode() for member in left)
    except (AttributeError, UnicodeDecodeError):
        raise ProtocolError("a member name is not UTF-8 text") from None
    if any(type(time) is not int or not 0 <= time <= MAX_LAMPORT_TIME for time in status_times.values()):
        raise ProtocolError("StatusLTimes holds something else than Lamport times")
    return SerfState(
        _lamport_time(fields),
        _lamport_time(fields, b"EventLTime"),
        _lamport_time(fields, b"QueryLTime"),
        status_times,
        left_members,
        tuple(_decode_slot(as_map(slot)) for slot in array(fields, b"Events") if slot is not None),
    )


def _decode_slot(fields: Fields) -> EventSlot:
    events = (as_map(event) for event in array(fields, b"Events"))
    return EventSlot(
        _lamport_time(fields),
        tuple((text(event, b"Name"), raw(event, b"Payload")) for event in events),
    )
