"""Request bodies of the catalog, sessions and transactions, and the records they mean.

A body decodes to dictionaries with Consul's field names (`core.decoding`); the functions here make records of them.
"""

from __future__ import annotations

from typing import Any

from apid.core.decoding import (
    ANY,
    ANY_MAP,
    BOOL,
    DURATION,
    INT,
    LOOSE_DURATION,
    TEXT,
    TEXT_MAP,
    TEXTS,
    UINT64,
    Kind,
    ListOf,
    MapOf,
    Struct,
)
from lictor.state import canonical
from lictor.state.rows import Check, Node, Service

Fields = dict[str, Any]

MESH_GATEWAY = Struct("MeshGatewayConfig", {"Mode": TEXT})
EXPOSE = Struct(
    "ExposeConfig",
    {
        "Checks": BOOL,
        "Paths": ListOf(
            Struct(
                "ExposePath",
                {"ListenerPort": INT, "Path": TEXT, "LocalPathPort": INT, "Protocol": TEXT, "ParsedFromCheck": BOOL},
                {"listener_port": "ListenerPort", "local_path_port": "LocalPathPort"},
            )
        ),
    },
)
UPSTREAM = Struct(
    "Upstream",
    {
        "DestinationType": TEXT,
        "DestinationNamespace": TEXT,
        "DestinationName": TEXT,
        "Datacenter": TEXT,
        "LocalBindAddress": TEXT,
        "LocalBindPort": INT,
        "Config": ANY_MAP,
        "MeshGateway": MESH_GATEWAY,
    },
    {
        "destination_type": "DestinationType",
        "destination_namespace": "DestinationNamespace",
        "destination_name": "DestinationName",
        "local_bind_address": "LocalBindAddress",
        "local_bind_port": "LocalBindPort",
    },
)
PROXY = Struct(
    "ConnectProxyConfig",
    {
        "DestinationServiceName": TEXT,
        "DestinationServiceID": TEXT,
        "LocalServiceAddress": TEXT,
        "LocalServicePort": INT,
        "Config": ANY_MAP,
        "Upstreams": ListOf(UPSTREAM),
        "MeshGateway": MESH_GATEWAY,
        "Expose": EXPOSE,
    },
    {
        "destination_service_name": "DestinationServiceName",
        "destination_service_id": "DestinationServiceID",
        "local_service_address": "LocalServiceAddress",
        "local_service_port": "LocalServicePort",
    },
)
SERVICE_ADDRESSES = MapOf(Struct("ServiceAddress", {"Address": TEXT, "Port": INT}))
WEIGHTS = Struct("Weights", {"Passing": INT, "Warning": INT})
_SERVICE_FIELDS: dict[str, Kind] = {
    "Kind": TEXT,
    "ID": TEXT,
    "Service": TEXT,
    "Tags": TEXTS,
    "Address": TEXT,
    "TaggedAddresses": SERVICE_ADDRESSES,
    "Meta": TEXT_MAP,
    "Port": INT,
    "Weights": WEIGHTS,
    "EnableTagOverride": BOOL,
    "Proxy": PROXY,
    "Connect": Struct(
        "ServiceConnect",
        {"Native": BOOL, "SidecarService": ANY},
        {"sidecar_service": "SidecarService"},
        open_ended=True,
    ),
    "CreateIndex": UINT64,
    "ModifyIndex": UINT64,
}
NODE_SERVICE = Struct("NodeService", _SERVICE_FIELDS)
TXN_SERVICE = Struct("AgentService", _SERVICE_FIELDS | {"ContentHash": TEXT})
CHECK_DEFINITION = Struct(
    "HealthCheckDefinition",
    {
        "HTTP": TEXT,
        "TLSSkipVerify": BOOL,
        "Header": MapOf(TEXTS),
        "Method": TEXT,
        "Body": TEXT,
        "TCP": TEXT,
        "Interval": LOOSE_DURATION,
        "OutputMaxSize": UINT64,
        "Timeout": LOOSE_DURATION,
        "DeregisterCriticalServiceAfter": LOOSE_DURATION,
        "ScriptArgs": TEXTS,
        "DockerContainerID": TEXT,
        "Shell": TEXT,
        "GRPC": TEXT,
        "GRPCUseTLS": BOOL,
        "AliasNode": TEXT,
        "AliasService": TEXT,
        "TTL": LOOSE_DURATION,
    },
    open_ended=True,
)
TXN_CHECK_DEFINITION = Struct(
    "HealthCheckDefinition",
    {
        "HTTP": TEXT,
        "Header": MapOf(TEXTS),
        "Method": TEXT,
        "Body": TEXT,
        "TLSSkipVerify": BOOL,
        "TCP": TEXT,
        "Interval": DURATION,
        "Timeout": DURATION,
        "DeregisterCriticalServiceAfter": DURATION,
        "IntervalDuration": DURATION,
        "TimeoutDuration": DURATION,
        "DeregisterCriticalServiceAfterDuration": DURATION,
    },
    open_ended=True,
)
_CHECK_FIELDS: dict[str, Kind] = {
    "Node": TEXT,
    "CheckID": TEXT,
    "Name": TEXT,
    "Status": TEXT,
    "Notes": TEXT,
    "Output": TEXT,
    "ServiceID": TEXT,
    "ServiceName": TEXT,
    "ServiceTags": TEXTS,
    "Type": TEXT,
    "Definition": CHECK_DEFINITION,
    "CreateIndex": UINT64,
    "ModifyIndex": UINT64,
}
HEALTH_CHECK = Struct("HealthCheck", _CHECK_FIELDS)
TXN_CHECK = Struct("HealthCheck", _CHECK_FIELDS | {"Definition": TXN_CHECK_DEFINITION})
REGISTER = Struct(
    "RegisterRequest",
    {
        "Datacenter": TEXT,
        "ID": TEXT,
        "Node": TEXT,
        "Address": TEXT,
        "TaggedAddresses": TEXT_MAP,
        "NodeMeta": TEXT_MAP,
        "Service": NODE_SERVICE,
        "Check": HEALTH_CHECK,
        "Checks": ListOf(HEALTH_CHECK),
        "SkipNodeUpdate": BOOL,
        "Token": TEXT,
    },
)
DEREGISTER = Struct(
    "DeregisterRequest",
    {"Datacenter": TEXT, "Node": TEXT, "ServiceID": TEXT, "CheckID": TEXT, "Token": TEXT, "Address": TEXT},
)
NODE = Struct(
    "Node",
    {
        "ID": TEXT,
        "Node": TEXT,
        "Address": TEXT,
        "Datacenter": TEXT,
        "TaggedAddresses": TEXT_MAP,
        "Meta": TEXT_MAP,
        "CreateIndex": UINT64,
        "ModifyIndex": UINT64,
    },
)


def node_row(fields: Fields, datacenter: str, meta_field: str = "Meta") -> Node:
    """A node as registered or as a transaction names it."""
    return Node(
        id=fields.get("ID", ""),
        node=fields.get("Node", ""),
        address=fields.get("Address", ""),
        datacenter=fields.get("Datacenter", "") or datacenter,
        tagged_addresses=fields.get("TaggedAddresses"),
        meta=fields.get(meta_field),
        create_index=fields.get("CreateIndex", 0),
        modify_index=fields.get("ModifyIndex", 0),
    )


def service_row(fields: Fields, node: str = "") -> Service:
    """A service instance."""
    weights = fields.get("Weights")
    tagged = fields.get("TaggedAddresses")
    return Service(
        node=node,
        id=fields.get("ID", ""),
        service=fields.get("Service", ""),
        kind=fields.get("Kind", ""),
        tags=fields.get("Tags"),
        address=fields.get("Address", ""),
        tagged_addresses=None
        if tagged is None
        else {
            name: {"Address": (place or {}).get("Address", ""), "Port": (place or {}).get("Port", 0)}
            for name, place in tagged.items()
        },
        meta=fields.get("Meta"),
        port=fields.get("Port", 0),
        weights=None if weights is None else (weights.get("Passing", 0), weights.get("Warning", 0)),
        enable_tag_override=fields.get("EnableTagOverride", False),
        proxy=canonical.proxy(fields.get("Proxy")),
        connect=canonical.connect(fields.get("Connect")),
        create_index=fields.get("CreateIndex", 0),
        modify_index=fields.get("ModifyIndex", 0),
    )


def check_row(fields: Fields) -> Check:
    """A check as registered directly in the catalog; its type follows from its definition unless it is given."""
    definition = canonical.check_definition(fields.get("Definition"))
    return Check(
        node=fields.get("Node", ""),
        check_id=fields.get("CheckID", ""),
        name=fields.get("Name", ""),
        status=fields.get("Status", ""),
        notes=fields.get("Notes", ""),
        output=fields.get("Output", ""),
        service_id=fields.get("ServiceID", ""),
        service_name=fields.get("ServiceName", ""),
        service_tags=fields.get("ServiceTags"),
        type=fields.get("Type", "") or canonical.check_type(definition),
        definition=definition,
        create_index=fields.get("CreateIndex", 0),
        modify_index=fields.get("ModifyIndex", 0),
    )
