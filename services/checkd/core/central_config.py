"""Central configuration of proxies: what configuration entries add to a registration (Consul 1.7: service manager).

Only sidecar proxies, which name the instance they stand before, and mesh gateways take part. What the registration
itself says wins; below it come the service's own defaults, then the defaults of all proxies. Nothing is written back
into the registration: the merged form is what is shown and synced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from checkd.core.records import Service
from lictor.service_faults import CONNECT_PROXY, MESH_GATEWAY

Entry = Mapping[str, Any]


def takes_part(service: Service) -> bool:
    """Whether central configuration applies to a service at all."""
    if service.kind == CONNECT_PROXY:
        return bool((service.proxy or {}).get("DestinationServiceID"))
    return service.kind == MESH_GATEWAY


def merged(service: Service, proxy_defaults: Entry | None, service_defaults: Mapping[str, Entry]) -> Service:
    """The service with defaults filled in; `service_defaults` is by service name."""
    if not takes_part(service):
        return service
    proxy = dict(service.proxy or {})
    own = service_defaults.get(proxy.get("DestinationServiceName", ""), {})
    shared = proxy_defaults or {}
    defaults = dict(shared.get("Config") or {})
    if own.get("Protocol"):
        defaults["protocol"] = own["Protocol"]
    if defaults:
        proxy["Config"] = deep_merged(proxy.get("Config") or {}, defaults)
    mode = _mode(proxy) or _mode(own) or _mode(shared)
    if mode:
        proxy["MeshGateway"] = {"Mode": mode}
    if not proxy.get("Expose"):
        expose = own.get("Expose") or shared.get("Expose")
        if expose:
            proxy["Expose"] = dict(expose)
    if proxy.get("Upstreams"):
        protocol = (shared.get("Config") or {}).get("protocol")
        proxy["Upstreams"] = [
            _merged_upstream(upstream, service_defaults, protocol, mode) for upstream in proxy["Upstreams"]
        ]
    return msgspec.structs.replace(service, proxy=proxy)


def deep_merged(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with what it lacks from `defaults`, objects merged key by key."""
    result = dict(given)
    for key, value in defaults.items():
        if key not in result:
            result[key] = value
        elif isinstance(result[key], Mapping) and isinstance(value, Mapping):
            result[key] = deep_merged(result[key], value)
    return result


def _mode(holder: Entry) -> str:
    return str((holder.get("MeshGateway") or {}).get("Mode") or "")


def _merged_upstream(
    upstream: Mapping[str, Any], service_defaults: Mapping[str, Entry], protocol: str | None, mode: str
) -> dict[str, Any]:
    result = dict(upstream)
    if upstream.get("DestinationType") in (None, "", "service"):
        own = service_defaults.get(upstream.get("DestinationName", ""), {}).get("Protocol") or protocol
        if own:
            result["Config"] = deep_merged(upstream.get("Config") or {}, {"protocol": own})
    if mode and not _mode(upstream):
        result["MeshGateway"] = {"Mode": mode}
    return result
