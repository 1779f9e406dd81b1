"""Sessions."""

from __future__ import annotations

from lictor.state import keys, topics
from lictor.state.queries.read import NO_OPTIONS, QueryError, Read, ReadOptions, max_index
from lictor.state.rows import Session, decode_session
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid


def info(txn: ReadTxn, session_id: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Session]]:
    """The session, if there is one. Errors: QueryError when the ID is no UUID."""
    row = find(txn, session_id)
    found = [row] if row is not None and options.authorizer.session_read(row.node) else []
    return Read(found, max_index(txn, "sessions"), (topics.session(session_id),))


def find(txn: ReadTxn, session_id: str) -> Session | None:
    problem = check_uuid(session_id)
    if problem:
        raise QueryError(f"failed session lookup: {problem}")
    raw = txn.get(keys.session(session_id))
    return None if raw is None else decode_session(raw)


def list_all(txn: ReadTxn, options: ReadOptions = NO_OPTIONS) -> Read[list[Session]]:
    rows = [decode_session(raw) for _, raw in txn.scan(keys.session(""))]
    found = [row for row in rows if options.authorizer.session_read(row.node)]
    return Read(found, max_index(txn, "sessions"), (topics.SESSIONS,))


def of_node(txn: ReadTxn, node: str, options: ReadOptions = NO_OPTIONS) -> Read[list[Session]]:
    prefix = keys.sessions_of_node(node)
    found = []
    for key, _ in txn.scan(prefix):
        raw = txn.get(b"X" + key[len(prefix) :])
        assert raw is not None, "a session index without its session"
        row = decode_session(raw)
        if options.authorizer.session_read(row.node):
            found.append(row)
    return Read(found, max_index(txn, "sessions"), (topics.sessions_of_node(node),))
