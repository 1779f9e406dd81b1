"""Records of the HTTP API's JSON as messages of `lictor.v1`."""

from __future__ import annotations

import base64
from typing import Any

from lictor.pb.lictor.v1 import catalog_pb2, event_pb2, health_pb2, kv_pb2, session_pb2

Fields = dict[str, Any]
MILLISECOND_NS = 1_000_000


def kv_entry(row: Fields) -> kv_pb2.KVEntry:
    return kv_pb2.KVEntry(
        key=row["Key"],
        value=base64.b64decode(row["Value"] or ""),
        flags=row["Flags"],
        session=row.get("Session", ""),
        lock_index=row["LockIndex"],
        create_index=row["CreateIndex"],
        modify_index=row["ModifyIndex"],
    )


def node(row: Fields) -> catalog_pb2.Node:
    return catalog_pb2.Node(
        id=row["ID"],
        node=row["Node"],
        address=row["Address"],
        datacenter=row["Datacenter"],
        tagged_addresses=row["TaggedAddresses"] or {},
        meta=row["Meta"] or {},
        create_index=row["CreateIndex"],
        modify_index=row["ModifyIndex"],
    )


def service(row: Fields) -> catalog_pb2.Service:
    return catalog_pb2.Service(
        id=row["ID"],
        service=row["Service"],
        tags=row["Tags"] or (),
        address=row["Address"],
        port=row["Port"],
        meta=row["Meta"] or {},
        passing_weight=row["Weights"]["Passing"],
        warning_weight=row["Weights"]["Warning"],
        enable_tag_override=row["EnableTagOverride"],
        kind=row.get("Kind", ""),
        create_index=row["CreateIndex"],
        modify_index=row["ModifyIndex"],
    )


def check(row: Fields) -> catalog_pb2.Check:
    return catalog_pb2.Check(
        node=row["Node"],
        check_id=row["CheckID"],
        name=row["Name"],
        status=row["Status"],
        notes=row["Notes"],
        output=row["Output"],
        service_id=row["ServiceID"],
        service_name=row["ServiceName"],
        service_tags=row["ServiceTags"] or (),
        type=row["Type"],
        create_index=row["CreateIndex"],
        modify_index=row["ModifyIndex"],
    )


def summary(row: Fields) -> catalog_pb2.ServiceSummary:
    return catalog_pb2.ServiceSummary(name=row["Name"], tags=row["Tags"])


def instance(row: Fields) -> health_pb2.Instance:
    return health_pb2.Instance(
        node=node(row["Node"]), service=service(row["Service"]), checks=[check(item) for item in row["Checks"]]
    )


def instance_key(row: Fields) -> health_pb2.InstanceKey:
    return health_pb2.InstanceKey(node=row["Node"], service_id=row["ServiceID"])


def session(row: Fields) -> session_pb2.Session:
    return session_pb2.Session(
        id=row["ID"],
        name=row["Name"],
        node=row["Node"],
        lock_delay_ms=row["LockDelay"] // MILLISECOND_NS,
        behavior=row["Behavior"],
        ttl=row["TTL"],
        node_checks=row["NodeChecks"] or (),
        service_checks=[item["ID"] for item in row["ServiceChecks"] or ()],
        create_index=row["CreateIndex"],
        modify_index=row["ModifyIndex"],
    )


def event(row: Fields) -> event_pb2.Event:
    return event_pb2.Event(
        id=row["ID"],
        name=row["Name"],
        payload=base64.b64decode(row["Payload"] or ""),
        node_filter=row["NodeFilter"],
        service_filter=row["ServiceFilter"],
        tag_filter=row["TagFilter"],
        version=row["Version"],
        lamport_time=row["LTime"],
    )


def register_body(request: catalog_pb2.RegisterRequest) -> Fields:
    """The body of /v1/catalog/register. What protobuf cannot leave out is left out when it is empty."""
    fields: Fields = {
        "ID": request.node.id,
        "Node": request.node.node,
        "Address": request.node.address,
        "Datacenter": request.node.datacenter,
        "TaggedAddresses": dict(request.node.tagged_addresses) or None,
        "NodeMeta": dict(request.node.meta) or None,
        "SkipNodeUpdate": request.skip_node_update,
        "Checks": [_check_body(item) for item in request.checks],
    }
    if request.HasField("service"):
        fields["Service"] = _service_body(request.service)
    return fields


def _service_body(row: catalog_pb2.Service) -> Fields:
    fields: Fields = {
        "ID": row.id,
        "Service": row.service,
        "Tags": list(row.tags),
        "Address": row.address,
        "Port": row.port,
        "Meta": dict(row.meta) or None,
        "EnableTagOverride": row.enable_tag_override,
        "Kind": row.kind,
    }
    if row.passing_weight or row.warning_weight:
        fields["Weights"] = {"Passing": row.passing_weight, "Warning": row.warning_weight}
    return fields


def _check_body(row: catalog_pb2.Check) -> Fields:
    return {
        "Node": row.node,
        "CheckID": row.check_id,
        "Name": row.name,
        "Status": row.status,
        "Notes": row.notes,
        "Output": row.output,
        "ServiceID": row.service_id,
        "ServiceName": row.service_name,
        "ServiceTags": list(row.service_tags),
        "Type": row.type,
    }
