"""The type byte before each record: the numbers of Consul's log entries."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    REGISTER = 0
    KV = 2
    SESSION = 3
    LEGACY_ACL = 4
    TOMBSTONE = 5
    COORDINATES = 6
    PREPARED_QUERY = 7
    AUTOPILOT = 9
    LEGACY_ACL_BOOTSTRAP = 11
    INTENTION = 12
    CA_ROOT = 13
    CA_PROVIDER_STATE = 14
    CA_CONFIG = 15
    INDEX = 16
    TOKEN = 17
    POLICY = 19
    CONFIG_ENTRY = 22
    ROLE = 23
    BINDING_RULE = 25
    AUTH_METHOD = 27
    CHUNKING_STATE = 29


IGNORABLE = 128
"""A kind with this bit may be skipped by a reader that does not know it."""
