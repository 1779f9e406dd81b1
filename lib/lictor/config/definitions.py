"""Service and check definitions of configuration files, as the agent's HTTP API takes them."""

from __future__ import annotations

from typing import Any

from lictor.service_faults import CONNECT_PROXY, MESH_GATEWAY

Definition = dict[str, Any]

_CHECK_NAMES = {
    "id": "ID",
    "name": "Name",
    "notes": "Notes",
    "service_id": "ServiceID",
    "token": "Token",
    "status": "Status",
    "args": "Args",
    "http": "HTTP",
    "header": "Header",
    "method": "Method",
    "body": "Body",
    "output_max_size": "OutputMaxSize",
    "tcp": "TCP",
    "interval": "Interval",
    "docker_container_id": "DockerContainerID",
    "shell": "Shell",
    "grpc": "GRPC",
    "grpc_use_tls": "GRPCUseTLS",
    "tls_skip_verify": "TLSSkipVerify",
    "alias_node": "AliasNode",
    "alias_service": "AliasService",
    "timeout": "Timeout",
    "ttl": "TTL",
    "success_before_passing": "SuccessBeforePassing",
    "failures_before_critical": "FailuresBeforeCritical",
    "deregister_critical_service_after": "DeregisterCriticalServiceAfter",
}
_SERVICE_NAMES = {
    "id": "ID",
    "name": "Name",
    "tags": "Tags",
    "address": "Address",
    "meta": "Meta",
    "port": "Port",
    "kind": "Kind",
    "token": "Token",
    "enable_tag_override": "EnableTagOverride",
}
_UPSTREAM_NAMES = {
    "destination_type": "DestinationType",
    "destination_namespace": "DestinationNamespace",
    "destination_name": "DestinationName",
    "datacenter": "Datacenter",
    "local_bind_address": "LocalBindAddress",
    "local_bind_port": "LocalBindPort",
    "config": "Config",
}
_PROXY_NAMES = {
    "destination_service_name": "DestinationServiceName",
    "destination_service_id": "DestinationServiceID",
    "local_service_address": "LocalServiceAddress",
    "local_service_port": "LocalServicePort",
    "config": "Config",
}
_EXPOSED_PATH_NAMES = {
    "path": "Path",
    "local_path_port": "LocalPathPort",
    "listener_port": "ListenerPort",
    "protocol": "Protocol",
}
DEFAULT_UPSTREAM_TYPE = "service"
KINDS = ("", CONNECT_PROXY, MESH_GATEWAY)
"""Of a service; in a file any other one counts as none."""


def check(values: Definition) -> Definition:
    """A check definition, keys of the file, as the body of `PUT /v1/agent/check/register`."""
    return _renamed(values, _CHECK_NAMES)


def service_check(values: Definition) -> Definition:
    """A check inside a service definition; its ID is called CheckID there."""
    body = check(values)
    if "ID" in body:
        body["CheckID"] = body.pop("ID")
    return body


def service(values: Definition) -> Definition:
    """A service definition, keys of the file, as the body of `PUT /v1/agent/service/register`."""
    body = _renamed(values, _SERVICE_NAMES)
    if body.get("Kind", "") not in KINDS:
        body["Kind"] = ""
    if "tagged_addresses" in values:
        body["TaggedAddresses"] = {
            tag: {"Address": address.get("address", ""), "Port": address.get("port", 0)}
            for tag, address in values["tagged_addresses"].items()
        }
    if "weights" in values:
        weights = values["weights"]
        body["Weights"] = {"Passing": weights.get("passing", 1), "Warning": weights.get("warning", 1)}
    checks = [*values.get("checks", ()), *([values["check"]] if "check" in values else [])]
    if checks:
        body["Checks"] = [service_check(item) for item in checks]
    if "proxy" in values:
        body["Proxy"] = _proxy(values["proxy"])
    if "connect" in values:
        connect = values["connect"]
        body["Connect"] = {"Native": connect["native"]} if "native" in connect else {}
        if "sidecar_service" in connect:
            body["Connect"]["SidecarService"] = service(connect["sidecar_service"])
    return body


def _proxy(values: Definition) -> Definition:
    body = _renamed(values, _PROXY_NAMES)
    if "upstreams" in values:
        body["Upstreams"] = [_upstream(item) for item in values["upstreams"]]
    if "mesh_gateway" in values:
        body["MeshGateway"] = {"Mode": values["mesh_gateway"].get("mode", "")}
    if "expose" in values:
        expose = values["expose"]
        body["Expose"] = {"Checks": expose.get("checks", False)}
        if "paths" in expose:
            body["Expose"]["Paths"] = [_renamed(path, _EXPOSED_PATH_NAMES) for path in expose["paths"]]
    return body


def _upstream(values: Definition) -> Definition:
    body = _renamed(values, _UPSTREAM_NAMES)
    body.setdefault("DestinationType", DEFAULT_UPSTREAM_TYPE)
    if "mesh_gateway" in values:
        body["MeshGateway"] = {"Mode": values["mesh_gateway"].get("mode", "")}
    return body


def _renamed(values: Definition, names: dict[str, str]) -> Definition:
    return {names[key]: value for key, value in values.items() if key in names}
