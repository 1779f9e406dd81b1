"""Writing everything the keyspace holds as an archive that Consul 1.7 reads, in the order in which it writes."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import IO, Any

from lictor.state import keys
from lictor.state.config_entries import PROXY_DEFAULTS, RESOLVER, ROUTER, SERVICE_DEFAULTS
from lictor.state.consul_archive.archive import ArchiveMeta, write_outside
from lictor.state.consul_archive.codec import Fields, pack, time_bytes, zeroed
from lictor.state.consul_archive.kinds import Kind
from lictor.state.gotext import parse_duration_ns
from lictor.state.rows import (
    ACLPolicy,
    ACLRole,
    ACLToken,
    CARoot,
    Check,
    ConfigEntry,
    Intention,
    Link,
    Node,
    Service,
    ServiceIdentity,
    decode_auth_method,
    decode_autopilot,
    decode_binding_rule,
    decode_ca_config,
    decode_ca_provider_state,
    decode_ca_roots,
    decode_check,
    decode_config_entry,
    decode_coordinate,
    decode_intention,
    decode_kv,
    decode_node,
    decode_policy,
    decode_query,
    decode_role,
    decode_service,
    decode_session,
    decode_token,
)
from lictor.state.store import ReadTxn

Record = tuple[Kind, Any]


def write_archive(txn: ReadTxn, file: IO[bytes], meta: ArchiveMeta, modified_s: int) -> None:
    """Writes the archive of a consistent view; `modified_s` (seconds since 1970) is the time shown inside."""
    with TemporaryFile() as state:
        state.write(pack({"LastIndex": meta.index}))
        for kind, value in records(txn):
            state.write(bytes((kind,)) + pack(value))
        write_outside(file, meta, state, modified_s)


def records(txn: ReadTxn) -> Iterator[Record]:
    """Every record in Consul's order."""
    yield from _catalog(txn)
    yield from _coordinates(txn)
    yield from _sessions(txn)
    yield from _access_control(txn)
    yield from _keys(txn)
    yield from _prepared_queries(txn)
    yield from _operator_and_connect(txn)
    for _, raw in txn.scan(b"E"):
        entry = decode_config_entry(raw)
        yield Kind.CONFIG_ENTRY, _config_entry(entry)
    for key, raw in txn.scan(b"I"):
        yield Kind.INDEX, {"Key": key[1:].decode(), "Value": int.from_bytes(raw, "big")}


# ---------------------------------------------------------------------------------------------------- catalog


def _catalog(txn: ReadTxn) -> Iterator[Record]:
    for _, raw in txn.scan(b"N"):
        node = decode_node(raw)
        yield Kind.REGISTER, _registration(node)
        for _, service_raw in txn.scan(keys.services_of_node(node.node)):
            yield Kind.REGISTER, _registration(node) | {"Service": _service(decode_service(service_raw))}
        for _, check_raw in txn.scan(keys.checks_of_node(node.node)):
            yield Kind.REGISTER, _registration(node) | {"Check": _check(decode_check(check_raw))}


def _registration(row: Node) -> Fields:
    return {
        "Address": row.address,
        "Check": None,
        "Checks": None,
        "Datacenter": row.datacenter,
        "ID": row.id,
        "Node": row.node,
        "NodeMeta": row.meta,
        "Service": None,
        "SkipNodeUpdate": False,
        "TaggedAddresses": row.tagged_addresses,
        "Token": "",
    }


_PROXY: Fields = {
    "Config": None,
    "DestinationServiceID": "",
    "DestinationServiceName": "",
    "Expose": {"Checks": False, "Paths": None},
    "LocalServiceAddress": "",
    "LocalServicePort": 0,
    "MeshGateway": {"Mode": ""},
    "Upstreams": None,
}


def _service(row: Service) -> Fields:
    passing, warning = row.weights or (1, 1)
    return {
        "Address": row.address,
        "Connect": {"Native": bool(row.connect.get("Native")), "SidecarService": None},
        "CreateIndex": row.create_index,
        "EnableTagOverride": row.enable_tag_override,
        "ID": row.id,
        "Kind": row.kind,
        "LocallyRegisteredAsSidecar": False,
        "Meta": row.meta,
        "ModifyIndex": row.modify_index,
        "Port": row.port,
        "Proxy": zeroed(_PROXY, row.proxy),
        "Service": row.service,
        "TaggedAddresses": row.tagged_addresses,
        "Tags": row.tags,
        "Weights": {"Passing": passing, "Warning": warning},
    }


_DURATIONS = ("Interval", "Timeout", "TTL", "DeregisterCriticalServiceAfter")
_DEFINITION: Fields = {
    "AliasNode": "",
    "AliasService": "",
    "Body": "",
    "DeregisterCriticalServiceAfter": 0,
    "DockerContainerID": "",
    "GRPC": "",
    "GRPCUseTLS": False,
    "HTTP": "",
    "Header": None,
    "Interval": 0,
    "Method": "",
    "OutputMaxSize": 0,
    "ScriptArgs": None,
    "Shell": "",
    "TCP": "",
    "TLSSkipVerify": False,
    "TTL": 0,
    "Timeout": 0,
}


def _check(row: Check) -> Fields:
    definition = dict(row.definition)
    for name in _DURATIONS:
        if isinstance(definition.get(name), str):
            definition[name] = parse_duration_ns(definition[name])
    return {
        "CheckID": row.check_id,
        "CreateIndex": row.create_index,
        "Definition": zeroed(_DEFINITION, definition),
        "ModifyIndex": row.modify_index,
        "Name": row.name,
        "Node": row.node,
        "Notes": row.notes,
        "Output": row.output,
        "ServiceID": row.service_id,
        "ServiceName": row.service_name,
        "ServiceTags": row.service_tags,
        "Status": row.status,
        "Type": row.type,
    }


def _coordinates(txn: ReadTxn) -> Iterator[Record]:
    rows = [decode_coordinate(raw) for _, raw in txn.scan(b"O")]
    if rows:
        yield (
            Kind.COORDINATES,
            [
                {
                    "Coord": {
                        "Adjustment": row.adjustment,
                        "Error": row.error,
                        "Height": row.height,
                        "Vec": row.vec,
                    },
                    "Node": row.node,
                    "Segment": row.segment,
                }
                for row in rows
            ],
        )


# ---------------------------------------------------------------------------------------------------- keys, sessions


def _sessions(txn: ReadTxn) -> Iterator[Record]:
    for _, raw in txn.scan(keys.session("")):
        row = decode_session(raw)
        yield (
            Kind.SESSION,
            {
                "Behavior": row.behavior,
                "Checks": row.checks,
                "CreateIndex": row.create_index,
                "ID": row.id,
                "LockDelay": row.lock_delay_ns,
                "ModifyIndex": row.modify_index,
                "Name": row.name,
                "Node": row.node,
                "NodeChecks": row.node_checks,
                "ServiceChecks": row.service_checks,
                "TTL": row.ttl,
            },
        )


def _keys(txn: ReadTxn) -> Iterator[Record]:
    for key, raw in txn.scan(keys.kv(b"")):
        row = decode_kv(raw)
        yield (
            Kind.KV,
            {
                "CreateIndex": row.create_index,
                "Flags": row.flags,
                "Key": key[1:],
                "LockIndex": row.lock_index,
                "ModifyIndex": row.modify_index,
                "Session": row.session,
                "Value": row.value,
            },
        )
    for key, raw in txn.scan(keys.tombstone(b"")):
        yield (
            Kind.TOMBSTONE,
            {
                "CreateIndex": 0,
                "Flags": 0,
                "Key": key[1:],
                "LockIndex": 0,
                "ModifyIndex": int.from_bytes(raw, "big"),
                "Session": "",
                "Value": None,
            },
        )


def _prepared_queries(txn: ReadTxn) -> Iterator[Record]:
    for _, raw in txn.scan(keys.query("")):
        row = decode_query(raw)
        yield (
            Kind.PREPARED_QUERY,
            {
                "CreateIndex": row.create_index,
                "DNS": {"TTL": row.dns_ttl},
                "ID": row.id,
                "ModifyIndex": row.modify_index,
                "Name": row.name,
                "Service": row.service,
                "Session": row.session,
                "Template": row.template,
                "Token": row.token,
            },
        )


# ---------------------------------------------------------------------------------------------------- access control


def _links(links: list[Link]) -> list[Fields] | None:
    return [{"ID": link.id, "Name": link.name} for link in links] or None


def _identities(identities: list[ServiceIdentity]) -> list[Fields] | None:
    return [{"Datacenters": item.datacenters, "ServiceName": item.service_name} for item in identities] or None


def _token(row: ACLToken) -> Fields:
    expiration = row.expiration_time_ns
    return {
        "AccessorID": row.accessor_id,
        "AuthMethod": row.auth_method,
        "CreateIndex": row.create_index,
        "CreateTime": time_bytes(row.create_time_ns or None),
        "Description": row.description,
        "ExpirationTTL": 0,
        "ExpirationTime": None if expiration is None else time_bytes(expiration),
        "Hash": row.hash or None,
        "Local": row.local,
        "ModifyIndex": row.modify_index,
        "Policies": _links(row.policies),
        "Roles": _links(row.roles),
        "Rules": row.rules,
        "SecretID": row.secret_id,
        "ServiceIdentities": _identities(row.service_identities),
        "Type": row.type,
    }


def _policy(row: ACLPolicy) -> Fields:
    return {
        "CreateIndex": row.create_index,
        "Datacenters": row.datacenters,
        "Description": row.description,
        "Hash": row.hash or None,
        "ID": row.id,
        "ModifyIndex": row.modify_index,
        "Name": row.name,
        "Rules": row.rules,
        "Syntax": row.syntax,
    }


def _role(row: ACLRole) -> Fields:
    return {
        "CreateIndex": row.create_index,
        "Description": row.description,
        "Hash": row.hash or None,
        "ID": row.id,
        "ModifyIndex": row.modify_index,
        "Name": row.name,
        "Policies": _links(row.policies),
        "ServiceIdentities": _identities(row.service_identities),
    }


def _access_control(txn: ReadTxn) -> Iterator[Record]:
    for _, raw in txn.scan(keys.token("")):
        yield Kind.TOKEN, _token(decode_token(raw))
    for _, raw in txn.scan(keys.policy("")):
        yield Kind.POLICY, _policy(decode_policy(raw))
    for _, raw in txn.scan(keys.role("")):
        yield Kind.ROLE, _role(decode_role(raw))
    for _, raw in txn.scan(keys.binding_rule("")):
        rule = decode_binding_rule(raw)
        yield (
            Kind.BINDING_RULE,
            {
                "AuthMethod": rule.auth_method,
                "BindName": rule.bind_name,
                "BindType": rule.bind_type,
                "CreateIndex": rule.create_index,
                "Description": rule.description,
                "ID": rule.id,
                "ModifyIndex": rule.modify_index,
                "Selector": rule.selector,
            },
        )
    for _, raw in txn.scan(keys.auth_method("")):
        method = decode_auth_method(raw)
        yield (
            Kind.AUTH_METHOD,
            {
                "Config": method.config,
                "CreateIndex": method.create_index,
                "Description": method.description,
                "ModifyIndex": method.modify_index,
                "Name": method.name,
                "Type": method.type,
            },
        )


# ---------------------------------------------------------------------------------------------------- operator, connect


def _operator_and_connect(txn: ReadTxn) -> Iterator[Record]:
    raw = txn.get(keys.AUTOPILOT)
    if raw is not None:
        row = decode_autopilot(raw)
        yield (
            Kind.AUTOPILOT,
            {
                "CleanupDeadServers": row.cleanup_dead_servers,
                "CreateIndex": row.create_index,
                "DisableUpgradeMigration": row.disable_upgrade_migration,
                "LastContactThreshold": row.last_contact_threshold_ns,
                "MaxTrailingLogs": row.max_trailing_logs,
                "MinQuorum": row.min_quorum,
                "ModifyIndex": row.modify_index,
                "RedundancyZoneTag": row.redundancy_zone_tag,
                "ServerStabilizationTime": row.server_stabilization_time_ns,
                "UpgradeVersionTag": row.upgrade_version_tag,
            },
        )
    for _, raw in txn.scan(keys.intention("")):
        yield Kind.INTENTION, _intention(decode_intention(raw))
    raw = txn.get(keys.CA_ROOTS)
    for root in decode_ca_roots(raw) if raw is not None else ():
        yield Kind.CA_ROOT, _ca_root(root)
    for _, raw in txn.scan(keys.ca_provider_state("")):
        state = decode_ca_provider_state(raw)
        yield (
            Kind.CA_PROVIDER_STATE,
            {
                "CreateIndex": state.create_index,
                "ID": state.id,
                "IntermediateCert": state.intermediate_cert,
                "ModifyIndex": state.modify_index,
                "PrivateKey": state.private_key,
                "RootCert": state.root_cert,
            },
        )
    raw = txn.get(keys.CA_CONFIG)
    if raw is not None:
        config = decode_ca_config(raw)
        yield (
            Kind.CA_CONFIG,
            {
                "ClusterID": config.cluster_id,
                "Config": config.config,
                "CreateIndex": config.create_index,
                "ForceWithoutCrossSigning": config.force_without_cross_signing,
                "ModifyIndex": config.modify_index,
                "Provider": config.provider,
                "State": config.state,
            },
        )


def _intention(row: Intention) -> Fields:
    return {
        "Action": row.action,
        "CreateIndex": row.create_index,
        "CreatedAt": time_bytes(row.created_at_ns),
        "DefaultAddr": row.default_addr,
        "DefaultPort": row.default_port,
        "Description": row.description,
        "DestinationNS": row.destination_ns,
        "DestinationName": row.destination_name,
        "Hash": row.hash,
        "ID": row.id,
        "Meta": row.meta,
        "ModifyIndex": row.modify_index,
        "Precedence": row.precedence,
        "SourceNS": row.source_ns,
        "SourceName": row.source_name,
        "SourceType": row.source_type,
        "UpdatedAt": time_bytes(row.updated_at_ns),
    }


def _ca_root(row: CARoot) -> Fields:
    return {
        "Active": row.active,
        "CreateIndex": row.create_index,
        "ExternalTrustDomain": row.external_trust_domain,
        "ID": row.id,
        "IntermediateCerts": row.intermediate_certs,
        "ModifyIndex": row.modify_index,
        "Name": row.name,
        "NotAfter": time_bytes(row.not_after_ns),
        "NotBefore": time_bytes(row.not_before_ns),
        "PrivateKeyBits": row.private_key_bits,
        "PrivateKeyType": row.private_key_type,
        "RootCert": row.root_cert,
        "RotatedOutAt": time_bytes(row.rotated_out_at_ns),
        "SerialNumber": row.serial_number,
        "SigningCert": row.signing_cert,
        "SigningKey": row.signing_key,
        "SigningKeyID": row.signing_key_id,
    }


def _config_entry(entry: ConfigEntry) -> bytes:
    """A request in bytes: the kind, then a map; proxy-defaults have their Entry in bytes once more."""
    body = dict(entry.body)
    if entry.kind == RESOLVER and "ConnectTimeout" in body:
        body["ConnectTimeout"] = parse_duration_ns(body["ConnectTimeout"])
    if entry.kind == ROUTER:
        body["Routes"] = [_route(route) for route in body["Routes"] or ()]
    if entry.kind == SERVICE_DEFAULTS:
        body.setdefault("ExternalSNI", "")
    body |= {
        "CreateIndex": entry.create_index,
        "Kind": entry.kind,
        "ModifyIndex": entry.modify_index,
        "Name": entry.name,
    }
    shown = pack(body) if entry.kind == PROXY_DEFAULTS else body
    request = {"Datacenter": "", "Entry": shown, "Op": "", "Token": ""}
    return pack(entry.kind) + pack(request)


def _route(route: Fields) -> Fields:
    """Durations are numbers in records."""
    destination = route.get("Destination") or {}
    if "RequestTimeout" not in destination:
        return route
    timeout_ns = parse_duration_ns(destination["RequestTimeout"])
    return route | {"Destination": destination | {"RequestTimeout": timeout_ns}}
