"""Intentions: list, match, and whether a connection is allowed."""

from __future__ import annotations

from collections.abc import Sequence

from lictor.state import keys, topics
from lictor.state.machine.intention import WILDCARD, describe
from lictor.state.queries.read import NO_OPTIONS, QueryError, Read, ReadOptions, max_index
from lictor.state.rows import Intention, decode_intention
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid

DEFAULT_NAMESPACE = "default"


def by_precedence(row: Intention) -> tuple[int, str, str, str, str]:
    """Order of evaluation: highest precedence first, then by names."""
    return (-row.precedence, row.source_ns, row.source_name, row.destination_ns, row.destination_name)


def list_all(txn: ReadTxn, options: ReadOptions = NO_OPTIONS) -> Read[list[Intention]]:
    rows = [decode_intention(raw) for _, raw in txn.scan(keys.intention(""))]
    authorizer = options.authorizer
    found = [
        row
        for row in rows
        if authorizer.intention_read(row.source_name) or authorizer.intention_read(row.destination_name)
    ]
    found.sort(key=by_precedence)
    return Read(found, max_index(txn, "connect-intentions"), (topics.INTENTIONS,))


def get(txn: ReadTxn, intention_id: str) -> Read[Intention | None]:
    """One intention. Errors: QueryError (400) when the ID is no UUID."""
    problem = check_uuid(intention_id)
    if problem:
        raise QueryError(f"failed intention lookup: {problem}", "bad-request")
    raw = txn.get(keys.intention(intention_id))
    found = None if raw is None else decode_intention(raw)
    return Read(found, max_index(txn, "connect-intentions"), (topics.INTENTIONS,))


def match(txn: ReadTxn, by_source: bool, name: str, namespace: str = DEFAULT_NAMESPACE) -> Read[list[Intention]]:
    """Every intention whose source (or destination) covers the name, whatever its case, by precedence."""
    namespaces, names = (namespace.lower(), WILDCARD), (name.lower(), WILDCARD)
    found = []
    for _, raw in txn.scan(keys.intention("")):
        row = decode_intention(raw)
        own_namespace, own = (
            (row.source_ns, row.source_name) if by_source else (row.destination_ns, row.destination_name)
        )
        if own_namespace.lower() in namespaces and own.lower() in names:
            found.append(row)
    found.sort(key=by_precedence)
    return Read(found, max_index(txn, "connect-intentions"), (topics.INTENTIONS,))


def decisive(rows: Sequence[Intention], source_ns: str, source: str) -> Intention | None:
    """Of a destination's intentions by precedence, the one that decides about a source."""
    for row in rows:
        if row.source_ns in (source_ns, WILDCARD) and row.source_name in (source, WILDCARD):
            return row
    return None


def decide(txn: ReadTxn, source: str, destination: str, default_allow: bool) -> tuple[bool, str]:
    """Whether source may connect to destination, and the reason as shown."""
    row = decisive(match(txn, False, destination).value, DEFAULT_NAMESPACE, source)
    if row is not None:
        return row.action == "allow", f"Matched intention: {describe(row)}"
    return default_allow, "Default behavior configured by ACLs"


def find_for_change(txn: ReadTxn, intention_id: str, deed: str) -> Intention:
    """The intention to `modify` or `delete`. Errors: QueryError when there is none."""
    try:
        row = get(txn, intention_id).value
    except QueryError as error:
        raise QueryError(f"Intention lookup failed: {error.text}") from error
    if row is None:
        raise QueryError(f"Cannot {deed} non-existent intention: '{intention_id}'")
    return row
