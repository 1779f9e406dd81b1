"""Prepared queries: list, get, resolve by ID, name or template, and the local part of running one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from lictor.acl import ALLOW_ALL, Authorizer
from lictor.state import keys, topics
from lictor.state.interpolation import render_query
from lictor.state.prepare import REDACTED_TOKEN
from lictor.state.queries import health
from lictor.state.queries.distance import sort_by_distance
from lictor.state.queries.read import NO_OPTIONS, Instance, QueryError, Read, ReadOptions, max_index, meta_matches
from lictor.state.rows import PreparedQuery, decode_query
from lictor.state.store import ReadTxn
from lictor.state.templates import TemplateProblem
from lictor.state.uuids import check_uuid, is_uuid

NEAR_NODE_FIRST_WITHIN = 10
"""The near node itself goes first when it is among so many nearest."""


def _shown(row: PreparedQuery, authorizer: Authorizer) -> PreparedQuery:
    """Tokens are for ACL writers."""
    return replace(row, token=REDACTED_TOKEN) if row.token and not authorizer.acl_write() else row


def _may_see(row: PreparedQuery, authorizer: Authorizer) -> bool:
    """A query without a name and template is shown to ACL writers only, others by their name."""
    if authorizer.acl_write():
        return True
    return bool(row.name or row.template["Type"]) and authorizer.query_read(row.name)


def list_all(txn: ReadTxn, options: ReadOptions = NO_OPTIONS) -> Read[list[PreparedQuery]]:
    authorizer = options.authorizer
    rows = (decode_query(raw) for _, raw in txn.scan(keys.query("")))
    found = [_shown(row, authorizer) for row in rows if _may_see(row, authorizer)]
    return Read(found, max_index(txn, "prepared-queries"), (topics.QUERIES,))


def get(
    txn: ReadTxn, query_id: str, rights: Callable[[], Authorizer] = lambda: ALLOW_ALL
) -> Read[PreparedQuery | None]:
    """By ID alone. Errors: QueryError when it is no UUID, or when the query may not be read (denied).

    The rights are asked for only when there is a query.
    """
    row = find(txn, query_id)
    index = max_index(txn, "prepared-queries")
    if row is None:
        return Read(None, index, (topics.QUERIES,))
    authorizer = rights()
    named = bool(row.name or row.template["Type"])
    if named and not _may_see(row, authorizer):
        raise QueryError("Permission denied", "denied")
    return Read(_shown(row, authorizer), index, (topics.QUERIES,))


def find(txn: ReadTxn, query_id: str) -> PreparedQuery | None:
    problem = check_uuid(query_id)
    if problem:
        raise QueryError(f"failed prepared query lookup: {problem}")
    raw = txn.get(keys.query(query_id))
    return None if raw is None else decode_query(raw)


def find_for_change(txn: ReadTxn, query_id: str) -> PreparedQuery:
    """The query to update or delete. Errors: QueryError when there is none."""
    try:
        row = find(txn, query_id)
    except QueryError as error:
        raise QueryError(f"Prepared Query lookup failed: {error.text}") from error
    if row is None:
        raise QueryError(f"Cannot modify non-existent prepared query: '{query_id}'")
    return row


def resolve(txn: ReadTxn, id_or_name: str, segment: str = "") -> PreparedQuery | None:
    """The query to run: by ID, else by exact name, else the template with the longest prefix, filled in."""
    if not id_or_name:
        return None
    if is_uuid(id_or_name):
        raw = txn.get(keys.query(id_or_name))
        if raw is not None:
            row = decode_query(raw)
            if row.template["Type"]:
                raise QueryError("prepared query templates can only be resolved up by name, not by ID")
            return row
    folded = txn.get(keys.query_by_name(id_or_name)) or _longest_template(txn, id_or_name)
    if folded is None:
        return None
    raw = txn.get(b"Q" + folded)
    assert raw is not None, "a prepared query's name leads nowhere"
    row = decode_query(raw)
    if not row.template["Type"]:
        return row
    try:
        return render_query(row, id_or_name, segment)
    except TemplateProblem as problem:
        raise QueryError(str(problem)) from None


def explain(
    txn: ReadTxn, id_or_name: str, rights: Callable[[], Authorizer] = lambda: ALLOW_ALL
) -> PreparedQuery | None:
    """The query that would run, as its reader may see it. Errors: QueryError when it may not be read (denied)."""
    row = resolve(txn, id_or_name)
    if row is None:
        return None
    authorizer = rights()
    if not _may_see(row, authorizer):
        raise QueryError("Permission denied", "denied")
    return _shown(row, authorizer)


def _longest_template(txn: ReadTxn, name: str) -> bytes | None:
    folded = keys.fold(name)
    for length in range(len(folded), -1, -1):
        found = txn.get(b"p" + folded[:length])
        if found is not None:
            return found
    return None


def candidates(
    txn: ReadTxn, query: PreparedQuery, connect: bool = False, options: ReadOptions = NO_OPTIONS
) -> list[Instance]:
    """The instances that a resolved query allows, in no particular order: the caller shuffles, sorts and cuts."""
    service = query.service
    found = health.service(txn, service["Service"], connect=connect or service["Connect"], options=ReadOptions()).value
    ignored = set(service["IgnoreCheckIDs"] or ())
    only_passing = service["OnlyPassing"]
    wanted, unwanted = _split_tags(service["Tags"] or ())
    authorizer = options.authorizer
    return [
        item
        for item in found
        if _is_healthy(item, ignored, only_passing)
        and meta_matches(service["NodeMeta"] or {}, item.node.meta)
        and meta_matches(service["ServiceMeta"] or {}, item.service.meta)
        and _tags_match(item, wanted, unwanted)
        and authorizer.node_read(item.node.node)
        and authorizer.service_read(item.service.service)
    ]


def _is_healthy(item: Instance, ignored: set[str], only_passing: bool) -> bool:
    return all(
        check.status == health.PASSING or (check.status != health.CRITICAL and not only_passing)
        for check in item.checks
        if check.check_id not in ignored
    )


def _split_tags(tags: Sequence[str]) -> tuple[set[str], set[str]]:
    wanted = {tag.lower() for tag in tags if not tag.startswith("!")}
    return wanted, {tag[1:].lower() for tag in tags if tag.startswith("!")}


def _tags_match(item: Instance, wanted: set[str], unwanted: set[str]) -> bool:
    present = {tag.lower() for tag in item.service.tags or ()}
    return wanted <= present and not unwanted & present


def nearest_first(txn: ReadTxn, near: str, items: Sequence[Instance]) -> list[Instance]:
    """By distance from the node, the node itself first when it is among the nearest."""
    ordered = sort_by_distance(txn, near, items, lambda item: item.node.node)
    for position, item in enumerate(ordered[:NEAR_NODE_FIRST_WITHIN]):
        if item.node.node == near:
            ordered.insert(0, ordered.pop(position))
            break
    return ordered
