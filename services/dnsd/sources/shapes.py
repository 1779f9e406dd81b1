"""Facts from the JSON bodies of the HTTP API."""

from __future__ import annotations

import msgspec

from dnsd.core.facts import Instance, NodeFacts, QueryResult, aggregate
from lictor.config import duration
from lictor.config.runtime import SECOND_NS


class _Shape(msgspec.Struct, rename="pascal"):
    """An object of the API; members that DNS has no use for are left unread."""


class NodeShape(_Shape):
    node: str
    address: str = ""
    datacenter: str = ""
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None

    def facts(self, datacenter: str) -> NodeFacts:
        """The node; `datacenter` is where it was asked for."""
        return NodeFacts(
            self.node, self.address, self.datacenter or datacenter, self.tagged_addresses or {}, self.meta or {}
        )


class _Place(_Shape):
    address: str = ""
    port: int = 0


class _Weights(_Shape):
    passing: int = 1
    warning: int = 1


class ServiceShape(_Shape):
    id: str = msgspec.field(default="", name="ID")
    service: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, _Place] | None = None
    port: int = 0
    weights: _Weights | None = None


class CheckShape(_Shape):
    check_id: str = msgspec.field(default="", name="CheckID")
    status: str = ""
    service_name: str = ""


class EntryShape(_Shape):
    node: NodeShape
    service: ServiceShape
    checks: list[CheckShape] | None = None

    def facts(self, datacenter: str) -> Instance:
        """The instance; `datacenter` is where it was asked for."""
        service = self.service
        weights = service.weights or _Weights()
        return Instance(
            node=self.node.facts(datacenter),
            service=service.service,
            address=service.address,
            port=service.port,
            tagged={name: (place.address, place.port) for name, place in (service.tagged_addresses or {}).items()},
            weights=(weights.passing, weights.warning),
            statuses=tuple([check.status for check in self.checks or ()]),
            standing=aggregate(
                (check.check_id, check.status)
                for check in self.checks or ()
                if not check.service_name or check.service_name == service.service
            ),
        )


class _QueryDns(_Shape):
    ttl: str = msgspec.field(default="", name="TTL")


class _ExecutionShape(_Shape):
    service: str = ""
    nodes: list[EntryShape] | None = None
    dns: _QueryDns | None = msgspec.field(default=None, name="DNS")
    datacenter: str = ""


class _NodeServicesShape(_Shape):
    node: NodeShape


class _DumpedService(_Shape):
    service: str = ""
    address: str = ""


class DumpedNode(_Shape):
    """One node of `/v1/internal/ui/nodes`."""

    node: str
    address: str = ""
    services: list[_DumpedService] | None = None


_entries = msgspec.json.Decoder(list[EntryShape] | None).decode
_execution = msgspec.json.Decoder(_ExecutionShape).decode
_node_services = msgspec.json.Decoder(_NodeServicesShape | None).decode
_dump = msgspec.json.Decoder(list[DumpedNode] | None).decode


def decode_instances(body: bytes, datacenter: str) -> list[tuple[Instance, frozenset[str]]]:
    """Instances with their folded tags, from a health answer. Raises msgspec.DecodeError."""
    return [
        (entry.facts(datacenter), frozenset([tag.lower() for tag in entry.service.tags or ()]))
        for entry in _entries(body) or ()
    ]


def decode_node(body: bytes, datacenter: str) -> NodeFacts | None:
    """The node of a catalog answer. Raises msgspec.DecodeError."""
    shape = _node_services(body)
    return None if shape is None else shape.node.facts(datacenter)


def decode_execution(body: bytes, datacenter: str) -> QueryResult:
    """What a prepared query gave. Raises msgspec.DecodeError."""
    shape = _execution(body)
    answered_by = shape.datacenter or datacenter
    return QueryResult(
        service=shape.service,
        instances=[entry.facts(answered_by) for entry in shape.nodes or ()],
        datacenter=answered_by,
        ttl_s=_ttl_s(shape.dns.ttl if shape.dns else ""),
    )


def _ttl_s(text: str) -> int | None:
    if not text:
        return None
    try:
        return max(0, duration.parse(text) // SECOND_NS)
    except duration.DurationError:
        return None


def decode_dump(body: bytes) -> list[DumpedNode]:
    """Every node with its services. Raises msgspec.DecodeError."""
    return _dump(body) or []
