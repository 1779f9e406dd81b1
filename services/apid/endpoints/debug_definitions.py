"""The service and check definitions of the configuration as `DebugConfig` shows them: every field, secrets hidden."""

from __future__ import annotations

from typing import Any

from lictor.config import duration
from lictor.state.gotext import format_duration

HIDDEN = "hidden"
SECRET_WORDS = ("key", "token", "secret")

_CHECK: dict[str, Any] = {
    "AliasNode": "",
    "AliasService": "",
    "Body": "",
    "DockerContainerID": "",
    "FailuresBeforeCritical": 0,
    "GRPC": "",
    "GRPCUseTLS": False,
    "HTTP": "",
    "Header": {},
    "Method": "",
    "Name": "",
    "Notes": "",
    "OutputMaxSize": 0,
    "Shell": "",
    "Status": "",
    "SuccessBeforePassing": 0,
    "TCP": "",
    "TLSSkipVerify": False,
}
_SPANS = ("DeregisterCriticalServiceAfter", "Interval", "TTL", "Timeout")
_NODE_CHECK: dict[str, Any] = {"EnterpriseMeta": {}, "ID": "", "ServiceID": "", "Token": ""}
_SERVICE_CHECK: dict[str, Any] = {"CheckID": "", "ProxyGRPC": "", "ProxyHTTP": ""}
_SERVICE: dict[str, Any] = {
    "Address": "",
    "EnableTagOverride": False,
    "EnterpriseMeta": {},
    "ID": "",
    "Kind": "",
    "Meta": {},
    "Name": "",
    "Port": 0,
    "TaggedAddresses": {},
    "Tags": [],
    "Token": "",
    "Weights": {"Passing": 1, "Warning": 1},
}
_PROXY: dict[str, Any] = {
    "DestinationServiceID": "",
    "DestinationServiceName": "",
    "LocalServiceAddress": "",
    "LocalServicePort": 0,
}
_UPSTREAM: dict[str, Any] = {
    "Config": {},
    "Datacenter": "",
    "DestinationName": "",
    "DestinationNamespace": "",
    "DestinationType": "",
    "LocalBindAddress": "",
    "LocalBindPort": 0,
    "MeshGateway": {"Mode": ""},
}
_EXPOSED_PATH: dict[str, Any] = {
    "ListenerPort": 0,
    "LocalPathPort": 0,
    "ParsedFromCheck": False,
    "Path": "",
    "Protocol": "",
}


def hide(name: str, value: Any) -> Any:
    """The value as it may be seen under this name: texts of keys, tokens and secrets read `hidden`."""
    if isinstance(value, dict):
        return {key: hide(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [hide(name, inner) for inner in value]
    if isinstance(value, str) and any(word in name.lower() for word in SECRET_WORDS):
        return HIDDEN
    return value


def in_order(value: Any) -> Any:
    """Objects with their keys sorted, at any depth."""
    if isinstance(value, dict):
        return {key: in_order(inner) for key, inner in sorted(value.items())}
    return [in_order(item) for item in value] if isinstance(value, list) else value


def check_shown(definition: dict[str, Any], output_max_size: int) -> dict[str, Any]:
    """A check of its own, given as the API takes it."""
    return _check(definition, _NODE_CHECK, output_max_size)


def service_shown(definition: dict[str, Any], output_max_size: int) -> dict[str, Any]:
    """A service, given as the API takes it: all its checks are in `Checks`, `Check` is an empty one."""
    shown: dict[str, Any] = hide("", _SERVICE | {name: definition[name] for name in _SERVICE if name in definition})
    shown["Check"] = _check({}, _SERVICE_CHECK, 0)
    shown["Checks"] = [_check(check, _SERVICE_CHECK, output_max_size) for check in definition.get("Checks", [])]
    shown["Proxy"] = _proxy(definition["Proxy"]) if "Proxy" in definition else None
    shown["Connect"] = None
    if (connect := definition.get("Connect")) is not None:
        sidecar = connect.get("SidecarService")
        shown["Connect"] = {
            "Native": connect.get("Native", False),
            "SidecarService": None if sidecar is None else service_shown(sidecar, output_max_size),
        }
    return shown


def _check(definition: dict[str, Any], further: dict[str, Any], output_max_size: int) -> dict[str, Any]:
    fields = _CHECK | further | {"OutputMaxSize": output_max_size}
    shown: dict[str, Any] = hide("", fields | {name: definition[name] for name in fields if name in definition})
    shown["OutputMaxSize"] = shown["OutputMaxSize"] or output_max_size
    shown["ScriptArgs"] = list(definition.get("Args", []))
    for name in _SPANS:
        shown[name] = format_duration(duration.parse(definition.get(name) or "0s"))
    return shown


def _proxy(definition: dict[str, Any]) -> dict[str, Any]:
    expose = definition.get("Expose", {})
    return {
        "Config": definition.get("Config", {}),
        **_PROXY,
        **{name: definition[name] for name in _PROXY if name in definition},
        "Expose": {
            "Checks": expose.get("Checks", False),
            "Paths": [_EXPOSED_PATH | path for path in expose.get("Paths", [])],
        },
        "MeshGateway": definition.get("MeshGateway", {"Mode": ""}),
        "Upstreams": [_UPSTREAM | upstream for upstream in definition.get("Upstreams", [])],
    }
