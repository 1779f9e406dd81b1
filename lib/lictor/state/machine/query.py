"""Prepared queries as records: names, templates and the sessions they are bound to."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import Done, Name, QueryDelete, QuerySet, Result
from lictor.state.machine.session import remove_query, unlink_query
from lictor.state.rows import PreparedQuery, decode_query, encode
from lictor.state.uuids import check_uuid, is_uuid
from lictor.state.writer import Refused, Writer


def set_query(writer: Writer, command: QuerySet) -> Result:
    query = command.query
    if not query.id:
        raise Refused("Missing Query ID")
    raw = writer.get(keys.query(query.id))
    existing = None if raw is None else decode_query(raw)
    if query.name:
        holder = writer.get(keys.query_by_name(query.name))
        if holder is not None and holder != keys.fold(query.id):
            raise Refused(f"name '{query.name}' aliases an existing query name")
    elif is_template(query):
        holder = writer.get(keys.query_template(""))
        if holder is not None and holder != keys.fold(query.id):
            raise Refused("a query template with an empty name already exists")
    if is_uuid(query.name) and writer.get(keys.query(query.name)) is not None:
        raise Refused(f"name '{query.name}' aliases an existing query ID")
    if query.session:
        problem = check_uuid(query.session)
        if problem:
            raise Refused(f"invalid session: {problem}")
        if writer.get(keys.session(query.session)) is None:
            raise Refused(f'invalid session "{query.session}"')
    if existing is not None:
        unlink_query(writer, existing)
    insert_query(
        writer,
        replace(query, create_index=existing.create_index if existing else writer.index, modify_index=writer.index),
    )
    writer.bump("prepared-queries")
    return Name(query.id)


def is_template(query: PreparedQuery) -> bool:
    return bool(query.template.get("Type"))


def insert_query(writer: Writer, query: PreparedQuery) -> None:
    """The record and what finds it."""
    folded = keys.fold(query.id)
    writer.put(keys.query(query.id), encode(query))
    if query.name:
        writer.put(keys.query_by_name(query.name), folded)
    if is_template(query):
        writer.put(keys.query_template(query.name), folded)
    if query.session:
        writer.put(keys.queries_of_session(query.session) + folded, b"")
    writer.changed(topics.QUERIES)


def delete_query(writer: Writer, command: QueryDelete) -> Result:
    """Unknown IDs are no error here."""
    problem = check_uuid(command.query_id)
    if problem:
        raise Refused(f"failed prepared query lookup: {problem}")
    remove_query(writer, keys.fold(command.query_id))
    return Done()
