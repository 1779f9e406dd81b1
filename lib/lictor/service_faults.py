"""What can be wrong with a service's definition, in Consul's words: the API refuses it, and so do configuration files.

Proxies are in the API's form (`DestinationServiceName`, `Upstreams`, …).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CONNECT_PROXY = "connect-proxy"
MESH_GATEWAY = "mesh-gateway"
LOOPBACK = "127.0.0.1"
EXPOSE_PROTOCOLS = ("http", "http2")
MAX_PORT = 65535
MAX_WEIGHT = 65535
MAX_META_PAIRS = 64
MAX_META_KEY_LENGTH = 128
MAX_META_VALUE_LENGTH = 512
RESERVED_META_PREFIX = "consul-"
MESH_GATEWAY_MODES = ("", "none", "local", "remote")

_META_KEY = re.compile(r"[a-zA-Z0-9_-]+")


def joined_faults(faults: list[str]) -> str:
    """Several faults in the form of Go's multierror: a count, then one starred line each."""
    count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
    lines = "\n".join(f"\t* {fault}" for fault in faults)
    return f"{count} occurred:\n{lines}\n\n"


def weights_fault(passing: int, warning: int) -> str:
    """What is wrong with SRV weights; empty when nothing is."""
    if passing < 1:
        return "Passing must be greater than 0"
    if warning < 0:
        return "Warning must be greater or equal than 0"
    if passing > MAX_WEIGHT or warning > MAX_WEIGHT:
        return f"DNS Weight must be between 0 and {MAX_WEIGHT}"
    return ""


def meta_fault(meta: Mapping[str, str]) -> str:
    """What is wrong with the metadata of a node or service; empty when nothing is."""
    if len(meta) > MAX_META_PAIRS:
        return f"Node metadata cannot contain more than {MAX_META_PAIRS} key/value pairs"
    for key, value in meta.items():
        if fault := _meta_pair_fault(key, value):
            return f"Couldn't load metadata pair ('{key}', '{value}'): {fault}"
    return ""


def _meta_pair_fault(key: str, value: str) -> str:
    if not key:
        return "Key cannot be blank"
    if not _META_KEY.fullmatch(key):
        return "Key contains invalid characters"
    if len(key.encode()) > MAX_META_KEY_LENGTH:
        return f"Key is too long (limit: {MAX_META_KEY_LENGTH} characters)"
    if key.startswith(RESERVED_META_PREFIX):
        return f"Key prefix '{RESERVED_META_PREFIX}' is reserved for internal use"
    if len(value.encode()) > MAX_META_VALUE_LENGTH:
        return f"Value is too long (limit: {MAX_META_VALUE_LENGTH} characters)"
    return ""


def proxy_faults(kind: str, port: int, native: bool, has_sidecar: bool, proxy: Mapping[str, Any]) -> list[str]:
    """What a service of kind proxy or gateway lacks or contradicts, in the order Consul lists it."""
    if kind == CONNECT_PROXY:
        return _connect_proxy_faults(port, native, proxy)
    if kind == MESH_GATEWAY:
        return _gateway_faults(port, has_sidecar, proxy)
    return []


def _connect_proxy_faults(port: int, native: bool, proxy: Mapping[str, Any]) -> list[str]:
    faults = []
    if not proxy.get("DestinationServiceName", "").strip():
        faults.append("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
    if port == 0:
        faults.append("Port must be set for a Connect proxy")
    if native:
        faults.append("A Proxy cannot also be Connect Native, only typical services")
    faults.extend(_upstream_faults(proxy.get("Upstreams", [])))
    faults.extend(_expose_faults(proxy.get("Expose", {}).get("Paths", [])))
    return faults


def _gateway_faults(port: int, has_sidecar: bool, proxy: Mapping[str, Any]) -> list[str]:
    faults = []
    if port == 0:
        faults.append("Port must be non-zero for a Mesh Gateway")
    if has_sidecar:
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
        ("name", "DestinationName"),
        ("namespace", "DestinationNamespace"),
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
