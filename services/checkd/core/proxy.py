"""Proxy definitions: what Connect proxies and mesh gateways must say, and the form that the API shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from checkd.core.definitions import ServiceDefinition

CONNECT_PROXY = "connect-proxy"
MESH_GATEWAY = "mesh-gateway"
LOOPBACK = "127.0.0.1"
EXPOSE_PROTOCOLS = ("http", "http2")
MAX_PORT = 65535

_ORDER = ("DestinationServiceName", "DestinationServiceID", "LocalServiceAddress", "LocalServicePort", "Config")
_UPSTREAM_ORDER = (
    "DestinationType",
    "DestinationNamespace",
    "DestinationName",
    "Datacenter",
    "LocalBindAddress",
    "LocalBindPort",
    "Config",
)


def proxy_faults(service: ServiceDefinition) -> list[str]:
    """What a service of kind proxy or gateway lacks or contradicts."""
    if service.kind == CONNECT_PROXY:
        return _connect_proxy_faults(service)
    if service.kind == MESH_GATEWAY:
        return _gateway_faults(service)
    return []


def _connect_proxy_faults(service: ServiceDefinition) -> list[str]:
    proxy = service.proxy or {}
    faults = []
    if not proxy.get("DestinationServiceName", "").strip():
        faults.append("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
    if service.port == 0:
        faults.append("Port must be set for a Connect proxy")
    if service.connect.native:
        faults.append("A Proxy cannot also be Connect Native, only typical services")
    faults.extend(_upstream_faults(proxy.get("Upstreams", [])))
    faults.extend(_expose_faults(proxy.get("Expose", {}).get("Paths", [])))
    return faults


def _gateway_faults(service: ServiceDefinition) -> list[str]:
    proxy = service.proxy or {}
    faults = []
    if service.port == 0:
        faults.append("Port must be non-zero for a Mesh Gateway")
    if service.connect.sidecar is not None:
        faults.append("Mesh Gateways cannot have a sidecar service defined")
    if proxy.get("DestinationServiceName"):
        faults.append("The Proxy.DestinationServiceName configuration is invalid for Mesh Gateways")
    if proxy.get("DestinationServiceID"):
        faults.append("The Proxy.DestinationServiceID configuration is invalid for Mesh Gateways")
    if proxy.get("LocalServiceAddress"):
        faults.append("The Proxy.LocalServiceAddress configuration is invalid for Mesh Gateways")
    if proxy.get("LocalServicePort"):
        faults.append("The Proxy.LocalServicePort configuration is invalid for Mesh Gateways")
    if proxy.get("Upstreams"):
        faults.append("The Proxy.Upstreams configuration is invalid for Mesh Gateways")
    return faults


def _upstream_faults(upstreams: list[dict[str, Any]]) -> list[str]:
    faults = []
    seen_keys: set[str] = set()
    seen_binds: set[str] = set()
    for upstream in upstreams:
        kind = upstream.get("DestinationType", "")
        if kind not in ("", "service", "prepared_query"):
            faults.append("unknown upstream destination type: " + f'"{kind}"')
            continue
        if not upstream.get("DestinationName"):
            faults.append("upstream destination name cannot be empty")
            continue
        if not upstream.get("LocalBindPort"):
            faults.append("upstream local bind port cannot be zero")
            continue
        key = upstream_key(upstream)
        if key in seen_keys:
            faults.append(f"upstreams cannot contain duplicates of {key}")
            continue
        seen_keys.add(key)
        address = upstream.get("LocalBindAddress") or LOOPBACK
        bind = f"[{address}]" if ":" in address else address
        bind = f"{bind}:{upstream['LocalBindPort']}"
        if bind in seen_binds:
            faults.append(
                f'upstreams cannot contain duplicates by local bind address and port; "{bind}" is specified twice'
            )
            continue
        seen_binds.add(bind)
    return faults


def upstream_key(upstream: dict[str, Any]) -> str:
    """What makes an upstream the same as another one, as errors print it."""
    kind = upstream.get("DestinationType") or "service"
    parts = (
        ("type", kind),
        ("namespace", "DestinationNamespace"),
        ("name", "DestinationName"),
        ("datacenter", "Datacenter"),
    )
    shown = [f'{name}="{value if name == "type" else upstream.get(value, "")}"' for name, value in parts]
    return f"[{', '.join(shown)}]"


def _expose_faults(paths: list[dict[str, Any]]) -> list[str]:
    faults = []
    seen_paths: set[str] = set()
    seen_ports: set[int] = set()
    for path in paths:
        name, port, protocol = path.get("Path", ""), path.get("ListenerPort", 0), path.get("Protocol", "").lower()
        if not name:
            faults.append("expose.paths: empty path exposed")
        if name in seen_paths:
            faults.append("expose.paths: duplicate paths exposed")
        seen_paths.add(name)
        if port in seen_ports:
            faults.append("expose.paths: duplicate listener ports exposed")
        seen_ports.add(port)
        if not 0 < port <= MAX_PORT:
            faults.append(f"expose.paths: invalid listener port: {port}")
        if protocol and protocol not in EXPOSE_PROTOCOLS:
            allowed = " ".join(EXPOSE_PROTOCOLS)
            faults.append(f"protocol '{protocol}' not supported for path: {name}, must be in: [{allowed}]")
    return faults


def shown_proxy(proxy: dict[str, Any] | None) -> dict[str, Any]:
    """A proxy's configuration in the form of the API: empty fields left out, keys in its order."""
    given = proxy or {}
    shown: dict[str, Any] = {key: given[key] for key in _ORDER if given.get(key)}
    if given.get("Upstreams"):
        shown["Upstreams"] = [_shown_upstream(upstream) for upstream in given["Upstreams"]]
    shown["MeshGateway"] = _shown_mesh_gateway(given)
    expose = given.get("Expose") or {}
    shown["Expose"] = {key: expose[key] for key in ("Checks", "Paths") if expose.get(key)}
    return shown


def _shown_upstream(upstream: dict[str, Any]) -> dict[str, Any]:
    completed = {**upstream, "DestinationType": upstream.get("DestinationType") or "service"}
    shown = {key: completed[key] for key in _UPSTREAM_ORDER if completed.get(key)}
    shown["MeshGateway"] = _shown_mesh_gateway(upstream)
    return shown


def _shown_mesh_gateway(holder: dict[str, Any]) -> dict[str, Any]:
    mode = (holder.get("MeshGateway") or {}).get("Mode", "")
    return {"Mode": mode} if mode else {}
