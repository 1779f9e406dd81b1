"""Sessions: what ends them, and what their end does to the locks and prepared queries bound to them."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import Name, Result, SessionCreate
from lictor.state.machine import kv
from lictor.state.rows import PreparedQuery, Session, decode_check, decode_query, decode_session, encode
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused, ReleasedLock, Writer

LOCK_DELAY_MAX_NS = 60_000_000_000
CRITICAL = "critical"


def check_ids(session: Session) -> list[str]:
    """Every check the session's life hangs on."""
    of_services = [entry["ID"] for entry in session.service_checks or []]
    return [*(session.checks or []), *(session.node_checks or []), *of_services]


def create(writer: Writer, command: SessionCreate) -> Result:
    wanted = command.session
    if not wanted.id:
        raise Refused("Missing session ID")
    if wanted.behavior not in ("", "release", "delete"):
        raise Refused(f"Invalid session behavior: {wanted.behavior}")
    if writer.get(keys.node(wanted.node)) is None:
        raise Refused("Missing node registration")
    for check_id in check_ids(wanted):
        raw = writer.get(keys.check(wanted.node, check_id))
        if raw is None:
            raise Refused(f"Missing check '{check_id}' registration")
        if decode_check(raw).status == CRITICAL:
            raise Refused(f"Check '{check_id}' is in {CRITICAL} state")
    session = replace(
        wanted, behavior=wanted.behavior or "release", create_index=writer.index, modify_index=writer.index
    )
    insert(writer, session)
    writer.bump("sessions")
    writer.created_sessions.append(session.id)
    return Name(session.id)


def insert(writer: Writer, session: Session) -> None:
    """The record and what finds it."""
    folded = keys.fold(session.id)
    writer.put(keys.session(session.id), encode(session))
    writer.put(keys.sessions_of_node(session.node) + folded, b"")
    for check_id in check_ids(session):
        writer.put(keys.sessions_of_check(session.node, check_id) + folded, b"")
    _changed(writer, session)


def destroy(writer: Writer, session_id: str) -> None:
    """Unknown sessions are no error; an ID that is not a UUID is."""
    problem = check_uuid(session_id)
    if problem:
        raise Refused(f"failed session lookup: {problem}")
    remove(writer, session_id)


def remove(writer: Writer, session_id: str) -> None:
    """Ends the session: releases or deletes what it held, deletes the prepared queries bound to it."""
    raw = writer.get(keys.session(session_id))
    if raw is None:
        return
    session = decode_session(raw)
    folded = keys.fold(session.id)
    writer.delete(keys.session(session.id))
    writer.delete(keys.sessions_of_node(session.node) + folded)
    for check_id in check_ids(session):
        writer.delete(keys.sessions_of_check(session.node, check_id) + folded)
    writer.bump("sessions")
    writer.destroyed_sessions.append(session.id)
    _changed(writer, session)
    delay_ns = min(session.lock_delay_ns, LOCK_DELAY_MAX_NS)
    held = keys.kv_of_session(session.id)
    for record, _ in writer.scan(held):
        key = record[len(held) :]
        if session.behavior == "delete":
            kv.delete_key(writer, key)
        else:
            kv.release(writer, key)
        if delay_ns > 0:
            writer.released_locks.append(ReleasedLock(key, delay_ns))
    bound = keys.queries_of_session(session.id)
    for record, _ in writer.scan(bound):
        remove_query(writer, record[len(bound) :])


def remove_query(writer: Writer, folded_id: bytes) -> None:
    """A prepared query and what finds it."""
    raw = writer.get(b"Q" + folded_id)
    if raw is None:
        return
    query = decode_query(raw)
    writer.delete(b"Q" + folded_id)
    unlink_query(writer, query)
    writer.bump("prepared-queries")
    writer.topics.add(topics.QUERIES)


def unlink_query(writer: Writer, query: PreparedQuery) -> None:
    """What finds a prepared query."""
    if query.name:
        writer.delete(keys.query_by_name(query.name))
    if query.template.get("Type"):
        writer.delete(keys.query_template(query.name))
    if query.session:
        writer.delete(keys.queries_of_session(query.session) + keys.fold(query.id))


def remove_where(writer: Writer, prefix: bytes) -> None:
    """Ends every session whose ID follows the prefix of an index."""
    for record, _ in writer.scan(prefix):
        remove(writer, record[len(prefix) :].decode())


def _changed(writer: Writer, session: Session) -> None:
    writer.changed(topics.SESSIONS, topics.session(session.id), topics.sessions_of_node(session.node))
