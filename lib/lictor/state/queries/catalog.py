"""Nodes and services as registered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lictor.acl import Authorizer
from lictor.state import keys, render, topics
from lictor.state.machine.catalog import EXTINCTION, service_index
from lictor.state.queries.distance import sort_by_distance
from lictor.state.queries.instances import are_many, instances_with_checks
from lictor.state.queries.read import (
    NO_OPTIONS,
    Instance,
    NodeServices,
    Read,
    ReadOptions,
    ServiceNode,
    max_index,
    meta_matches,
)
from lictor.state.rows import Node, Service, decode_node, decode_service
from lictor.state.store import ReadTxn
from lictor.state.writer import read_index

Placed = ServiceNode | Instance
"""An instance with its node."""
_TAGS_MEMORY = "tags"
_SERVICE_INDEXES = keys.index(service_index(""))

ID_PREFIX_MIN = 2
"""A node may be asked for by so many leading characters of its ID, if only one has them."""
ID_DASHES = 4
HEX_DIGITS = frozenset("0123456789abcdef")


def nodes(txn: ReadTxn, options: ReadOptions = NO_OPTIONS) -> Read[list[Node]]:
    found = [
        row
        for row in (decode_node(raw) for _, raw in txn.scan(b"N"))
        if meta_matches(options.node_meta, row.meta) and options.authorizer.node_read(row.node)
    ]
    if options.filter is not None:
        keep = options.filter
        found = [row for row in found if keep(render.node_dict(row))]
    if options.near:
        found = sort_by_distance(txn, options.near, found, lambda row: row.node)
    return Read(found, max_index(txn, "nodes"), (topics.NODES,))


def services(txn: ReadTxn, options: ReadOptions = NO_OPTIONS) -> Read[dict[str, list[str]]]:
    """Names of all services, each with the union of its instances' tags."""
    if txn.memory is not None and not options.node_meta:
        tags_of = remembered_tags(txn, txn.memory)
    else:
        tags_of = {}
        for _, raw in txn.scan(b"S"):
            row = decode_service(raw)
            if options.node_meta:
                node = find_node(txn, row.node)
                if node is None or not meta_matches(options.node_meta, node.meta):
                    continue
            _add_tags(tags_of, row)
    authorizer = options.authorizer
    value = {name: list(tags) for name, tags in tags_of.items() if authorizer.service_read(name)}
    if options.node_meta:
        return Read(value, max_index(txn, "nodes", "services"), (topics.SERVICES, topics.NODES))
    return Read(value, max_index(txn, "services"), (topics.SERVICES,))


def _add_tags(tags_of: dict[str, dict[str, None]], row: Service) -> None:
    tags = tags_of.get(row.service)
    if tags is None:
        tags = tags_of[row.service] = {}
    if row.tags:
        tags.update(dict.fromkeys(row.tags))


def remembered_tags(txn: ReadTxn, memory: dict[str, Any]) -> dict[str, dict[str, None]]:
    """Each service's tags, read anew for the services whose own index has moved."""
    before: dict[bytes, tuple[bytes, dict[str, dict[str, None]]]] = memory.get(_TAGS_MEMORY, {})
    after: dict[bytes, tuple[bytes, dict[str, dict[str, None]]]] = {}
    tags_of: dict[str, dict[str, None]] = {}
    for key, version in txn.scan(_SERVICE_INDEXES):
        known = before.get(key)
        if known is None or known[0] != version:
            found: dict[str, dict[str, None]] = {}
            for row in instances_of(txn, _service_of(key)):
                _add_tags(found, row)
            known = (version, found)
        after[key] = known
        tags_of.update(known[1])
    memory[_TAGS_MEMORY] = after
    return tags_of


def service(
    txn: ReadTxn, name: str, tags: Sequence[str] = (), connect: bool = False, options: ReadOptions = NO_OPTIONS
) -> Read[Sequence[Placed]]:
    """Instances of a service with all of the tags; with `connect` those that take connect traffic for it, any tags."""
    tags = () if connect else tags
    everything: Sequence[Placed]
    if are_many(txn, name, connect):
        everything = instances_with_checks(txn, name, connect)
    else:
        everything = [
            ServiceNode(node, row)
            for row in instances_of(txn, name, connect)
            if (node := find_node(txn, row.node)) is not None
        ]
    found = everything
    if tags or options.node_meta or not options.authorizer.allows_all:
        found = [
            item
            for item in found
            if has_tags(item.service, tags)
            and meta_matches(options.node_meta, item.node.meta)
            and may_read_instance(options.authorizer, item.node, item.service)
        ]
    if options.filter is not None:
        keep = options.filter
        found = [pair for pair in found if keep(render.service_node_dict(pair))]
    if options.near:
        found = sort_by_distance(txn, options.near, found, lambda pair: pair.node.node)
    topic = topics.connect(name) if connect else topics.service(name)
    return Read(found, service_read_index(txn, name, bool(everything), "nodes", "services"), (topic,))


def service_read_index(txn: ReadTxn, name: str, exists: bool, *tables: str) -> int:
    """The service's own index; without one that of the last extinction of any service, else the tables'."""
    if exists:
        own = read_index(txn, service_index(name))
        if own:
            return own
    else:
        extinction = read_index(txn, EXTINCTION)
        if extinction:
            return extinction
    return max_index(txn, *tables)


def node_services(
    txn: ReadTxn, name: str, options: ReadOptions = NO_OPTIONS, by_id: bool = False
) -> Read[NodeServices | None]:
    """A node, by name or by the beginning of its ID, and its services.

    Where Consul shows them by ID, it takes the ID for the name whose right to be read is asked (`by_id`).
    """
    node = find_node(txn, name) or find_node_by_id_prefix(txn, name)
    if node is None:
        return Read(None, 1, (topics.node(name), topics.NODES))
    index = max_index(txn, "nodes", "services")
    waits = (topics.node(node.node),)
    if not options.authorizer.node_read(node.node):
        return Read(None, index, waits)
    everything = services_on(txn, node.node)
    if not everything and options.filter is None:
        return Read(NodeServices(node, None), index, waits)
    may_read = options.authorizer.service_read
    rows = [row for row in everything if may_read(row.id if by_id else row.service)]
    if options.filter is not None:
        keep = options.filter
        rows = [row for row in rows if keep(render.service_dict(row))]
    return Read(NodeServices(node, rows), index, waits)


# ---------------------------------------------------------------------------------------------------- pieces


def service_names(txn: ReadTxn) -> list[str]:
    """Names of all services that have instances, in lower case."""
    return [_service_of(key) for key, _ in txn.scan(_SERVICE_INDEXES)]


def _service_of(index_key: bytes) -> str:
    return index_key[len(_SERVICE_INDEXES) :].decode("utf-8", "surrogatepass")


def find_node(txn: ReadTxn, name: str) -> Node | None:
    raw = txn.get(keys.node(name))
    return None if raw is None else decode_node(raw)


def find_node_by_id_prefix(txn: ReadTxn, prefix: str) -> Node | None:
    digits = _id_digits(prefix)
    if digits is None:
        return None
    names = [name for (_, name), _ in zip(txn.scan(keys.node_by_id(digits)), range(2), strict=False)]
    if len(names) != 1:
        return None
    raw = txn.get(b"N" + names[0])
    return None if raw is None else decode_node(raw)


def _id_digits(prefix: str) -> str | None:
    """The whole bytes of an ID's beginning as the ID itself is written, None for what is none (Consul 1.7)."""
    digits = prefix[: len(prefix) // 2 * 2].replace("-", "").lower()
    if len(prefix) < ID_PREFIX_MIN or prefix.count("-") > ID_DASHES or len(digits) % 2:
        return None
    if not HEX_DIGITS.issuperset(digits):
        return None
    groups = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join([group for group in groups if group])


def services_on(txn: ReadTxn, node: str) -> list[Service]:
    return [decode_service(raw) for _, raw in txn.scan(keys.services_of_node(node))]


def find_service(txn: ReadTxn, node: str, service_id: str) -> Service | None:
    raw = txn.get(keys.service(node, service_id))
    return None if raw is None else decode_service(raw)


def instances_of(txn: ReadTxn, name: str, connect: bool = False) -> Iterator[Service]:
    """Instances of the name, or with `connect` those that take connect traffic for it."""
    prefix = keys.connect_instances(name) if connect else keys.instances(name)
    length = len(prefix)
    for key, _ in txn.scan(prefix):
        raw = txn.get(b"S" + key[length:])
        assert raw is not None, "an instance index without its instance"
        yield decode_service(raw)


def has_tags(row: Service, wanted: Sequence[str]) -> bool:
    """Whether the instance has every tag, whatever the case."""
    if not wanted:
        return True
    present = {tag.lower() for tag in row.tags or ()}
    return all(tag.lower() in present for tag in wanted)


def may_read_instance(authorizer: Authorizer, node: Node, row: Service) -> bool:
    return authorizer.allows_all or (authorizer.node_read(node.node) and authorizer.service_read(row.service))
