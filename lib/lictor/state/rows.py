"""What the state holds: one struct per kind of record, stored as msgpack arrays.

Fields are in snake case; `render.py` gives Consul's JSON. `None` and empty are different where Consul's JSON shows
them differently (`null` and `[]`). Values that Consul nests deeply and nobody computes with (proxy, check definition,
configuration entry bodies) are kept as the dictionaries of Consul's JSON, in canonical form (`canonical.py`). Times are
nanoseconds since 1970 (int), durations nanoseconds. New fields go at the end with a default: older records then still
decode.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

DECODED_ROWS = 16384
"""How many decoded (and rendered) rows of each hot kind a process keeps, by stored bytes."""


class Row(msgspec.Struct, array_like=True, frozen=True, dict=True):
    """A stored record. Immutable; its dict only remembers renderings of itself."""


class Node(Row, frozen=True):
    id: str
    node: str
    address: str
    datacenter: str
    tagged_addresses: dict[str, str] | None = None
    meta: dict[str, str] | None = None
    create_index: int = 0
    modify_index: int = 0


class Service(Row, frozen=True):
    """One instance of a service, on a node."""

    node: str
    id: str
    service: str
    kind: str = ""
    tags: list[str] | None = None
    address: str = ""
    tagged_addresses: dict[str, dict[str, Any]] | None = None
    """name → {"Address": text, "Port": number}"""
    meta: dict[str, str] | None = None
    port: int = 0
    weights: tuple[int, int] | None = None
    """(passing, warning); None: the default, 1 and 1."""
    enable_tag_override: bool = False
    proxy: dict[str, Any] = {}
    """Canonical JSON form without MeshGateway and Expose when they are empty."""
    connect: dict[str, Any] = {}
    """Canonical JSON form: {} or {"Native": true}."""
    create_index: int = 0
    modify_index: int = 0


class Check(Row, frozen=True):
    node: str
    check_id: str
    name: str
    status: str
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: list[str] | None = None
    type: str = ""
    definition: dict[str, Any] = {}
    """Canonical JSON form, durations but the TTL as Go texts ("10s")."""
    create_index: int = 0
    modify_index: int = 0


class KVEntry(Row, frozen=True):
    """The record under a key; the key is not repeated in it."""

    lock_index: int
    flags: int
    value: bytes | None
    session: str
    create_index: int
    modify_index: int


class Session(Row, frozen=True):
    id: str
    name: str
    node: str
    lock_delay_ns: int
    behavior: str
    """`release` or `delete`."""
    ttl: str
    """A Go duration text; empty: none."""
    node_checks: list[str] | None = None
    service_checks: list[dict[str, str]] | None = None
    """[{"ID": check, "Namespace": ""}]"""
    create_index: int = 0
    modify_index: int = 0
    checks: list[str] | None = None
    """Checks given in the way of before Consul 1.7, beside those of `node_checks`."""


class Coordinate(Row, frozen=True):
    """A Vivaldi coordinate, seconds (`parity: Vivaldi coordinates`)."""

    node: str
    segment: str
    vec: list[float]
    error: float
    adjustment: float
    height: float


class PreparedQuery(Row, frozen=True):
    id: str
    name: str
    session: str
    token: str
    template: dict[str, Any]
    """{"Type", "Regexp", "RemoveEmptyTags"}"""
    service: dict[str, Any]
    """Canonical JSON form."""
    dns_ttl: str
    create_index: int = 0
    modify_index: int = 0


class ConfigEntry(Row, frozen=True):
    kind: str
    name: str
    body: dict[str, Any]
    """Canonical JSON form without Kind, Name and the indexes."""
    create_index: int = 0
    modify_index: int = 0


class Intention(Row, frozen=True):
    id: str
    description: str
    source_ns: str
    source_name: str
    destination_ns: str
    destination_name: str
    source_type: str
    action: str
    meta: dict[str, str] | None
    precedence: int
    created_at_ns: int
    updated_at_ns: int
    hash: bytes | None = None
    create_index: int = 0
    modify_index: int = 0
    default_addr: str = ""
    default_port: int = 0


class CARoot(Row, frozen=True):
    id: str
    name: str
    serial_number: int
    signing_key_id: str
    external_trust_domain: str
    not_before_ns: int
    not_after_ns: int
    root_cert: str
    intermediate_certs: list[str] | None
    signing_cert: str
    signing_key: str
    active: bool
    rotated_out_at_ns: int | None
    private_key_type: str
    private_key_bits: int
    create_index: int = 0
    modify_index: int = 0


class CAConfig(Row, frozen=True):
    cluster_id: str
    provider: str
    config: dict[str, Any] | None
    state: dict[str, str] | None = None
    force_without_cross_signing: bool = False
    create_index: int = 0
    modify_index: int = 0


class CAProviderState(Row, frozen=True):
    """What the built-in CA keeps: its key and certificates."""

    id: str
    private_key: str
    root_cert: str
    intermediate_cert: str = ""
    create_index: int = 0
    modify_index: int = 0


class AutopilotConfig(Row, frozen=True):
    cleanup_dead_servers: bool = True
    last_contact_threshold_ns: int = 200_000_000
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time_ns: int = 10_000_000_000
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
    create_index: int = 0
    modify_index: int = 0


class Link(msgspec.Struct, array_like=True, frozen=True):
    """A policy or role that a token or role names."""

    id: str
    name: str


class ServiceIdentity(msgspec.Struct, array_like=True, frozen=True):
    service_name: str
    datacenters: list[str] | None = None


class ACLToken(Row, frozen=True):
    accessor_id: str
    secret_id: str
    description: str = ""
    policies: list[Link] = []
    roles: list[Link] = []
    service_identities: list[ServiceIdentity] = []
    type: str = ""
    rules: str = ""
    """Legacy tokens only."""
    local: bool = False
    auth_method: str = ""
    expiration_time_ns: int | None = None
    create_time_ns: int = 0
    """0 for legacy tokens, which have none."""
    hash: bytes = b""
    create_index: int = 0
    modify_index: int = 0


class ACLPolicy(Row, frozen=True):
    id: str
    name: str
    description: str = ""
    rules: str = ""
    datacenters: list[str] | None = None
    hash: bytes = b""
    syntax: int = 0
    """2: Consul 1.4's language; 1: the legacy one."""
    create_index: int = 0
    modify_index: int = 0


class ACLRole(Row, frozen=True):
    id: str
    name: str
    description: str = ""
    policies: list[Link] = []
    service_identities: list[ServiceIdentity] = []
    hash: bytes = b""
    create_index: int = 0
    modify_index: int = 0


class ACLBindingRule(Row, frozen=True):
    id: str
    description: str
    auth_method: str
    selector: str
    bind_type: str
    bind_name: str
    create_index: int = 0
    modify_index: int = 0


class ACLAuthMethod(Row, frozen=True):
    name: str
    type: str
    description: str
    config: dict[str, Any]
    create_index: int = 0
    modify_index: int = 0


RowType = TypeVar("RowType", bound=Row)

encode = msgspec.msgpack.Encoder().encode


def decoder(kind: type[RowType], remembered: int = 0) -> Callable[[bytes], RowType]:
    """A decoder of one kind; with `remembered`, equal bytes give the same object, rendered at most once."""
    decode = msgspec.msgpack.Decoder(kind).decode
    return lru_cache(maxsize=remembered)(decode) if remembered else decode


decode_node = decoder(Node, DECODED_ROWS)
decode_service = decoder(Service, DECODED_ROWS)
decode_check = decoder(Check, DECODED_ROWS)
decode_kv = decoder(KVEntry)
decode_session = decoder(Session)
decode_coordinate = decoder(Coordinate)
decode_query = decoder(PreparedQuery)
decode_config_entry = decoder(ConfigEntry)
decode_intention = decoder(Intention)
decode_ca_root = decoder(CARoot)
decode_ca_roots = msgspec.msgpack.Decoder(list[CARoot]).decode
decode_ca_config = decoder(CAConfig)
decode_ca_provider_state = decoder(CAProviderState)
decode_autopilot = decoder(AutopilotConfig)
decode_token = decoder(ACLToken, 4096)
decode_policy = decoder(ACLPolicy, 4096)
decode_role = decoder(ACLRole, 4096)
decode_binding_rule = decoder(ACLBindingRule)
decode_auth_method = decoder(ACLAuthMethod)
