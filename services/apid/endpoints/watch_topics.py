"""What can be watched: each topic's rows, how a row is told apart, and its JSON.

A topic is written like a path with a query: `kv/app/` (every key under a prefix), `kv/app/port?exact` (one key),
`health/web?passing&tag=v1`, `services`, `nodes`, `sessions`, `events` or `events/deploy`. Parts of it are
percent-encoded once, and the whole once more where it travels as a query parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, BadRequest, Forbidden
from apid.core.parameters import parse_bool, parse_query, raw_bytes, raw_text, unescape_path
from apid.endpoints.event import event_dict
from apid.endpoints.selection import parse_filter
from apid.node.watching import EventsTopic, Rows, Topic
from lictor.acl import Authorizer
from lictor.state import render, topics
from lictor.state.queries import catalog, health, kv, session
from lictor.state.queries.read import Instance, ReadOptions
from lictor.state.store import ReadTxn

MAX_TOPIC_BYTES = 8192
KNOWN = "kv/<prefix>, health/<service>, services, nodes, sessions, events"


def parse_topic(text: str) -> Topic | EventsTopic:
    """The topic that a text means. Errors: BadRequest that names what is wrong with it."""
    raw = raw_bytes(text)
    if len(raw) > MAX_TOPIC_BYTES:
        raise BadRequest(f"A topic is longer than {MAX_TOPIC_BYTES} bytes")
    raw_path, _, raw_query = raw.partition(b"?")
    path = unescape_path(raw_path)
    if path is None:
        raise BadRequest(f"Invalid escape in topic '{text}'")
    kind, slash, rest = path.partition("/")
    options = parse_query(raw_query)
    make = _KINDS.get(kind)
    if make is None or (slash and kind in _PLAIN):
        raise BadRequest(f"Unknown topic '{text}': known are {KNOWN}")
    unknown = options.keys() - _OPTIONS.get(kind, frozenset())
    if unknown:
        raise BadRequest(f"Unknown option '{min(unknown)}' in topic '{text}'")
    return make(text, rest, options)


Options = dict[str, list[str]]


def _flag(options: Options, name: str) -> bool:
    values = options.get(name)
    if values is None:
        return False
    if not values[0]:
        return True
    try:
        return parse_bool(values[0])
    except ValueError:
        raise BadRequest(f"Invalid value for ?{name}") from None


def _kv(text: str, rest: str, options: Options) -> Topic:
    key = raw_bytes(rest)
    if not _flag(options, "exact"):
        return Topic(text, (topics.kv_prefix(key),), lambda txn, who: _keys(txn, key, who), render.kv_entry, _key_json)
    if not key:
        raise BadRequest("Missing key name")
    return Topic(text, (topics.kv(key),), lambda txn, who: _one_key(txn, key, who), render.kv_entry, _key_json)


def _keys(txn: ReadTxn, prefix: bytes, authorizer: Authorizer) -> Rows:
    return {key: (entry.modify_index, entry) for key, entry in kv.list_prefix(txn, prefix, authorizer).value}


def _one_key(txn: ReadTxn, key: bytes, authorizer: Authorizer) -> Rows:
    if not authorizer.key_read(raw_text(key)):
        raise Forbidden(PERMISSION_DENIED)
    entry = kv.get(txn, key).value
    return {} if entry is None else {key: (entry.modify_index, entry)}


def _key_json(key: bytes) -> bytes:
    return render.keys([key])[1:-1]


def _health(text: str, service: str, options: Options) -> Topic:
    if not service:
        raise BadRequest("Missing service name")
    passing, tags = _flag(options, "passing"), tuple(options.get("tag", ()))
    keep = parse_filter(options.get("filter", [""])[0], "HEALTH_SERVICE")
    pairs = (pair.partition(":") for pair in options.get("node-meta", ()))
    node_meta = {name: value for name, _, value in pairs}

    def read(txn: ReadTxn, authorizer: Authorizer) -> Rows:
        narrowed = ReadOptions(authorizer=authorizer, node_meta=node_meta, filter=keep)
        found = health.service(txn, service, tags, passing, options=narrowed).value
        return {(item.node.node, item.service.id): (_instance_version(item), item) for item in found}

    return Topic(
        text, (topics.service(service),), read, lambda _, item: render.instance(item), lambda key: _instance_key(*key)
    )


def _instance_version(item: Instance) -> Hashable:
    checks = tuple((check.check_id, check.modify_index) for check in item.checks)
    return item.node.id, item.node.modify_index, item.service.modify_index, checks


def _instance_key(node: str, service_id: str) -> bytes:
    return render.dumps({"Node": node, "ServiceID": service_id})


def _services(text: str, _: str, options: Options) -> Topic:
    def read(txn: ReadTxn, authorizer: Authorizer) -> Rows:
        tags_of = catalog.services(txn, ReadOptions(authorizer=authorizer)).value
        return {name: (tuple(tags), tags) for name, tags in tags_of.items()}

    return Topic(
        text,
        (topics.SERVICES,),
        read,
        lambda name, tags: render.dumps({"Name": name, "Tags": tags}),
        render.dumps,
    )


def _nodes(text: str, _: str, options: Options) -> Topic:
    def read(txn: ReadTxn, authorizer: Authorizer) -> Rows:
        found = catalog.nodes(txn, ReadOptions(authorizer=authorizer)).value
        return {row.node: (row.modify_index, row) for row in found}

    return Topic(text, (topics.NODES,), read, lambda _, row: render.node(row), render.dumps)


def _sessions(text: str, _: str, options: Options) -> Topic:
    def read(txn: ReadTxn, authorizer: Authorizer) -> Rows:
        found = session.list_all(txn, ReadOptions(authorizer=authorizer)).value
        return {row.id: (row.modify_index, row) for row in found}

    return Topic(text, (topics.SESSIONS,), read, lambda _, row: render.dumps(render.session_dict(row)), render.dumps)


def _events(text: str, name: str, options: Options) -> EventsTopic:
    return EventsTopic(text, name, lambda event: to_json(event_dict(event)))


_PLAIN = frozenset(("services", "nodes", "sessions"))
_KINDS: Mapping[str, Callable[[str, str, Options], Topic | EventsTopic]] = {
    "kv": _kv,
    "health": _health,
    "services": _services,
    "nodes": _nodes,
    "sessions": _sessions,
    "events": _events,
}
_OPTIONS: Mapping[str, Iterable[str]] = {
    "kv": frozenset(("exact",)),
    "health": frozenset(("passing", "tag", "filter", "node-meta")),
}
