"""Whether a change of one configuration entry leaves every discovery chain that it is part of sound."""

from __future__ import annotations

from collections.abc import Callable

from lictor.state import keys
from lictor.state.config_entries import (
    PROXY_DEFAULTS,
    RESOLVER,
    ROUTER,
    SPLITTER,
    Body,
    related_services,
)
from lictor.state.discovery.compile import ChainError, Lookup, compile_chain
from lictor.state.rows import ConfigEntry, decode_config_entry

Get = Callable[[bytes], bytes | None]
Scan = Callable[[bytes], list[tuple[bytes, bytes]]]
ANY_DATACENTER = "dc1"
"""Soundness does not depend on the datacenter."""


def problem_of_change(get: Get, scan: Scan, kind: str, name: str, entry: ConfigEntry | None) -> str:
    """What is wrong with the chains after setting the entry (None: deleting it); empty when nothing is."""
    lookup = _changed_lookup(get, kind, name, entry)
    for service in _services_to_check(scan, kind, name, entry):
        try:
            compile_chain(lookup, service, ANY_DATACENTER)
        except ChainError as error:
            return str(error)
    return ""


def _changed_lookup(get: Get, kind: str, name: str, entry: ConfigEntry | None) -> Lookup:
    changed = keys.config_entry(kind, name)

    def lookup(asked_kind: str, asked_name: str) -> Body | None:
        key = keys.config_entry(asked_kind, asked_name)
        if key == changed:
            return None if entry is None else entry.body
        raw = get(key)
        return None if raw is None else decode_config_entry(raw).body

    return lookup


def _services_to_check(scan: Scan, kind: str, name: str, entry: ConfigEntry | None) -> list[str]:
    """The entry's own service first, then those with an entry that leads to it; all for proxy-defaults."""
    found: dict[str, None] = {} if kind == PROXY_DEFAULTS else {name: None}
    for other_kind in (ROUTER, SPLITTER, RESOLVER):
        for _, raw in scan(keys.config_entries(other_kind)):
            other = decode_config_entry(raw)
            if kind == PROXY_DEFAULTS or name in related_services(other.kind, other.name, other.body):
                found[other.name] = None
    return list(found)
