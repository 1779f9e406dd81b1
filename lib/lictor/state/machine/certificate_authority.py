"""The certificate authority's records: configuration, roots, and what the built-in provider keeps."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import (
    CADeleteProviderState,
    CASetConfig,
    CASetProviderState,
    CASetRoots,
    Done,
    Outcome,
    Result,
)
from lictor.state.rows import (
    CAConfig,
    CAProviderState,
    CARoot,
    decode_ca_config,
    decode_ca_provider_state,
    decode_ca_roots,
    encode,
)
from lictor.state.writer import Refused, Writer

SERIAL_INDEX = "connect-ca-builtin-serial"
"""Not an index but a counter, kept among them as Consul does."""


def find_config(writer: Writer) -> CAConfig | None:
    raw = writer.get(keys.CA_CONFIG)
    return None if raw is None else decode_ca_config(raw)


def find_roots(writer: Writer) -> list[CARoot]:
    raw = writer.get(keys.CA_ROOTS)
    return [] if raw is None else decode_ca_roots(raw)


def set_config(writer: Writer, command: CASetConfig) -> Result:
    existing = find_config(writer)
    if command.cas_index is not None and (existing.modify_index if existing else 0) != command.cas_index:
        return Outcome(False)
    _store_config(writer, command.config, existing)
    return Outcome(True)


def _store_config(writer: Writer, wanted: CAConfig, existing: CAConfig | None) -> None:
    config = replace(
        wanted,
        cluster_id=wanted.cluster_id or (existing.cluster_id if existing else ""),
        create_index=existing.create_index if existing else writer.index,
        modify_index=writer.index,
    )
    writer.put(keys.CA_CONFIG, encode(config))
    writer.bump("connect-ca-config")
    writer.changed(topics.CA_CONFIG)


def set_roots(writer: Writer, command: CASetRoots) -> Result:
    if sum(1 for root in command.roots if root.active) != 1:
        raise Refused("there must be exactly one active CA root")
    if writer.index_of("connect-ca-roots") != command.cas_index:
        return Outcome(False)
    config = find_config(writer)
    if command.config is not None and (config.modify_index if config else 0) != command.config_cas_index:
        return Outcome(False)
    before = {root.id: root for root in find_roots(writer)}
    roots = []
    for root in command.roots:
        if not root.id:
            raise Refused("Missing CA root ID")
        old = before.get(root.id)
        roots.append(replace(root, create_index=old.create_index if old else writer.index, modify_index=writer.index))
    writer.put(keys.CA_ROOTS, encode(roots))
    writer.bump("connect-ca-roots")
    writer.changed(topics.CA_ROOTS)
    if command.config is not None:
        _store_config(writer, command.config, config)
    if command.provider_state is not None:
        _store_provider_state(writer, command.provider_state)
    return Outcome(True)


def set_provider_state(writer: Writer, command: CASetProviderState) -> Result:
    _store_provider_state(writer, command.state)
    return Outcome(True)


def _store_provider_state(writer: Writer, wanted: CAProviderState) -> None:
    key = keys.ca_provider_state(wanted.id)
    raw = writer.get(key)
    state = replace(
        wanted,
        create_index=decode_ca_provider_state(raw).create_index if raw is not None else writer.index,
        modify_index=writer.index,
    )
    writer.put(key, encode(state))
    writer.bump("connect-ca-builtin")


def delete_provider_state(writer: Writer, command: CADeleteProviderState) -> Result:
    writer.delete(keys.ca_provider_state(command.state_id))
    writer.bump("connect-ca-builtin")
    return Done()


def next_serial(writer: Writer) -> int:
    """Begins at the index of the first such command, then counts."""
    last = writer.index_of(SERIAL_INDEX)
    serial = last + 1 if last else writer.index
    writer.set_index(SERIAL_INDEX, serial)
    return serial
