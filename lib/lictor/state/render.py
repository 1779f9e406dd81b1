"""The HTTP API's JSON, from rows: field names and order, nulls, omissions and escapes of Consul 1.7.

Rows that are read often remember their rendering (in their dict), and decoding gives equal bytes the same row, so a
health answer is mostly joined from pieces.
"""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from lictor.state.commands import TxnEntry, TxnItem, TxnNodeResult, TxnResult, TxnServiceResult
from lictor.state.gotext import format_duration
from lictor.state.queries.instances import MANY, remembered_bodies
from lictor.state.queries.read import Instance, NodeDump, NodeServices, ServiceNode, ServiceSummary
from lictor.state.rows import (
    AutopilotConfig,
    CAConfig,
    CARoot,
    Check,
    ConfigEntry,
    Coordinate,
    Intention,
    KVEntry,
    Node,
    PreparedQuery,
    Row,
    Service,
    Session,
)

_encode = msgspec.json.Encoder().encode
RowType = TypeVar("RowType", bound=Row)


def _one_for_each_bad_byte(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\ufffd", error.start + 1


codecs.register_error("lictor-go", _one_for_each_bad_byte)

_SHORT_ESCAPE = re.compile(rb"\\(.)")
_LONG_ESCAPES = {b"b": b"\\u0008", b"f": b"\\u000c"}


def escape(raw: bytes) -> bytes:
    """JSON as Go writes it: <, >, & and the line separators escaped, backspace and form feed the long way."""
    if b"<" in raw:
        raw = raw.replace(b"<", b"\\u003c")
    if b">" in raw:
        raw = raw.replace(b">", b"\\u003e")
    if b"&" in raw:
        raw = raw.replace(b"&", b"\\u0026")
    if b"\xe2\x80" in raw:
        raw = raw.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    if b"\\b" in raw or b"\\f" in raw:
        raw = _SHORT_ESCAPE.sub(lambda match: _LONG_ESCAPES.get(match[1], match[0]), raw)
    return raw


def dumps(value: Any) -> bytes:
    """Any JSON value, escaped as Go does; dictionaries in their own order."""
    return escape(_encode(value))


def array(items: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def sorted_map(pairs: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A Go map: by key."""
    if pairs is None or len(pairs) < 2:
        return pairs if pairs is None else dict(pairs)
    return {key: pairs[key] for key in sorted(pairs)}


def _remembered(row: Row, name: str, render: Callable[[Any], Any]) -> bytes:
    memory = row.__dict__
    found: bytes | None = memory.get(name)
    if found is None:
        found = memory[name] = dumps(render(row))
    return found


# ---------------------------------------------------------------------------------------------------- as dictionaries


def node_dict(row: Node) -> dict[str, Any]:
    return {
        "ID": row.id,
        "Node": row.node,
        "Address": row.address,
        "Datacenter": row.datacenter,
        "TaggedAddresses": sorted_map(row.tagged_addresses),
        "Meta": sorted_map(row.meta),
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def proxy_dict(proxy: Mapping[str, Any]) -> dict[str, Any]:
    shown = dict(proxy)
    gateway, expose = shown.pop("MeshGateway", {}), shown.pop("Expose", {})
    shown["MeshGateway"] = gateway
    shown["Expose"] = expose
    return shown


def _weights(row: Service) -> dict[str, int]:
    passing, warning = row.weights or (1, 1)
    return {"Passing": passing, "Warning": warning}


def service_dict(row: Service, null_tags: bool = False) -> dict[str, Any]:
    """Catalog and health answers show missing tags as [], transactions and prepared queries as null."""
    shown: dict[str, Any] = {"Kind": row.kind} if row.kind else {}
    shown["ID"] = row.id
    shown["Service"] = row.service
    shown["Tags"] = row.tags if null_tags else row.tags or []
    shown["Address"] = row.address
    if row.tagged_addresses:
        shown["TaggedAddresses"] = sorted_map(row.tagged_addresses)
    shown["Meta"] = sorted_map(row.meta)
    shown["Port"] = row.port
    shown["Weights"] = _weights(row)
    shown["EnableTagOverride"] = row.enable_tag_override
    shown["Proxy"] = proxy_dict(row.proxy)
    shown["Connect"] = row.connect
    shown["CreateIndex"] = row.create_index
    shown["ModifyIndex"] = row.modify_index
    return shown


def check_dict(row: Check, null_tags: bool = False) -> dict[str, Any]:
    return {
        "Node": row.node,
        "CheckID": row.check_id,
        "Name": row.name,
        "Status": row.status,
        "Notes": row.notes,
        "Output": row.output,
        "ServiceID": row.service_id,
        "ServiceName": row.service_name,
        "ServiceTags": row.service_tags if null_tags else row.service_tags or [],
        "Type": row.type,
        "Definition": row.definition,
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def _service_node_tail(row: Service) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ServiceKind": row.kind,
        "ServiceID": row.id,
        "ServiceName": row.service,
        "ServiceTags": row.tags or [],
        "ServiceAddress": row.address,
    }
    if row.tagged_addresses:
        shown["ServiceTaggedAddresses"] = sorted_map(row.tagged_addresses)
    shown["ServiceWeights"] = _weights(row)
    shown["ServiceMeta"] = sorted_map(row.meta) or {}
    shown["ServicePort"] = row.port
    shown["ServiceEnableTagOverride"] = row.enable_tag_override
    shown["ServiceProxy"] = proxy_dict(row.proxy)
    shown["ServiceConnect"] = row.connect
    shown["CreateIndex"] = row.create_index
    shown["ModifyIndex"] = row.modify_index
    return shown


def _service_node_head(row: Node) -> dict[str, Any]:
    return {
        "ID": row.id,
        "Node": row.node,
        "Address": row.address,
        "Datacenter": row.datacenter,
        "TaggedAddresses": sorted_map(row.tagged_addresses),
        "NodeMeta": sorted_map(row.meta),
    }


def service_node_dict(pair: ServiceNode | Instance) -> dict[str, Any]:
    """For filter expressions and translated addresses."""
    return _service_node_head(pair.node) | {"Node": pair.service.node} | _service_node_tail(pair.service)


def instance_dict(item: Instance) -> dict[str, Any]:
    """For filter expressions."""
    return {
        "Node": node_dict(item.node),
        "Service": service_dict(item.service),
        "Checks": [check_dict(check) for check in item.checks],
    }


# ---------------------------------------------------------------------------------------------------- catalog, health


def node(row: Node) -> bytes:
    return _remembered(row, "json", node_dict)


def nodes(rows: Sequence[Node]) -> bytes:
    return array(node(row) for row in rows)


def service(row: Service) -> bytes:
    return _remembered(row, "json", service_dict)


def check(row: Check) -> bytes:
    return _remembered(row, "json", check_dict)


def checks(rows: Sequence[Check]) -> bytes:
    return array(check(row) for row in rows)


def services(tags_of: Mapping[str, Sequence[str]]) -> bytes:
    """catalog/services: name → tags."""
    return dumps(sorted_map(tags_of))


def _service_node(pair: ServiceNode | Instance) -> bytes:
    if pair.service.node != pair.node.node:
        # They differ in case: the node was registered again since.
        return dumps(service_node_dict(pair))
    head = _remembered(pair.node, "head", _service_node_head)
    return head[:-1] + b"," + _remembered(pair.service, "tail", _service_node_tail)[1:]


def service_nodes(pairs: Sequence[ServiceNode | Instance]) -> bytes:
    """catalog/service, catalog/connect. Remembered as `instances` are."""
    bodies = remembered_bodies(pairs)
    if bodies is None:
        return array([_service_node(pair) for pair in pairs])
    body = bodies.get("catalog")
    if body is None:
        parts = []
        for item in pairs:
            assert isinstance(item, Instance), "remembered lists hold instances"
            if item.rendered_plain is None:
                item.rendered_plain = _service_node(item)
            parts.append(item.rendered_plain)
        body = bodies["catalog"] = array(parts)
    return body


def node_services(found: NodeServices | None) -> bytes:
    """catalog/node: services by ID."""
    if found is None:
        return b"null"
    by_id = sorted(found.services or (), key=lambda row: row.id)
    return (
        b'{"Node":'
        + node(found.node)
        + b',"Services":{'
        + b",".join(dumps(row.id) + b":" + service(row) for row in by_id)
        + b"}}"
    )


def node_service_list(found: NodeServices | None) -> bytes:
    """catalog/node-services: services as a list."""
    if found is None:
        return b'{"Node":null,"Services":null}'
    services = array(service(row) for row in found.services) if found.services is not None else b"null"
    return b'{"Node":' + node(found.node) + b',"Services":' + services + b"}"


def instance(item: Instance) -> bytes:
    found = item.rendered
    if found is not None:
        return found
    return (
        b'{"Node":'
        + node(item.node)
        + b',"Service":'
        + service(item.service)
        + b',"Checks":['
        + b",".join([check(row) for row in item.checks])
        + b"]}"
    )


def instances(items: Sequence[Instance]) -> bytes:
    """health/service, health/connect. A remembered list keeps its body, its items their parts of it."""
    bodies = remembered_bodies(items)
    if bodies is None:
        return b"[" + b",".join([instance(item) for item in items]) + b"]"
    body = bodies.get("health")
    if body is None:
        if len(items) >= MANY:
            for item in items:
                if item.rendered is None:
                    item.rendered = instance(item)
        body = bodies["health"] = b"[" + b",".join([instance(item) for item in items]) + b"]"
    return body


def query_instances(items: Sequence[Instance]) -> bytes:
    """The Nodes of an executed prepared query: missing tags and checks are null there."""
    return array(
        dumps(
            {
                "Node": node_dict(item.node),
                "Service": service_dict(item.service, null_tags=True),
                "Checks": [check_dict(row, null_tags=True) for row in item.checks] or None,
            }
        )
        for item in items
    )


def node_dumps(items: Sequence[NodeDump]) -> bytes:
    """internal/ui/nodes."""
    return array(_listed_dump(item) for item in items)


def _listed_dump(item: NodeDump) -> bytes:
    if item.rendered is None:
        item.rendered = node_dump(item)
    return item.rendered


def node_dump(item: NodeDump) -> bytes:
    """internal/ui/node."""
    return dumps(node_dump_dict(item))


def node_dump_dict(item: NodeDump) -> dict[str, Any]:
    return {
        "ID": item.node.id,
        "Node": item.node.node,
        "Address": item.node.address,
        "TaggedAddresses": sorted_map(item.node.tagged_addresses),
        "Meta": sorted_map(item.node.meta),
        "Services": [service_dict(row, null_tags=True) for row in item.services],
        "Checks": [check_dict(row, null_tags=True) for row in item.checks],
    }


def service_summaries(items: Sequence[ServiceSummary]) -> bytes:
    """internal/ui/services."""
    return dumps([service_summary_dict(item) for item in items])


def service_summary_dict(item: ServiceSummary) -> dict[str, Any]:
    shown: dict[str, Any] = {"Kind": item.kind} if item.kind else {}
    shown["Name"] = item.name
    shown["Tags"] = item.tags or None
    shown["Nodes"] = item.nodes
    shown["ChecksPassing"] = item.checks_passing
    shown["ChecksWarning"] = item.checks_warning
    shown["ChecksCritical"] = item.checks_critical
    shown["ExternalSources"] = item.external_sources or None
    return shown


# ---------------------------------------------------------------------------------------------------- keys, sessions


def key_name(key: bytes) -> bytes:
    """A KV key as a JSON string; bytes that are not UTF-8 show as U+FFFD."""
    return escape(_encode(key.decode("utf-8", "lictor-go")))


def kv_entry(key: bytes, entry: KVEntry) -> bytes:
    value = b"null" if entry.value is None else b'"%b"' % base64.b64encode(entry.value)
    session_field = b'"Session":"%b",' % entry.session.encode() if entry.session else b""
    return b'{"LockIndex":%d,"Key":%b,"Flags":%d,"Value":%b,%b"CreateIndex":%d,"ModifyIndex":%d}' % (
        entry.lock_index,
        key_name(key),
        entry.flags,
        value,
        session_field,
        entry.create_index,
        entry.modify_index,
    )


def kv_entries(pairs: Sequence[tuple[bytes, KVEntry]]) -> bytes:
    return b"[" + b",".join([kv_entry(key, entry) for key, entry in pairs]) + b"]"


def keys(names: Sequence[bytes]) -> bytes:
    return array(key_name(name) for name in names)


def session_dict(row: Session) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ID": row.id,
        "Name": row.name,
        "Node": row.node,
        "LockDelay": row.lock_delay_ns,
        "Behavior": row.behavior,
        "TTL": row.ttl,
        "NodeChecks": row.node_checks,
        "ServiceChecks": row.service_checks,
    }
    if row.checks:
        shown["Checks"] = row.checks
    shown["CreateIndex"] = row.create_index
    shown["ModifyIndex"] = row.modify_index
    return shown


def sessions(rows: Sequence[Session]) -> bytes:
    return dumps([session_dict(row) for row in rows])


# ---------------------------------------------------------------------------------------------------- the rest


def txn_result(result: TxnResult, read_only: bool = False, known_leader: bool = True) -> bytes:
    """The body of /v1/txn; a read-only one also carries what is known about the answer."""
    errors = [{"OpIndex": error.op_index, "What": error.what} for error in result.errors] or None
    items = b"null" if errors else array(_txn_item(item) for item in result.results)
    tail = (
        b',"Index":0,"LastContact":0,"KnownLeader":%b,"ConsistencyLevel":""' % _encode(known_leader)
        if read_only
        else b""
    )
    return b'{"Results":%b,"Errors":%b%b}' % (items, dumps(errors), tail)


def _txn_item(item: TxnItem) -> bytes:
    if isinstance(item, TxnEntry):
        entry = KVEntry(item.lock_index, item.flags, item.value, item.session, item.create_index, item.modify_index)
        return b'{"KV":%b}' % kv_entry(item.key, entry)
    if isinstance(item, TxnNodeResult):
        return b'{"Node":%b}' % node(item.node)
    if isinstance(item, TxnServiceResult):
        return b'{"Service":%b}' % dumps(service_dict(item.service, null_tags=True))
    return b'{"Check":%b}' % dumps(check_dict(item.check, null_tags=True))


def _number(value: float) -> float | int:
    """Go prints whole floats without a point."""
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def coordinate_dict(row: Coordinate) -> dict[str, Any]:
    return {
        "Node": row.node,
        "Segment": row.segment,
        "Coord": {
            "Vec": [_number(part) for part in row.vec],
            "Error": _number(row.error),
            "Adjustment": _number(row.adjustment),
            "Height": _number(row.height),
        },
    }


def coordinates(rows: Sequence[Coordinate]) -> bytes:
    return dumps([coordinate_dict(row) for row in rows])


def query_dict(row: PreparedQuery) -> dict[str, Any]:
    return {
        "ID": row.id,
        "Name": row.name,
        "Session": row.session,
        "Token": row.token,
        "Template": row.template,
        "Service": row.service,
        "DNS": {"TTL": row.dns_ttl},
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }


def queries(rows: Sequence[PreparedQuery]) -> bytes:
    return dumps([query_dict(row) for row in rows])


def config_entry_dict(row: ConfigEntry) -> dict[str, Any]:
    """ConnectTimeout comes before Kind, as Consul's encoder has it."""
    body = dict(row.body)
    shown: dict[str, Any] = {}
    if "ConnectTimeout" in body:
        shown["ConnectTimeout"] = body.pop("ConnectTimeout")
    shown["Kind"] = row.kind
    shown["Name"] = row.name
    shown.update(body)
    shown["CreateIndex"] = row.create_index
    shown["ModifyIndex"] = row.modify_index
    return shown


def config_entry(row: ConfigEntry) -> bytes:
    return dumps(config_entry_dict(row))


def config_entries(rows: Sequence[ConfigEntry]) -> bytes:
    return dumps([config_entry_dict(row) for row in rows])


def time_text(nanoseconds: int) -> str:
    """RFC 3339 in UTC, trailing zeros of the fraction cut, as Go writes times."""
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    digits = f"{fraction:09d}".rstrip("0")
    return f"{text}.{digits}Z" if digits else f"{text}Z"


def intention_dict(row: Intention) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "ID": row.id,
        "Description": row.description,
        "SourceNS": row.source_ns,
        "SourceName": row.source_name,
        "DestinationNS": row.destination_ns,
        "DestinationName": row.destination_name,
        "SourceType": row.source_type,
        "Action": row.action,
        "DefaultAddr": row.default_addr,
        "DefaultPort": row.default_port,
        "Meta": sorted_map(row.meta),
        "Precedence": row.precedence,
        "CreatedAt": time_text(row.created_at_ns),
        "UpdatedAt": time_text(row.updated_at_ns),
        "Hash": None if row.hash is None else base64.b64encode(row.hash).decode(),
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }
    return shown


def intentions(rows: Sequence[Intention]) -> bytes:
    return dumps([intention_dict(row) for row in rows])


def ca_root_dict(row: CARoot) -> dict[str, Any]:
    """A root without its keys."""
    shown: dict[str, Any] = {
        "ID": row.id,
        "Name": row.name,
        "SerialNumber": row.serial_number,
        "SigningKeyID": row.signing_key_id,
        "ExternalTrustDomain": row.external_trust_domain,
        "NotBefore": time_text(row.not_before_ns),
        "NotAfter": time_text(row.not_after_ns),
        "RootCert": row.root_cert,
        "IntermediateCerts": row.intermediate_certs,
        "Active": row.active,
        "PrivateKeyType": row.private_key_type,
        "PrivateKeyBits": row.private_key_bits,
        "CreateIndex": row.create_index,
        "ModifyIndex": row.modify_index,
    }
    return shown


def ca_roots(roots: Sequence[CARoot], cluster_id: str) -> bytes:
    """connect/ca/roots."""
    active = next((root.id for root in roots if root.active), "")
    trust_domain = f"{cluster_id}.consul" if cluster_id else ""
    return dumps({"ActiveRootID": active, "TrustDomain": trust_domain, "Roots": [ca_root_dict(root) for root in roots]})


def ca_config(row: CAConfig) -> bytes:
    """connect/ca/configuration."""
    return dumps(
        {
            "Provider": row.provider,
            "Config": row.config,
            "State": row.state,
            "ForceWithoutCrossSigning": row.force_without_cross_signing,
            "CreateIndex": row.create_index,
            "ModifyIndex": row.modify_index,
        }
    )


def autopilot(row: AutopilotConfig) -> bytes:
    """operator/autopilot/configuration."""
    return dumps(
        {
            "CleanupDeadServers": row.cleanup_dead_servers,
            "LastContactThreshold": format_duration(row.last_contact_threshold_ns),
            "MaxTrailingLogs": row.max_trailing_logs,
            "MinQuorum": row.min_quorum,
            "ServerStabilizationTime": format_duration(row.server_stabilization_time_ns),
            "RedundancyZoneTag": row.redundancy_zone_tag,
            "DisableUpgradeMigration": row.disable_upgrade_migration,
            "UpgradeVersionTag": row.upgrade_version_tag,
            "CreateIndex": row.create_index,
            "ModifyIndex": row.modify_index,
        }
    )
