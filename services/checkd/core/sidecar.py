"""Sidecar expansion: the proxy that `Connect.SidecarService` asks for beside a service (Consul 1.7: sidecar)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from checkd.core.definitions import CheckDefinition, ServiceDefinition
from checkd.core.duration import SECOND_NS
from checkd.core.errors import InvalidDefinition
from lictor.service_faults import CONNECT_PROXY, LOOPBACK

SIDECAR_SUFFIX = "-sidecar-proxy"
LISTENING_CHECK_INTERVAL_NS = 10 * SECOND_NS


def sidecar_id(service_id: str) -> str:
    """The ID of the sidecar that belongs to a service."""
    return service_id + SIDECAR_SUFFIX


def expand_sidecar(
    service: ServiceDefinition, used_ports: Iterable[tuple[str, int]], min_port: int, max_port: int
) -> ServiceDefinition | None:
    """The sidecar's own definition with every default filled in, or None when the service wants none.

    `used_ports` are (service ID, port) of everything registered. Raises InvalidDefinition when no port is left.
    """
    given = service.connect.sidecar
    if given is None:
        return None
    service_id = service.service_id or service.name
    own_id = sidecar_id(service_id)
    proxy: dict[str, Any] = dict(given.proxy or {})
    proxy["DestinationServiceName"] = proxy.get("DestinationServiceName") or service.name
    proxy["DestinationServiceID"] = proxy.get("DestinationServiceID") or service_id
    if not proxy.get("LocalServiceAddress"):
        proxy["LocalServiceAddress"] = LOOPBACK
    if proxy.get("LocalServicePort", 0) < 1:
        proxy["LocalServicePort"] = service.port
    port = given.port if given.port >= 1 else allocate_port(own_id, used_ports, min_port, max_port)
    return msgspec.structs.replace(
        given,
        service_id=own_id,
        kind=given.kind or CONNECT_PROXY,
        name=given.name or service.name + SIDECAR_SUFFIX,
        port=port,
        address=given.address or service.address,
        meta=given.meta or service.meta or given.meta,
        tags=given.tags or service.tags,
        proxy=proxy,
        checks=given.checks or default_checks(service_id, proxy["LocalServiceAddress"], port),
        token=given.token or service.token,
    )


def allocate_port(own_id: str, used_ports: Iterable[tuple[str, int]], min_port: int, max_port: int) -> int:
    """The port this sidecar has already, else the lowest free one; raises InvalidDefinition when there is none."""
    if min_port < 1 or max_port < 1:
        raise InvalidDefinition(
            "Invalid SidecarService: no port provided for sidecar_service and auto-assignment disabled in config"
        )
    taken = set()
    for other_id, port in used_ports:
        if min_port <= port <= max_port:
            if other_id == own_id:
                return port
            taken.add(port)
    for port in range(min_port, max_port + 1):
        if port not in taken:
            return port
    raise InvalidDefinition(
        "Invalid SidecarService: no port provided for sidecar_service and none left in the configured range "
        f"[{min_port}, {max_port}]"
    )


def default_checks(service_id: str, address: str, port: int) -> tuple[CheckDefinition, ...]:
    """What watches a sidecar that brings no checks: its listener, and the service behind it."""
    host = f"[{address}]" if ":" in address else address
    return (
        CheckDefinition(
            name="Connect Sidecar Listening", tcp=f"{host}:{port}", interval_ns=LISTENING_CHECK_INTERVAL_NS
        ),
        CheckDefinition(name=f"Connect Sidecar Aliasing {service_id}", alias_service=service_id),
    )
