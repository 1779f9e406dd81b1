"""Nested JSON values in the one form in which they are stored, compared and shown.

Consul decodes bodies into Go structs: unknown fields are gone (or refused), missing ones are zero, zero ones that are
marked so are left out, maps are sorted by key, whole floats print as integers. These functions do the same to
dictionaries that came from JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from lictor.state.gotext import DurationError, format_duration, parse_duration_ns

WHOLE_FLOAT_MAX = 1e21
"""Go prints greater floats with an exponent."""
EXACT_INTEGER_MAX = 1 << 53
"""Greater integers are not exact as floats."""


def value(item: Any) -> Any:
    """A free-form value: maps sorted, numbers as Go prints the floats that they are to it."""
    if isinstance(item, dict):
        return {key: value(item[key]) for key in sorted(item)}
    if isinstance(item, list):
        return [value(element) for element in item]
    if isinstance(item, float) and item.is_integer() and abs(item) < WHOLE_FLOAT_MAX:
        return _whole(item)
    if isinstance(item, int) and abs(item) > EXACT_INTEGER_MAX:
        return _whole(float(item)) if abs(item) < WHOLE_FLOAT_MAX else float(item)
    return item


def _whole(number: float) -> int:
    """With as many digits as tell the float from others, zeros after them."""
    return int(Decimal(repr(number)))


def _filled(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """Without the fields that are zero."""
    return {key: item for key, item in pairs.items() if item}


def duration_text(item: Any) -> str:
    """A duration given as text or nanoseconds, as Go prints it; empty when zero. Errors: gotext.DurationError."""
    if isinstance(item, str):
        nanoseconds = parse_duration_ns(item) if item else 0
    elif isinstance(item, (int, float)) and not isinstance(item, bool):
        nanoseconds = int(item)
    elif item is None:
        nanoseconds = 0
    else:
        raise DurationError(f"time: invalid duration {item}")
    return format_duration(nanoseconds) if nanoseconds else ""


def mesh_gateway(item: Mapping[str, Any] | None) -> dict[str, Any]:
    return _filled({"Mode": (item or {}).get("Mode", "")})


def expose(item: Mapping[str, Any] | None) -> dict[str, Any]:
    item = item or {}
    paths = [
        _filled({key: path.get(key) for key in ("ListenerPort", "Path", "LocalPathPort", "Protocol")})
        | {"ParsedFromCheck": bool(path.get("ParsedFromCheck"))}
        for path in item.get("Paths") or []
    ]
    return _filled({"Checks": bool(item.get("Checks")), "Paths": paths})


def upstream(item: Mapping[str, Any]) -> dict[str, Any]:
    """One upstream of a proxy; order and omissions are Consul's."""
    shown: dict[str, Any] = {"DestinationType": item.get("DestinationType") or ""}
    if item.get("DestinationNamespace"):
        shown["DestinationNamespace"] = item["DestinationNamespace"]
    shown["DestinationName"] = item.get("DestinationName") or ""
    shown["Datacenter"] = item.get("Datacenter") or ""
    if item.get("LocalBindAddress"):
        shown["LocalBindAddress"] = item["LocalBindAddress"]
    shown["LocalBindPort"] = item.get("LocalBindPort") or 0
    config = item.get("Config")
    shown["Config"] = None if config is None else value(config)
    shown["MeshGateway"] = mesh_gateway(item.get("MeshGateway"))
    return shown


def proxy(item: Mapping[str, Any] | None) -> dict[str, Any]:
    """A service's Proxy without MeshGateway and Expose where they are empty (they are shown all the same)."""
    item = item or {}
    config = item.get("Config")
    return _filled(
        {
            "DestinationServiceName": item.get("DestinationServiceName"),
            "DestinationServiceID": item.get("DestinationServiceID"),
            "LocalServiceAddress": item.get("LocalServiceAddress"),
            "LocalServicePort": item.get("LocalServicePort"),
            "Config": value(config) if config else None,
            "Upstreams": [upstream(entry or {}) for entry in item.get("Upstreams") or []],
            "MeshGateway": mesh_gateway(item.get("MeshGateway")),
            "Expose": expose(item.get("Expose")),
        }
    )


def connect(item: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"Native": True} if item and item.get("Native") else {}


def check_definition(item: Mapping[str, Any] | None) -> dict[str, Any]:
    """A check's Definition; the TTL stays a number of nanoseconds. Errors: gotext.DurationError."""
    item = item or {}
    headers = item.get("Header") or {}
    ttl = item.get("TTL")
    shown = {
        "Interval": duration_text(item.get("Interval") or item.get("IntervalDuration")),
        "OutputMaxSize": item.get("OutputMaxSize"),
        "Timeout": duration_text(item.get("Timeout") or item.get("TimeoutDuration")),
        "DeregisterCriticalServiceAfter": duration_text(
            item.get("DeregisterCriticalServiceAfter") or item.get("DeregisterCriticalServiceAfterDuration")
        ),
        "HTTP": item.get("HTTP"),
        "TLSSkipVerify": bool(item.get("TLSSkipVerify")),
        "Header": {key: headers[key] for key in sorted(headers)},
        "Method": item.get("Method"),
        "Body": item.get("Body"),
        "TCP": item.get("TCP"),
        "ScriptArgs": item.get("ScriptArgs"),
        "DockerContainerID": item.get("DockerContainerID"),
        "Shell": item.get("Shell"),
        "GRPC": item.get("GRPC"),
        "GRPCUseTLS": bool(item.get("GRPCUseTLS")),
        "AliasNode": item.get("AliasNode"),
        "AliasService": item.get("AliasService"),
        "TTL": parse_duration_ns(ttl) if isinstance(ttl, str) and ttl else ttl,
    }
    return _filled(shown)


def check_type(definition: Mapping[str, Any]) -> str:
    """What kind of check a definition describes; empty when none, as with a probe that has no interval."""
    probed = _positive(definition.get("Interval"))
    if probed and definition.get("GRPC"):
        return "grpc"
    if probed and definition.get("HTTP"):
        return "http"
    if _positive(definition.get("TTL")):
        return "ttl"
    if probed and definition.get("TCP"):
        return "tcp"
    if definition.get("AliasNode") or definition.get("AliasService"):
        return "alias"
    if not definition.get("ScriptArgs"):
        return ""
    return "docker" if probed and definition.get("DockerContainerID") else "script"


def _positive(duration: str | None) -> bool:
    return bool(duration) and not str(duration).startswith("-")


def prepared_query_service(item: Mapping[str, Any] | None) -> dict[str, Any]:
    """A prepared query's Service; every field is shown."""
    item = item or {}
    failover = item.get("Failover") or {}
    node_meta, service_meta = item.get("NodeMeta"), item.get("ServiceMeta")
    return {
        "Service": item.get("Service") or "",
        "Failover": {
            "NearestN": failover.get("NearestN") or 0,
            "Datacenters": failover.get("Datacenters"),
        },
        "OnlyPassing": bool(item.get("OnlyPassing")),
        "IgnoreCheckIDs": item.get("IgnoreCheckIDs"),
        "Near": item.get("Near") or "",
        "Tags": item.get("Tags"),
        "NodeMeta": None if node_meta is None else value(node_meta),
        "ServiceMeta": None if service_meta is None else value(service_meta),
        "Connect": bool(item.get("Connect")),
    }


def prepared_query_template(item: Mapping[str, Any] | None) -> dict[str, Any]:
    item = item or {}
    return {
        "Type": item.get("Type") or "",
        "Regexp": item.get("Regexp") or "",
        "RemoveEmptyTags": bool(item.get("RemoveEmptyTags")),
    }
