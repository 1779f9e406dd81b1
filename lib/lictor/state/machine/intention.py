"""Intentions: who may talk to whom. One per pair of names."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import Done, IntentionDelete, IntentionReplicate, IntentionSet, Name, Result
from lictor.state.rows import Intention, decode_intention, encode
from lictor.state.writer import Refused, Writer

WILDCARD = "*"


def precedence(source_ns: str, source: str, destination_ns: str, destination: str) -> int:
    """9 (exact names on both sides) down to 1 (`*/*` on both); the destination counts more."""
    destination_exact = 2 if destination != WILDCARD else 1 if destination_ns != WILDCARD else 0
    source_exact = 2 if source != WILDCARD else 1 if source_ns != WILDCARD else 0
    return 3 * destination_exact + source_exact + 1


def describe(intention: Intention) -> str:
    """As error texts and authorization reasons show it."""
    return (
        f"{intention.action.upper()} {intention.source_ns}/{intention.source_name} => "
        f"{intention.destination_ns}/{intention.destination_name} "
        f"(ID: {intention.id}, Precedence: {intention.precedence})"
    )


def find(writer: Writer, intention_id: str) -> Intention | None:
    raw = writer.get(keys.intention(intention_id))
    return None if raw is None else decode_intention(raw)


def names_key(intention: Intention) -> bytes:
    return keys.intention_by_names(
        intention.source_ns, intention.source_name, intention.destination_ns, intention.destination_name
    )


def set_intention(writer: Writer, command: IntentionSet) -> Result:
    wanted = command.intention
    if not wanted.id:
        raise Refused("Missing Intention ID")
    existing = find(writer, wanted.id)
    holder = writer.get(names_key(wanted))
    if holder is not None and holder != keys.fold(wanted.id):
        raw = writer.get(b"J" + holder)
        assert raw is not None, "the pair of names leads to no intention"
        raise Refused(f"duplicate intention found: {describe(decode_intention(raw))}")
    intention = replace(
        wanted,
        precedence=precedence(wanted.source_ns, wanted.source_name, wanted.destination_ns, wanted.destination_name),
        meta=wanted.meta if wanted.meta is not None else {},
        created_at_ns=existing.created_at_ns if existing else wanted.created_at_ns,
        create_index=existing.create_index if existing else writer.index,
        modify_index=writer.index,
    )
    if existing is not None and writer.get(names_key(existing)) == keys.fold(existing.id):
        writer.delete(names_key(existing))
    insert_intention(writer, intention)
    writer.bump("connect-intentions")
    return Name(intention.id)


def insert_intention(writer: Writer, intention: Intention) -> None:
    """The record and what finds it."""
    writer.put(keys.intention(intention.id), encode(intention))
    writer.put(names_key(intention), keys.fold(intention.id))
    writer.changed(topics.INTENTIONS)


def delete_intention(writer: Writer, command: IntentionDelete) -> Result:
    """Unknown IDs are no error here."""
    _remove(writer, command.intention_id)
    return Done()


def _remove(writer: Writer, intention_id: str) -> None:
    existing = find(writer, intention_id)
    if existing is not None:
        writer.delete(keys.intention(existing.id))
        writer.delete(names_key(existing))
        writer.bump("connect-intentions")
        writer.changed(topics.INTENTIONS)


def replicate(writer: Writer, command: IntentionReplicate) -> Result:
    """Removes, then sets; intentions of one command may exchange their names."""
    for intention_id in command.deletes:
        _remove(writer, intention_id)
    for wanted in command.intentions:
        existing = find(writer, wanted.id)
        if existing is not None:
            writer.delete(names_key(existing))
    for wanted in command.intentions:
        set_intention(writer, IntentionSet(wanted))
    return Done()
