"""JSON Schemas of the records that answers are made of."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
TRUE: Schema = {"type": "boolean", "const": True}
TEXT_MAP: Schema = {"type": ["object", "null"], "additionalProperties": STRING}
TAGS: Schema = {"type": ["array", "null"], "items": STRING}
ID: Schema = {"type": "object", "properties": {"ID": STRING}, "required": ["ID"]}


def array(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


NODE = _object(
    ID=STRING,
    Node=STRING,
    Address=STRING,
    Datacenter=STRING,
    TaggedAddresses=TEXT_MAP,
    Meta=TEXT_MAP,
    CreateIndex=INTEGER,
    ModifyIndex=INTEGER,
)
WEIGHTS = _object(Passing=INTEGER, Warning=INTEGER)
SERVICE = _object(
    Kind=STRING,
    ID=STRING,
    Service=STRING,
    Tags=TAGS,
    Address=STRING,
    TaggedAddresses={"type": "object"},
    Meta=TEXT_MAP,
    Port=INTEGER,
    Weights=WEIGHTS,
    EnableTagOverride=BOOLEAN,
    Proxy={"type": "object"},
    Connect={"type": "object"},
    CreateIndex=INTEGER,
    ModifyIndex=INTEGER,
)
CHECK = _object(
    Node=STRING,
    CheckID=STRING,
    Name=STRING,
    Status=STRING,
    Notes=STRING,
    Output=STRING,
    ServiceID=STRING,
    ServiceName=STRING,
    ServiceTags=TAGS,
    Type=STRING,
    Definition={"type": "object"},
    CreateIndex=INTEGER,
    ModifyIndex=INTEGER,
)
SERVICE_NODE = _object(
    ID=STRING,
    Node=STRING,
    Address=STRING,
    Datacenter=STRING,
    TaggedAddresses=TEXT_MAP,
    NodeMeta=TEXT_MAP,
    ServiceKind=STRING,
    ServiceID=STRING,
    ServiceName=STRING,
    ServiceTags=TAGS,
    ServiceAddress=STRING,
    ServiceWeights=WEIGHTS,
    ServiceMeta=TEXT_MAP,
    ServicePort=INTEGER,
    ServiceEnableTagOverride=BOOLEAN,
    ServiceProxy={"type": "object"},
    ServiceConnect={"type": "object"},
    CreateIndex=INTEGER,
    ModifyIndex=INTEGER,
)
INSTANCE = _object(Node=NODE, Service=SERVICE, Checks=array(CHECK))
SESSION = _object(
    ID=STRING,
    Name=STRING,
    Node=STRING,
    LockDelay=INTEGER,
    Behavior=STRING,
    TTL=STRING,
    NodeChecks=TAGS,
    ServiceChecks={"type": ["array", "null"]},
    CreateIndex=INTEGER,
    ModifyIndex=INTEGER,
)
