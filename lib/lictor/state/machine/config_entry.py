"""Configuration entries: written only when every discovery chain they are part of still compiles."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import ConfigDelete, ConfigReplicate, ConfigSet, Done, Outcome, Result
from lictor.state.discovery import references
from lictor.state.rows import ConfigEntry, decode_config_entry, encode
from lictor.state.writer import Refused, Writer


def find(writer: Writer, kind: str, name: str) -> ConfigEntry | None:
    raw = writer.get(keys.config_entry(kind, name))
    return None if raw is None else decode_config_entry(raw)


def set_entry(writer: Writer, command: ConfigSet) -> Result:
    wanted = command.entry
    existing = find(writer, wanted.kind, wanted.name)
    if command.cas_index is not None and (existing.modify_index if existing else 0) != command.cas_index:
        return Outcome(False)
    problem = references.problem_of_change(writer.get, writer.scan, wanted.kind, wanted.name, wanted)
    if problem:
        raise Refused(problem)
    _store(writer, wanted, existing)
    return Outcome(True)


def _store(writer: Writer, wanted: ConfigEntry, existing: ConfigEntry | None) -> None:
    entry = replace(
        wanted,
        create_index=existing.create_index if existing else writer.index,
        modify_index=writer.index,
    )
    insert_entry(writer, entry)
    writer.bump("config-entries")


def insert_entry(writer: Writer, entry: ConfigEntry) -> None:
    writer.put(keys.config_entry(entry.kind, entry.name), encode(entry))
    writer.changed(topics.CONFIG)


def delete_entry(writer: Writer, command: ConfigDelete) -> Result:
    """Missing entries are no error."""
    if find(writer, command.kind, command.name) is None:
        return Done()
    problem = references.problem_of_change(writer.get, writer.scan, command.kind, command.name, None)
    if problem:
        raise Refused(problem)
    _remove(writer, command.kind, command.name)
    return Done()


def _remove(writer: Writer, kind: str, name: str) -> None:
    writer.delete(keys.config_entry(kind, name))
    writer.bump("config-entries")
    writer.changed(topics.CONFIG)


def replicate(writer: Writer, command: ConfigReplicate) -> Result:
    """Missing entries are no error; refused when a chain does not compile afterwards."""
    removed = [(kind, name) for kind, name in command.deletes if find(writer, kind, name) is not None]
    for kind, name in removed:
        _remove(writer, kind, name)
    for entry in command.entries:
        _store(writer, entry, find(writer, entry.kind, entry.name))
    for kind, name in (*removed, *((entry.kind, entry.name) for entry in command.entries)):
        now = find(writer, kind, name)
        problem = references.problem_of_change(writer.get, writer.scan, kind, name, now)
        if problem:
            raise Refused(problem)
    return Done()
