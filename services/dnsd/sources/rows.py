"""From rows of the replicated state to the facts that answers are made of."""

from __future__ import annotations

from functools import lru_cache

from dnsd.core.facts import Instance, NodeFacts, aggregate
from lictor.state.queries.read import Instance as InstanceRows
from lictor.state.rows import Node, Service

REMEMBERED_NODES = 16384
REMEMBERED_TAGS = 4096
NO_TAGS: frozenset[str] = frozenset()


def node_facts(row: Node) -> NodeFacts:
    """What DNS needs of a node."""
    return _node_facts(_ByIdentity(row))


class _ByIdentity:
    """A row as a key: the state library gives the same object for the same stored bytes."""

    __slots__ = ("row",)

    def __init__(self, row: Node) -> None:
        self.row = row

    def __hash__(self) -> int:
        return id(self.row)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and other.row is self.row


@lru_cache(maxsize=REMEMBERED_NODES)
def _node_facts(key: _ByIdentity) -> NodeFacts:
    row = key.row
    return NodeFacts(row.node, row.address, row.datacenter, row.tagged_addresses or {}, row.meta or {})


def instance_facts(rows: InstanceRows) -> Instance:
    """What DNS needs of a service instance; made once for rows that are remembered."""
    found: Instance | None = rows.derived
    if found is None:
        found = rows.derived = _instance_facts(rows)
    return found


def _instance_facts(rows: InstanceRows) -> Instance:
    service = rows.service
    return Instance(
        node=node_facts(rows.node),
        service=service.service,
        address=service.address,
        port=service.port,
        tagged=_tagged(service),
        weights=service.weights or (1, 1),
        statuses=tuple([check.status for check in rows.checks]),
        standing=aggregate(
            (check.check_id, check.status)
            for check in rows.checks
            if not check.service_name or check.service_name == service.service
        ),
        tags=_folded_tags(tuple(service.tags)) if service.tags else NO_TAGS,
    )


@lru_cache(maxsize=REMEMBERED_TAGS)
def _folded_tags(tags: tuple[str, ...]) -> frozenset[str]:
    return frozenset([tag.lower() for tag in tags])


def _tagged(service: Service) -> dict[str, tuple[str, int]]:
    if not service.tagged_addresses:
        return {}
    return {
        name: (str(place.get("Address", "")), int(place.get("Port", 0)))
        for name, place in service.tagged_addresses.items()
    }
