"""User events as they travel through the LAN pool, and which agents they are for (Consul 1.7: user_event.go).

The filters are regular expressions: of the node's name, of a service's ID, and of one of that service's tags.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import msgpack
import msgspec

from lictor import regexp

PREFIX = "consul:event:"
"""Of the names of users' events; those of the cluster's own machinery lack it and carry no envelope."""
REMOTE_EXEC = "_rexec"
"""Name of the event that asks for `consul exec`: never kept, never listed."""
VERSION = 1


class UserEvent(msgspec.Struct, frozen=True):
    """One event as fired over HTTP; `payload` is None when it is empty."""

    id: str
    name: str
    payload: bytes | None
    node_filter: str
    service_filter: str
    tag_filter: str
    version: int = VERSION
    lamport_time: int = 0

    def index(self) -> int:
        """The event's index: the two halves of its ID, combined by exclusive or."""
        number = uuid.UUID(self.id).int
        return (number >> 64) ^ (number & ((1 << 64) - 1))

    def is_meant(self, node_name: str, services: Mapping[str, Mapping[str, Any]]) -> bool:
        """Whether the agent of this node with these services (by ID) is meant. Errors: RegexpError."""
        return is_meant(self.node_filter, self.service_filter, self.tag_filter, node_name, services)


def to_wire(event: UserEvent) -> bytes:
    """The envelope in which events travel: MessagePack with Consul's field names; what is empty is left out."""
    optional = {"p": event.payload, "nf": event.node_filter, "sf": event.service_filter, "tf": event.tag_filter}
    fields = {"ID": event.id, "n": event.name, "v": event.version}
    fields |= {name: value for name, value in optional.items() if value}
    packed: bytes = msgpack.packb(fields)
    return packed


def from_wire(raw: bytes, lamport_time: int) -> UserEvent | None:
    """The event in an envelope; None when it is not one."""
    try:
        fields: Any = msgpack.unpackb(raw, raw=True)
        return UserEvent(
            id=str(uuid.UUID(_text(fields.get(b"ID")))),
            name=_text(fields.get(b"n")),
            payload=fields.get(b"p") or None,
            node_filter=_text(fields.get(b"nf")),
            service_filter=_text(fields.get(b"sf")),
            tag_filter=_text(fields.get(b"tf")),
            version=int(fields.get(b"v", VERSION)),
            lamport_time=lamport_time,
        )
    except (msgpack.UnpackException, AttributeError, TypeError, ValueError):
        return None


def is_meant(
    node_filter: str,
    service_filter: str,
    tag_filter: str,
    node_name: str,
    services: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Whether the agent of this node with these services (by ID) is meant. Errors: RegexpError."""
    if node_filter and not regexp.compiled(node_filter).found_in(node_name):
        return False
    if not service_filter:
        return True
    service, tag = regexp.compiled(service_filter), regexp.compiled(tag_filter) if tag_filter else None
    return any(
        service.found_in(service_id) and (tag is None or _any_found(tag, row.get("Tags") or ()))
        for service_id, row in services.items()
    )


def _any_found(pattern: regexp.Regexp, texts: Iterable[str]) -> bool:
    return any(pattern.found_in(text) for text in texts)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""
