"""What answers are made of: nodes and service instances, from whatever source they come."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

PASSING = "passing"
WARNING = "warning"
CRITICAL = "critical"
MAINTENANCE = "maintenance"
NODE_MAINTENANCE_CHECK = "_node_maintenance"
SERVICE_MAINTENANCE_CHECKS = "_service_maintenance:"

ANY_FAMILY = 0
IPV4 = 4
IPV6 = 6


class NodeFacts(msgspec.Struct, frozen=True):
    """A node as the catalog knows it."""

    node: str
    address: str
    datacenter: str
    tagged: dict[str, str] = {}
    meta: dict[str, str] = {}


class Instance(msgspec.Struct, frozen=True):
    """One instance of a service, with its node and the states of the checks that bear on it."""

    node: NodeFacts
    service: str
    address: str = ""
    port: int = 0
    tagged: dict[str, tuple[str, int]] = {}
    """Address and port by name (`lan_ipv4`, `wan`, …)."""
    weights: tuple[int, int] = (1, 1)
    """Passing and warning."""
    statuses: tuple[str, ...] = ()
    """Of the node's checks and of this service's."""
    standing: str = PASSING
    """What those checks come to (`aggregate`)."""
    tags: frozenset[str] = frozenset()
    """In lower case; only where the source selects by tag itself."""

    def is_usable(self, only_passing: bool) -> bool:
        """Whether DNS may name the instance."""
        if only_passing:
            return all(status == PASSING for status in self.statuses)
        return CRITICAL not in self.statuses

    @property
    def weight(self) -> int:
        """The SRV weight by the instance's standing."""
        if self.standing == PASSING:
            return self.weights[0]
        if self.standing == WARNING:
            return self.weights[1]
        return 0 if self.standing in (CRITICAL, MAINTENANCE) else 1


def aggregate(checks: Iterable[tuple[str, str]]) -> str:
    """What checks (ID and status) come to: maintenance, else the worst; empty when one has a status of its own."""
    found: set[str] = set()
    for check_id, status in checks:
        if check_id == NODE_MAINTENANCE_CHECK or check_id.startswith(SERVICE_MAINTENANCE_CHECKS):
            found.add(MAINTENANCE)
        elif status in (PASSING, WARNING, CRITICAL):
            found.add(status)
        else:
            return ""
    return next((standing for standing in (MAINTENANCE, CRITICAL, WARNING) if standing in found), PASSING)


class QueryResult(msgspec.Struct, frozen=True):
    """What executing a prepared query gave, in the order it gave."""

    service: str
    instances: list[Instance]
    datacenter: str
    """Which datacenter the instances are in; differs from the asked one after a failover."""
    ttl_s: int | None = None
    """The query's own TTL, None when it has none."""


def pick_address(default: str, ipv4: str, ipv6: str, family: int) -> str:
    """The address for an asked family: a tagged one of the family before the plain one (Consul 1.7: dual stack)."""
    if family != IPV4 and ipv6:
        return ipv6
    if family != IPV6 and ipv4:
        return ipv4
    return default


def node_address(node: NodeFacts, family: int, use_wan: bool) -> str:
    """Where the node is reached; by its WAN address from another datacenter when translation is on."""
    tagged = node.tagged
    default, ipv4, ipv6 = node.address, tagged.get("lan_ipv4", ""), tagged.get("lan_ipv6", "")
    if use_wan:
        default = tagged.get("wan", default)
        ipv4 = tagged.get("wan_ipv4", ipv4)
        ipv6 = tagged.get("wan_ipv6", ipv6)
    return pick_address(default, ipv4, ipv6, family)


def service_address(instance: Instance, family: int, use_wan: bool) -> str:
    """Where the instance itself says it is reached; empty when it leaves that to its node."""
    tagged = instance.tagged
    if not tagged:
        return instance.address
    nowhere = ("", 0)
    default = instance.address
    ipv4 = tagged.get("lan_ipv4", nowhere)[0]
    ipv6 = tagged.get("lan_ipv6", nowhere)[0]
    if use_wan:
        default = tagged.get("wan", (default, 0))[0]
        ipv4 = tagged.get("wan_ipv4", (ipv4, 0))[0]
        ipv6 = tagged.get("wan_ipv6", (ipv6, 0))[0]
    return pick_address(default, ipv4, ipv6, family)


def service_port(instance: Instance, use_wan: bool) -> int:
    """The port, that of the WAN address from another datacenter when translation is on."""
    if use_wan and "wan" in instance.tagged:
        return instance.tagged["wan"][1] or instance.port
    return instance.port
