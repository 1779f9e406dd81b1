"""JSON forms of services and checks: for the agent API, the catalog and the files under the data directory."""

from __future__ import annotations

from typing import Any

import msgspec

from checkd.core.definitions import CheckDefinition, ServiceAddress
from checkd.core.proxy import shown_proxy
from checkd.core.records import Check, CheckEntry, Service, ServiceEntry
from lictor.service_faults import CONNECT_PROXY, MESH_GATEWAY

SOURCE_FILE, SOURCE_API = "local", "remote"


def shown_addresses(addresses: dict[str, ServiceAddress]) -> dict[str, Any]:
    """Tagged addresses by name, in the order of their names."""
    return {name: {"Address": at.address, "Port": at.port} for name, at in sorted(addresses.items())}


def agent_service(service: Service) -> dict[str, Any]:
    """As `GET /v1/agent/service/:id` shows it, without its content hash."""
    shown: dict[str, Any] = {"Kind": service.kind} if service.kind else {}
    shown["ID"] = service.service_id
    shown["Service"] = service.name
    shown["Tags"] = list(service.tags)
    shown["Meta"] = service.meta or {}
    shown["Port"] = service.port
    shown["Address"] = service.address
    if service.tagged_addresses:
        shown["TaggedAddresses"] = shown_addresses(service.tagged_addresses)
    shown["Weights"] = {"Passing": service.weights.passing, "Warning": service.weights.warning}
    shown["EnableTagOverride"] = service.enable_tag_override
    return shown


def whole_agent_service(service: Service) -> dict[str, Any]:
    """As `GET /v1/agent/service/:id` shows it, with the place of its content hash, which apid fills in when asked."""
    shown = agent_service(service)
    shown["ContentHash"] = ""
    if service.kind in (CONNECT_PROXY, MESH_GATEWAY):
        shown["Proxy"] = shown_proxy(service.proxy)
    if service.native:
        shown["Connect"] = {"Native": True}
    return shown


def agent_check(check: Check, node: str) -> dict[str, Any]:
    """As `GET /v1/agent/checks` shows it."""
    return {
        "Node": node,
        "CheckID": check.check_id,
        "Name": check.name,
        "Status": check.status,
        "Notes": check.notes,
        "Output": check.output,
        "ServiceID": check.service_id,
        "ServiceName": check.service_name,
        "ServiceTags": list(check.service_tags),
        "Type": check.kind,
        "Definition": {},
        "CreateIndex": 0,
        "ModifyIndex": 0,
    }


def catalog_service(service: Service) -> dict[str, Any]:
    """As `PUT /v1/catalog/register` takes it under Service."""
    shown = agent_service(service)
    shown["Meta"] = service.meta
    shown["Tags"] = list(service.tags) or None
    if service.proxy is not None:
        shown["Proxy"] = shown_proxy(service.proxy)
    if service.native:
        shown["Connect"] = {"Native": True}
    return shown


def catalog_check(check: Check, node: str) -> dict[str, Any]:
    """As `PUT /v1/catalog/register` takes it under Check or Checks."""
    shown = agent_check(check, node)
    for key in ("Definition", "CreateIndex", "ModifyIndex"):
        del shown[key]
    if not check.service_id:
        shown["ServiceTags"] = None
    return shown


def service_document(entry: ServiceEntry) -> dict[str, Any]:
    """The file that keeps a service over restarts (Consul 1.7: data_dir/services)."""
    service = catalog_service(entry.registered)
    if entry.is_sidecar:
        service["LocallyRegisteredAsSidecar"] = True
    return {"Token": entry.token, "Service": service, "Source": SOURCE_FILE if entry.from_file else SOURCE_API}


_CHECK_KEYS = {
    "script_args": "ScriptArgs",
    "http": "HTTP",
    "grpc_use_tls": "GRPCUseTLS",
    "h2ping": "H2PING",
    "h2ping_use_tls": "H2PingUseTLS",
    "tls_server_name": "TLSServerName",
    "tls_skip_verify": "TLSSkipVerify",
    "docker_container_id": "DockerContainerID",
    "deregister_after_ns": "DeregisterCriticalServiceAfter",
    "ttl_ns": "TTL",
    "interval_ns": "Interval",
    "timeout_ns": "Timeout",
    "check_id": "CheckID",
    "tcp": "TCP",
    "udp": "UDP",
    "grpc": "GRPC",
    "os_service": "OSService",
    "proxy_http": "ProxyHTTP",
    "proxy_grpc": "ProxyGRPC",
}
_NOT_STORED = ("service_id", "token")


def check_type_document(definition: CheckDefinition) -> dict[str, Any]:
    """A check's definition under the API's keys, durations as nanoseconds, defaults left out."""
    fields = msgspec.to_builtins(definition)
    return {
        _CHECK_KEYS.get(name) or "".join(part.capitalize() for part in name.split("_")): value
        for name, value in fields.items()
        if name not in _NOT_STORED
    }


def check_document(entry: CheckEntry, node: str) -> dict[str, Any]:
    """The file that keeps a check over restarts (Consul 1.7: data_dir/checks)."""
    return {
        "Check": catalog_check(entry.check, node),
        "ChkType": None if entry.definition is None else check_type_document(entry.definition),
        "Token": entry.token,
        "Source": SOURCE_FILE if entry.from_file else SOURCE_API,
    }
