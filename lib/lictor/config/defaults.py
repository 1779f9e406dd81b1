"""Settings that -dev changes, as if they stood in a file before all others."""

from __future__ import annotations

from typing import Any

_DEV_GOSSIP: dict[str, Any] = {
    "gossip_interval": "100ms",
    "probe_interval": "100ms",
    "probe_timeout": "100ms",
    "suspicion_mult": 3,
}
DEV: dict[str, Any] = {
    "bind_addr": "127.0.0.1",
    "disable_anonymous_signature": True,
    "disable_keyring_file": True,
    "enable_debug": True,
    "ui": True,
    "log_level": "DEBUG",
    "server": True,
    "gossip_lan": _DEV_GOSSIP,
    "gossip_wan": _DEV_GOSSIP,
    "connect": {"enabled": True},
    "performance": {"raft_multiplier": 1},
    "ports": {"grpc": 8502},
}

DEV_HEARTBEAT_NS = 35_000_000
DEV_ELECTION_NS = 52_000_000
DEV_LEADER_LEASE_NS = 20_000_000
DEV_COORDINATE_UPDATE_NS = 100_000_000
DEV_HEALTH_INTERVAL_NS = 10_000_000
