"""What the web page shows: nodes with everything on them, services summed up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lictor.state import keys, render, topics
from lictor.state.queries import catalog, health
from lictor.state.queries.instances import Instances, instances_with_checks
from lictor.state.queries.read import NO_OPTIONS, Instance, NodeDump, Read, ReadOptions, ServiceSummary, max_index
from lictor.state.rows import Check, Node, decode_check, decode_node, decode_service
from lictor.state.store import ReadTxn

EXTERNAL_SOURCE = "external-source"
_SUMMARIES = "summaries"
_DUMPS = "node dumps"
MAX_REMEMBERED = 65_536
"""Rows of all remembered nodes; beyond that none is."""
_Known = tuple[Instances, list[ServiceSummary]]


def _dump(txn: ReadTxn, node: Node, options: ReadOptions) -> NodeDump:
    prefix = keys.checks_of_node(node.node)
    authorizer = options.authorizer
    checks: list[Check] = [decode_check(raw) for _, raw in txn.scan(prefix)]
    return NodeDump(
        node,
        [row for row in catalog.services_on(txn, node.node) if authorizer.service_read(row.service)],
        [row for row in checks if not row.service_name or authorizer.service_read(row.service_name)],
    )


def nodes(txn: ReadTxn, options: ReadOptions = NO_OPTIONS) -> Read[list[NodeDump]]:
    """Every node with its services and checks. A reader that remembers decodes only nodes of which a record changed."""
    if txn.memory is not None and options.filter is None and options.authorizer.allows_all:
        return _all_nodes(_remembered(txn, txn.memory), txn)
    rows = (decode_node(raw) for _, raw in txn.scan(b"N"))
    found = [_dump(txn, row, options) for row in rows if options.authorizer.node_read(row.node)]
    if options.filter is not None:
        keep = options.filter
        found = [item for item in found if keep(render.node_dump_dict(item))]
    return _all_nodes(found, txn)


def _all_nodes(found: list[NodeDump], txn: ReadTxn) -> Read[list[NodeDump]]:
    return Read(found, max_index(txn, "nodes", "services", "checks"), (topics.NODES, topics.SERVICES, topics.CHECKS))


def _remembered(txn: ReadTxn, memory: dict[str, Any]) -> list[NodeDump]:
    before: dict[bytes, tuple[list[bytes], NodeDump]] = memory.get(_DUMPS, {})
    after: dict[bytes, tuple[list[bytes], NodeDump]] = {}
    count = 0
    for key, raw in txn.scan(b"N"):
        node = decode_node(raw)
        services = [value for _, value in txn.scan(keys.services_of_node(node.node))]
        checks = [value for _, value in txn.scan(keys.checks_of_node(node.node))]
        records = [raw, *services, b"", *checks]
        known = before.get(key)
        if known is None or known[0] != records:
            dump = NodeDump(node, [decode_service(each) for each in services], [decode_check(each) for each in checks])
            known = (records, dump)
        after[key] = known
        count += len(records)
    memory[_DUMPS] = after if count <= MAX_REMEMBERED else {}
    return [dump for _, dump in after.values()]


def node(txn: ReadTxn, name: str, options: ReadOptions = NO_OPTIONS) -> Read[NodeDump | None]:
    row = catalog.find_node(txn, name)
    index = max_index(txn, "nodes", "services", "checks")
    waits = (topics.node(name), topics.node_checks(name))
    if row is None or not options.authorizer.node_read(row.node):
        return Read(None, index, waits)
    return Read(_dump(txn, row, options), index, waits)


def services(txn: ReadTxn, options: ReadOptions = NO_OPTIONS) -> Read[list[ServiceSummary]]:
    """One summary per service name, by name; a node is named once for each of its instances.

    A reader that remembers sums up only services that changed.
    """
    everything = options.filter is None and options.authorizer.allows_all
    memory = txn.memory if everything else None
    before: dict[str, _Known] = {} if memory is None else memory.get(_SUMMARIES, {})
    after: dict[str, _Known] = {}
    for name in catalog.service_names(txn):
        instances = instances_with_checks(txn, name)
        known = before.get(name)
        if known is None or known[0] is not instances:
            known = (instances, _summaries(instances if everything else _kept(instances, options)))
        after[name] = known
    if memory is not None:
        memory[_SUMMARIES] = after
    found = sorted((summary for _, summed_up in after.values() for summary in summed_up), key=lambda one: one.name)
    return Read(found, max_index(txn, "nodes", "services", "checks"), (topics.NODES, topics.SERVICES, topics.CHECKS))


def _kept(instances: Instances, options: ReadOptions) -> list[Instance]:
    return [
        item
        for item in instances
        if catalog.may_read_instance(options.authorizer, item.node, item.service)
        and (options.filter is None or options.filter(render.instance_dict(item)))
    ]


def _summaries(instances: Iterable[Instance]) -> list[ServiceSummary]:
    """One for each name among the instances, which may differ in case."""
    found: dict[str, ServiceSummary] = {}
    for item in instances:
        name = item.service.service
        summary = found.get(name)
        if summary is None:
            summary = found[name] = ServiceSummary(name, "", [], [], 0, 0, 0, [])
        _add(summary, item)
    for summary in found.values():
        summary.nodes.sort()
    return list(found.values())


def _add(summary: ServiceSummary, item: Instance) -> None:
    row = item.service
    summary.kind = row.kind
    _add_missing(summary.tags, *(row.tags or ()))
    summary.nodes.append(item.node.node)
    source = (row.meta or {}).get(EXTERNAL_SOURCE)
    if source:
        _add_missing(summary.external_sources, source)
    for check in item.checks:
        if check.status == health.PASSING:
            summary.checks_passing += 1
        elif check.status == health.WARNING:
            summary.checks_warning += 1
        elif check.status == health.CRITICAL:
            summary.checks_critical += 1


def _add_missing(target: list[str], *items: str) -> None:
    for item in items:
        if item not in target:
            target.append(item)
