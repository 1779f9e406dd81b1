"""Checks, and services with their checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lictor.acl import Authorizer
from lictor.state import keys, render, topics
from lictor.state.machine.catalog import service_index
from lictor.state.queries import catalog
from lictor.state.queries.distance import sort_by_distance
from lictor.state.queries.instances import instances_with_checks, only_passing
from lictor.state.queries.read import (
    NO_OPTIONS,
    Instance,
    Read,
    ReadOptions,
    max_index,
    meta_matches,
)
from lictor.state.rows import Check, decode_check
from lictor.state.store import ReadTxn
from lictor.state.writer import read_index

PASSING = "passing"
WARNING = "warning"
CRITICAL = "critical"
ANY = "any"


def node_checks(txn: ReadTxn, node: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Check]]:
    rows = (decode_check(raw) for _, raw in txn.scan(keys.checks_of_node(node)))
    return Read(
        _narrowed(txn, rows, options, by_node_meta=False), max_index(txn, "checks"), (topics.node_checks(node),)
    )


def service_checks(txn: ReadTxn, service: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Check]]:
    """Checks that belong to instances of the service."""
    prefix = keys.checks_of_service(service)
    rows = _followed(txn, prefix)
    waits = [topics.service_checks(service)]
    if options.node_meta:
        waits += [topics.service(service), topics.NODES]
        index = read_index(txn, service_index(service)) or max_index(txn, "nodes", "services", "checks")
    else:
        index = max_index(txn, "checks")
    return Read(_narrowed(txn, rows, options), index, tuple(waits))


def state(txn: ReadTxn, status: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Check]]:
    """Checks in the state, or all for `any`."""
    if status == ANY:
        rows: Iterable[Check] = (decode_check(raw) for _, raw in txn.scan(b"C"))
        waits = [topics.CHECKS]
    else:
        rows = (row for row in _followed(txn, keys.checks_in_state(status)) if row.status == status)
        waits = [topics.state(status)]
    index = max_index(txn, "checks")
    if options.node_meta:
        waits.append(topics.NODES)
    return Read(_narrowed(txn, rows, options), index, tuple(waits))


def service(
    txn: ReadTxn,
    name: str,
    tags: Sequence[str] = (),
    passing: bool = False,
    connect: bool = False,
    options: ReadOptions = NO_OPTIONS,
) -> Read[Sequence[Instance]]:
    """Instances of a service with their checks; with `passing` only those whose every check passes.

    Tags do not narrow what takes connect traffic for the service.
    """
    everything = instances_with_checks(txn, name, connect)
    found: Sequence[Instance] = everything
    if tags and not connect:
        found = [item for item in found if catalog.has_tags(item.service, tags)]
    if options.node_meta:
        wanted = options.node_meta
        found = [item for item in found if meta_matches(wanted, item.node.meta)]
    authorizer = options.authorizer
    if not authorizer.allows_all:
        found = [item for item in found if catalog.may_read_instance(authorizer, item.node, item.service)]
    if options.filter is not None:
        keep = options.filter
        found = [item for item in found if keep(render.instance_dict(item))]
    if options.near:
        found = sort_by_distance(txn, options.near, found, lambda item: item.node.node)
    if passing:
        if found is everything:
            found = everything.passing()
        else:
            # The nearest stay first.
            found = [item for item in found if item.passes()] if options.near else only_passing(found)
    names = everything.names
    topic = topics.connect(name) if connect else topics.service(name)
    if names:
        index = max(
            catalog.service_read_index(txn, found_name, True, "nodes", "services", "checks") for found_name in names
        )
    else:
        index = catalog.service_read_index(txn, name, False, "nodes", "services", "checks")
    return Read(found, index, (topic,))


def targets(
    txn: ReadTxn,
    name: str = "",
    tags: Sequence[str] = (),
    passing: bool = False,
    options: ReadOptions = NO_OPTIONS,
) -> Read[Sequence[Instance]]:
    """Instances of one service or of all, as `service` narrows them, in order of names and nodes."""
    if name:
        return service(txn, name, tags, passing, options=options)
    found: list[Instance] = []
    for each in catalog.service_names(txn):
        found += service(txn, each, tags, passing, options=options).value
    return Read(found, max_index(txn, "nodes", "services", "checks"), (topics.NODES, topics.SERVICES, topics.CHECKS))


# ---------------------------------------------------------------------------------------------------- pieces


def _followed(txn: ReadTxn, prefix: bytes) -> Iterable[Check]:
    length = len(prefix)
    for key, _ in txn.scan(prefix):
        raw = txn.get(b"C" + key[length:])
        assert raw is not None, "a check index without its check"
        yield decode_check(raw)


def may_read_check(authorizer: Authorizer, row: Check) -> bool:
    if authorizer.allows_all:
        return True
    if not authorizer.node_read(row.node):
        return False
    return not row.service_name or authorizer.service_read(row.service_name)


def _narrowed(txn: ReadTxn, rows: Iterable[Check], options: ReadOptions, by_node_meta: bool = True) -> list[Check]:
    found = [row for row in rows if may_read_check(options.authorizer, row)]
    if options.node_meta and by_node_meta:
        found = [row for row in found if _node_has_meta(txn, row.node, options)]
    if options.filter is not None:
        keep = options.filter
        found = [row for row in found if keep(render.check_dict(row))]
    if options.near:
        found = sort_by_distance(txn, options.near, found, lambda row: row.node)
    return found


def _node_has_meta(txn: ReadTxn, name: str, options: ReadOptions) -> bool:
    node = catalog.find_node(txn, name)
    return node is not None and meta_matches(options.node_meta, node.meta)
