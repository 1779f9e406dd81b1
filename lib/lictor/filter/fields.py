"""Which selectors each endpoint's filter knows, and their types (Consul 1.7: filter expressions).

A struct is a dictionary of its fields, a list is `ListOf`, a map with free keys `MapOf`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Scalar(Enum):
    STRING = "string"
    INT = "int"
    BOOL = "bool"
    FLOAT = "float"


class ListOf(NamedTuple):
    element: FieldType


class MapOf(NamedTuple):
    value: FieldType


Struct = Mapping[str, "FieldType"]
FieldType = Scalar | ListOf | MapOf | Struct

STRING, INT, BOOL = Scalar.STRING, Scalar.INT, Scalar.BOOL
STRINGS = ListOf(STRING)
TEXT_MAP = MapOf(STRING)
_ADDRESSES = MapOf({"Address": STRING, "Port": INT})
_WEIGHTS: Struct = {"Passing": INT, "Warning": INT}
_MESH_GATEWAY: Struct = {"Mode": STRING}
_EXPOSE: Struct = {
    "Checks": BOOL,
    "Paths": ListOf(
        {
            "ListenerPort": INT,
            "Path": STRING,
            "LocalPathPort": INT,
            "Protocol": STRING,
            "ParsedFromCheck": BOOL,
        }
    ),
}
_PROXY: Struct = {
    "DestinationServiceName": STRING,
    "DestinationServiceID": STRING,
    "LocalServiceAddress": STRING,
    "LocalServicePort": INT,
    "Upstreams": ListOf(
        {
            "DestinationType": STRING,
            "DestinationNamespace": STRING,
            "DestinationName": STRING,
            "Datacenter": STRING,
            "LocalBindAddress": STRING,
            "LocalBindPort": INT,
            "MeshGateway": _MESH_GATEWAY,
        }
    ),
    "MeshGateway": _MESH_GATEWAY,
    "Expose": _EXPOSE,
}
_CONNECT: Struct = {"Native": BOOL}

CATALOG_NODES: Struct = {
    "ID": STRING,
    "Node": STRING,
    "Address": STRING,
    "Datacenter": STRING,
    "TaggedAddresses": TEXT_MAP,
    "Meta": TEXT_MAP,
}
NODE_SERVICES: Struct = {
    "Kind": STRING,
    "ID": STRING,
    "Service": STRING,
    "Tags": STRINGS,
    "Address": STRING,
    "TaggedAddresses": _ADDRESSES,
    "Meta": TEXT_MAP,
    "Port": INT,
    "Weights": _WEIGHTS,
    "EnableTagOverride": BOOL,
    "Proxy": _PROXY,
    "Connect": _CONNECT,
}
"""catalog/node, catalog/node-services."""
AGENT_SERVICES: Struct = {**NODE_SERVICES, "ContentHash": STRING, "Datacenter": STRING}
CATALOG_SERVICE: Struct = {
    "ID": STRING,
    "Node": STRING,
    "Address": STRING,
    "Datacenter": STRING,
    "TaggedAddresses": TEXT_MAP,
    "NodeMeta": TEXT_MAP,
    "ServiceKind": STRING,
    "ServiceID": STRING,
    "ServiceName": STRING,
    "ServiceTags": STRINGS,
    "ServiceAddress": STRING,
    "ServiceTaggedAddresses": _ADDRESSES,
    "ServiceWeights": _WEIGHTS,
    "ServiceMeta": TEXT_MAP,
    "ServicePort": INT,
    "ServiceEnableTagOverride": BOOL,
    "ServiceProxy": _PROXY,
    "ServiceConnect": _CONNECT,
}
CHECKS: Struct = {
    "Node": STRING,
    "CheckID": STRING,
    "Name": STRING,
    "Status": STRING,
    "Notes": STRING,
    "Output": STRING,
    "ServiceID": STRING,
    "ServiceName": STRING,
    "ServiceTags": STRINGS,
    "Type": STRING,
}
"""health/node, health/checks, health/state, agent/checks."""
HEALTH_SERVICE: Struct = {"Node": CATALOG_NODES, "Service": NODE_SERVICES, "Checks": ListOf(CHECKS)}
"""health/service, health/connect, internal/ui/services, and the subsets of service-resolver entries."""
UI_NODES: Struct = {
    "ID": STRING,
    "Node": STRING,
    "Address": STRING,
    "TaggedAddresses": TEXT_MAP,
    "Meta": TEXT_MAP,
    "Services": ListOf(NODE_SERVICES),
    "Checks": ListOf(CHECKS),
}
