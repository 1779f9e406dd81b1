"""Autopilot's configuration and the certificate authority's records."""

from __future__ import annotations

from lictor.state import keys, topics
from lictor.state.queries.read import Read, max_index
from lictor.state.rows import (
    AutopilotConfig,
    CAConfig,
    CAProviderState,
    CARoot,
    decode_autopilot,
    decode_ca_config,
    decode_ca_provider_state,
    decode_ca_roots,
)
from lictor.state.store import ReadTxn


def autopilot(txn: ReadTxn) -> Read[AutopilotConfig | None]:
    """None until a leader has created it."""
    raw = txn.get(keys.AUTOPILOT)
    found = None if raw is None else decode_autopilot(raw)
    return Read(found, max_index(txn, "autopilot-config"), (topics.AUTOPILOT,))


def ca_roots(txn: ReadTxn) -> Read[list[CARoot]]:
    raw = txn.get(keys.CA_ROOTS)
    found = [] if raw is None else decode_ca_roots(raw)
    return Read(found, max_index(txn, "connect-ca-roots"), (topics.CA_ROOTS,))


def ca_config(txn: ReadTxn) -> Read[CAConfig | None]:
    raw = txn.get(keys.CA_CONFIG)
    found = None if raw is None else decode_ca_config(raw)
    return Read(found, max_index(txn, "connect-ca-config"), (topics.CA_CONFIG,))


def ca_provider_state(txn: ReadTxn, state_id: str) -> CAProviderState | None:
    raw = txn.get(keys.ca_provider_state(state_id))
    return None if raw is None else decode_ca_provider_state(raw)
