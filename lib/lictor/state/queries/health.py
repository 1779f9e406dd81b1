"""Checks, and services with their checks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lictor.acl import Authorizer
from lictor.state import keys, render, topics
from lictor.state.machine.catalog import service_index
from lictor.state.queries import catalog
from lictor.state.queries.distance import sort_by_distance
from lictor.state.queries.read import (
    NO_OPTIONS,
    Instance,
    Read,
    ReadOptions,
    max_index,
    meta_matches,
)
from lictor.state.rows import Check, Node, decode_check, decode_node, decode_service
from lictor.state.store import ReadTxn
from lictor.state.writer import read_index

PASSING = "passing"
WARNING = "warning"
CRITICAL = "critical"
ANY = "any"


def node_checks(txn: ReadTxn, node: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Check]]:
    rows = (decode_check(raw) for _, raw in txn.scan(keys.checks_of_node(node)))
    return Read(_narrowed(txn, rows, options), max_index(txn, "checks"), (topics.node_checks(node),))


def service_checks(txn: ReadTxn, service: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Check]]:
    """Checks that belong to instances of the service."""
    prefix = keys.checks_of_service(service)
    rows = _followed(txn, prefix)
    index = read_index(txn, service_index(service)) if options.node_meta else 0
    waits = [topics.service_checks(service)]
    if options.node_meta:
        waits += [topics.service(service), topics.NODES]
    return Read(_narrowed(txn, rows, options), index or max_index(txn, "checks"), tuple(waits))


def state(txn: ReadTxn, status: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Check]]:
    """Checks in the state, or all for `any`."""
    if status == ANY:
        rows: Iterable[Check] = (decode_check(raw) for _, raw in txn.scan(b"C"))
        waits = [topics.CHECKS]
    else:
        rows = _followed(txn, keys.checks_in_state(status))
        waits = [topics.state(status)]
    index = max_index(txn, "checks")
    if options.node_meta:
        waits.append(topics.NODES)
        index = max_index(txn, "nodes", "checks")
    return Read(_narrowed(txn, rows, options), index, tuple(waits))


def service(
    txn: ReadTxn,
    name: str,
    tags: Sequence[str] = (),
    passing: bool = False,
    connect: bool = False,
    options: ReadOptions = NO_OPTIONS,
) -> Read[list[Instance]]:
    """Instances of a service with their checks; with `passing` only those whose every check passes."""
    authorizer = options.authorizer
    prefix = keys.connect_instances(name) if connect else keys.instances(name)
    length = len(prefix)
    get = txn.get
    node_meta = options.node_meta
    names: set[str] = set()
    found: list[Instance] = []
    node_memory: dict[bytes, tuple[Node, list[Check]]] = {}
    for key, _ in txn.scan(prefix):
        place = key[length:]
        raw = get(b"S" + place)
        assert raw is not None, "an instance index without its instance"
        row = decode_service(raw)
        names.add(row.service)
        if tags and not catalog.has_tags(row, tags):
            continue
        node_key = place.partition(b"\0")[0]
        known = node_memory.get(node_key)
        if known is None:
            known = node_memory[node_key] = _node_and_checks(txn, node_key)
        node, checks_of_node = known
        if node_meta and not meta_matches(node_meta, node.meta):
            continue
        if not catalog.may_read_instance(authorizer, node, row):
            continue
        checks = checks_of_node + _checks_at(txn, node_key, b"e" + place + b"\0")
        found.append(Instance(node, row, checks))
    if connect and not authorizer.service_read(name):
        found = []
    if options.filter is not None:
        keep = options.filter
        found = [item for item in found if keep(render.instance_dict(item))]
    if options.near:
        found = sort_by_distance(txn, options.near, found, lambda item: item.node.node)
    if passing:
        found = [item for item in found if all(check.status == PASSING for check in item.checks)]
    topic = topics.connect(name) if connect else topics.service(name)
    if names:
        index = max(
            catalog.service_read_index(txn, found_name, True, "nodes", "services", "checks") for found_name in names
        )
    else:
        index = catalog.service_read_index(txn, name, False, "nodes", "services", "checks")
    return Read(found, index, (topic,))


# ---------------------------------------------------------------------------------------------------- pieces


def _node_and_checks(txn: ReadTxn, node_key: bytes) -> tuple[Node, list[Check]]:
    raw = txn.get(b"N" + node_key)
    assert raw is not None, "an instance without its node"
    return decode_node(raw), _checks_at(txn, node_key, b"e" + node_key + b"\0\0")


def instance_checks(txn: ReadTxn, node: str, service_id: str) -> list[Check]:
    """The checks of one instance; with an empty ID those of the node itself."""
    return _checks_at(txn, keys.fold(node), keys.checks_of_instance(node, service_id))


def _checks_at(txn: ReadTxn, node_key: bytes, prefix: bytes) -> list[Check]:
    found = []
    length = len(prefix)
    base = b"C" + node_key + b"\0"
    get = txn.get
    for key, _ in txn.scan(prefix):
        raw = get(base + key[length:])
        assert raw is not None, "a check index without its check"
        found.append(decode_check(raw))
    return found


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


def _narrowed(txn: ReadTxn, rows: Iterable[Check], options: ReadOptions) -> list[Check]:
    found = [row for row in rows if may_read_check(options.authorizer, row)]
    if options.node_meta:
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
