"""Keys, locks and tombstones.

Rules (Consul 1.7: state machine, sections 1 and 4): a plain set keeps the lock holder and resets the lock
index to 0; an identical set changes nothing; LockIndex grows by one with every acquisition by a new holder; a delete
leaves a tombstone that keeps the indexes of lists moving; a recursive delete leaves one, under the prefix, and none for
the root.
"""

from __future__ import annotations

from lictor.state import keys, topics
from lictor.state.commands import KV, Outcome, Result
from lictor.state.rows import KVEntry, decode_kv, encode
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused, Writer


def apply_kv(writer: Writer, command: KV) -> Result:
    verb = command.verb
    if verb == "set":
        set_key(writer, command.key, command.value, command.flags)
        return _TRUE
    if verb == "cas":
        return Outcome(set_cas(writer, command.key, command.value, command.flags, command.index))
    if verb == "delete":
        delete_key(writer, command.key)
        return _TRUE
    if verb == "delete-cas":
        return Outcome(delete_cas(writer, command.key, command.index))
    if verb == "delete-tree":
        delete_tree(writer, command.key)
        return _TRUE
    if verb == "lock":
        return Outcome(lock(writer, command.key, command.value, command.flags, command.session))
    if verb == "unlock":
        return Outcome(unlock(writer, command.key, command.value, command.flags, command.session))
    raise Refused(f"Invalid KVS operation '{verb}'")


_TRUE = Outcome(True)


def find(writer: Writer, key: bytes) -> KVEntry | None:
    raw = writer.get(keys.kv(key))
    return None if raw is None else decode_kv(raw)


def set_key(writer: Writer, key: bytes, value: bytes | None, flags: int) -> None:
    """Keeps the lock holder, resets the lock index."""
    existing = find(writer, key)
    store(writer, key, existing, KVEntry(0, flags, value, existing.session if existing else "", 0, 0))


def store(writer: Writer, key: bytes, existing: KVEntry | None, wanted: KVEntry) -> None:
    """Writes the entry with its indexes set; nothing when it is as it was."""
    if existing is None:
        created = writer.index
    else:
        created = existing.create_index
        if (
            existing.value == wanted.value
            and existing.flags == wanted.flags
            and existing.session == wanted.session
            and existing.lock_index == wanted.lock_index
        ):
            return
        if existing.session and existing.session != wanted.session:
            writer.delete(keys.kv_of_session(existing.session) + key)
    if wanted.session and (existing is None or existing.session != wanted.session):
        writer.put(keys.kv_of_session(wanted.session) + key, b"")
    entry = KVEntry(wanted.lock_index, wanted.flags, wanted.value, wanted.session, created, writer.index)
    writer.put(keys.kv(key), encode(entry))
    writer.bump("kvs")
    writer.topics.add(topics.kv(key))


def set_cas(writer: Writer, key: bytes, value: bytes | None, flags: int, index: int) -> bool:
    """Index 0: only if absent; else only if it is the entry's ModifyIndex."""
    existing = find(writer, key)
    if (existing.modify_index if existing else 0) != index:
        return False
    set_key(writer, key, value, flags)
    return True


def delete_key(writer: Writer, key: bytes) -> None:
    existing = find(writer, key)
    if existing is None:
        return
    writer.delete(keys.kv(key))
    if existing.session:
        writer.delete(keys.kv_of_session(existing.session) + key)
    _bury(writer, key)
    writer.bump("kvs")
    writer.topics.add(topics.kv(key))


def delete_cas(writer: Writer, key: bytes, index: int) -> bool:
    """A missing key is a success."""
    existing = find(writer, key)
    if existing is None:
        return True
    if existing.modify_index != index:
        return False
    delete_key(writer, key)
    return True


def delete_tree(writer: Writer, prefix: bytes) -> None:
    found = writer.scan(keys.kv(prefix))
    if not found:
        return
    for key, raw in found:
        writer.delete(key)
        holder = decode_kv(raw).session
        if holder:
            writer.delete(keys.kv_of_session(holder) + key[1:])
    if prefix:
        _bury(writer, prefix)
    writer.bump("kvs")
    writer.topics.add(topics.kv_prefix(prefix))


def lock(writer: Writer, key: bytes, value: bytes | None, flags: int, session_id: str) -> bool:
    """False when another session holds it."""
    if not session_id:
        raise Refused("missing session")
    problem = check_uuid(session_id)
    if problem:
        raise Refused(f"failed session lookup: {problem}")
    if writer.get(keys.session(session_id)) is None:
        raise Refused(f'invalid session "{session_id}"')
    existing = find(writer, key)
    if existing is None:
        lock_index = 1
    elif existing.session:
        if existing.session != session_id:
            return False
        lock_index = existing.lock_index
    else:
        lock_index = existing.lock_index + 1
    store(writer, key, existing, KVEntry(lock_index, flags, value, session_id, 0, 0))
    return True


def unlock(writer: Writer, key: bytes, value: bytes | None, flags: int, session_id: str) -> bool:
    """False when the session does not hold it. Value and flags are written all the same as with a set."""
    if not session_id:
        raise Refused("missing session")
    existing = find(writer, key)
    if existing is None or existing.session != session_id:
        return False
    store(writer, key, existing, KVEntry(existing.lock_index, flags, value, "", 0, 0))
    return True


def release(writer: Writer, key: bytes) -> None:
    """The holder is gone: the key keeps everything but its session."""
    existing = find(writer, key)
    assert existing is not None, "a session holds a key that does not exist"
    store(writer, key, existing, KVEntry(existing.lock_index, existing.flags, existing.value, "", 0, 0))


def _bury(writer: Writer, key: bytes) -> None:
    writer.put(keys.tombstone(key), writer.index.to_bytes(8, "big"))
    writer.bump("tombstones")


def reap_tombstones(writer: Writer, index: int) -> None:
    """Forgets tombstones of the index and before."""
    for key, raw in writer.scan(keys.tombstone(b"")):
        if int.from_bytes(raw, "big") <= index:
            writer.delete(key)
