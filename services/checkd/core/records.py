"""What is registered: services and checks as values, and their entries with everything that only this node knows."""

from __future__ import annotations

import ipaddress
from collections import deque
from typing import Any, NamedTuple

import msgspec

from checkd.core.definitions import CheckDefinition, ServiceAddress, ServiceDefinition, Weights
from checkd.core.history import HISTORY_LENGTH, Flip
from checkd.core.status import CRITICAL, Threshold


class Moment(NamedTuple):
    """The time as the driver hands it in: monotonic for waiting, Unix for what people read; nanoseconds both."""

    monotonic_ns: int
    unix_ns: int


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service instance as the agent API shows it and the catalog stores it."""

    kind: str = ""
    service_id: str
    name: str
    tags: tuple[str, ...] = ()
    meta: dict[str, str] | None = None
    """None when none was given, which the catalog shows as null."""
    port: int = 0
    address: str = ""
    tagged_addresses: dict[str, ServiceAddress] = {}
    weights: Weights = Weights()
    enable_tag_override: bool = False
    proxy: dict[str, Any] | None = None
    native: bool = False


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One check as the agent API shows it and the catalog stores it."""

    check_id: str
    name: str
    status: str = CRITICAL
    notes: str = ""
    output: str = ""
    service_id: str = ""
    service_name: str = ""
    service_tags: tuple[str, ...] = ()
    kind: str = ""


class ServiceEntry:
    """A registered service with its origin and whether the catalog has it."""

    __slots__ = (
        "definition",
        "deleted",
        "from_file",
        "in_sync",
        "is_sidecar",
        "registered",
        "revision",
        "service",
        "token",
    )

    def __init__(
        self,
        service: Service,
        definition: ServiceDefinition | None = None,
        token: str = "",
        from_file: bool = False,
        is_sidecar: bool = False,
    ) -> None:
        self.service = service
        # As registered, before central configuration is merged in.
        self.registered = service
        self.definition = definition
        self.token = token
        self.from_file = from_file
        self.is_sidecar = is_sidecar
        self.in_sync = False
        self.deleted = False
        self.revision = 0


class CheckEntry:
    """A registered check with its origin, its counters and whether the catalog has it."""

    __slots__ = (
        "check",
        "critical_since_ns",
        "defer_token",
        "definition",
        "deleted",
        "first_result",
        "from_file",
        "history",
        "in_sync",
        "last_output",
        "revision",
        "standalone",
        "threshold",
        "token",
    )

    def __init__(
        self, check: Check, definition: CheckDefinition | None = None, token: str = "", from_file: bool = False
    ) -> None:
        self.check = check
        self.definition = definition
        self.token = token
        self.from_file = from_file
        self.in_sync = False
        self.deleted = False
        self.revision = 0
        self.threshold = Threshold()
        if definition is not None:
            self.threshold = Threshold(
                definition.success_before_passing,
                definition.failures_before_critical,
                definition.failures_before_warning,
            )
        self.critical_since_ns: int | None = None
        self.defer_token = 0
        self.first_result = True
        self.last_output = ""
        self.standalone = False
        self.history: deque[Flip] = deque(maxlen=HISTORY_LENGTH)


LAN_IPV4, WAN_IPV4, LAN_IPV6, WAN_IPV6 = "lan_ipv4", "wan_ipv4", "lan_ipv6", "wan_ipv6"


def service_of(definition: ServiceDefinition) -> Service:
    """The instance a definition stands for: its ID defaults to its name, its addresses get their tagged forms."""
    addresses = dict(definition.tagged_addresses)
    version = 0
    try:
        version = int(ipaddress.ip_address(definition.address).version)
    except ValueError:
        pass
    own = ServiceAddress(definition.address, definition.port)
    for name in {4: (LAN_IPV4, WAN_IPV4), 6: (LAN_IPV6, WAN_IPV6)}.get(version, ()):
        addresses.setdefault(name, own)
    return Service(
        kind=definition.kind,
        service_id=definition.service_id or definition.name,
        name=definition.name,
        tags=definition.tags,
        meta=definition.meta,
        port=definition.port,
        address=definition.address,
        tagged_addresses=addresses,
        weights=definition.weights or Weights(),
        enable_tag_override=definition.enable_tag_override,
        proxy=definition.proxy,
        native=definition.connect.native,
    )
