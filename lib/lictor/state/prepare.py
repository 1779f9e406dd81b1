"""From a request to a command: defaults filled in, what can be judged without the state refused.

Pure; the proposer gives times and random IDs. Refusals are `writer.Refused` with Consul's texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from lictor.state import interpolation
from lictor.state.commands import Deregister, Register, Txn, TxnCheck, TxnError, TxnKV, TxnNode, TxnOp, TxnService
from lictor.state.gotext import DurationError, parse_duration_ns, quote
from lictor.state.machine.session import check_ids
from lictor.state.metadata import KEY_LENGTH_MAX, PAIRS_MAX, VALUE_LENGTH_MAX, check_metadata
from lictor.state.precheck import SESSION_TTL_MIN_NS, session_ttl_problem
from lictor.state.rows import Check, Intention, Node, PreparedQuery, Service, Session
from lictor.state.several_errors import several_errors as several_errors
from lictor.state.uuids import is_uuid, not_hexadecimal
from lictor.state.writer import Refused

CONNECT_PROXY = "connect-proxy"
MESH_GATEWAY = "mesh-gateway"
TXN_OPS_MAX = 64
REDACTED_TOKEN = "<hidden>"


def uuid_problem(text: str) -> str:
    """As Consul's UUID parser puts it; empty when nothing is wrong."""
    if len(text.encode()) != 36:
        return "uuid string is wrong length"
    if is_uuid(text):
        return ""
    if any(text[position : position + 1] != "-" for position in (8, 13, 18, 23)):
        return "uuid is improperly formatted"
    return not_hexadecimal("".join(text.split("-", 4)))


# ---------------------------------------------------------------------------------------------------- catalog


def register(command: Register) -> Register:
    """A catalog registration, checked and completed."""
    node = command.node
    if not node.node:
        raise Refused("Must provide node")
    if node.id and (problem := uuid_problem(node.id)):
        raise Refused(f"Bad node ID: {problem}")
    if not node.address and not command.skip_node_update:
        raise Refused("Must provide address if SkipNodeUpdate is not set")
    found = None if command.service is None else service(command.service)
    checks = [check(row, node.node) for row in command.checks]
    return Register(node, found, checks, command.skip_node_update)


def deregister(command: Deregister) -> Deregister:
    if not command.node:
        raise Refused("Must provide node")
    return command


def service(row: Service) -> Service:
    """A service instance with its ID, refused when it cannot be right."""
    problems = service_problems(row)
    if problems:
        raise Refused(several_errors(problems))
    if row.id and not row.service:
        raise Refused("Must provide service name with ID")
    if row.address in _ANY_ADDRESSES:
        raise Refused("Invalid service address")
    return row if row.id else replace(row, id=row.service)


def check(row: Check, node: str) -> Check:
    """A check with its node and ID."""
    return replace(row, node=row.node or node, check_id=row.check_id or row.name)


_ANY_ADDRESSES = ("0.0.0.0", "::", "[::]")


def service_problems(row: Service) -> list[str]:
    """What is wrong with the kind-specific parts of a service."""
    if row.kind == CONNECT_PROXY:
        return _connect_proxy_problems(row)
    if row.kind == MESH_GATEWAY:
        return _mesh_gateway_problems(row)
    return []


def _connect_proxy_problems(row: Service) -> list[str]:
    problems = []
    if not str(row.proxy.get("DestinationServiceName", "")).strip():
        problems.append("Proxy.DestinationServiceName must be non-empty for Connect proxy services")
    if row.port == 0:
        problems.append("Port must be set for a Connect proxy")
    if row.connect.get("Native"):
        problems.append("A Proxy cannot also be Connect Native, only typical services")
    seen: set[tuple[str, ...]] = set()
    addresses: set[str] = set()
    for upstream in row.proxy.get("Upstreams", ()):
        problem = _upstream_problem(upstream)
        if problem:
            problems.append(problem)
            continue
        key = tuple(
            str(upstream.get(field, ""))
            for field in ("DestinationType", "DestinationName", "DestinationNamespace", "Datacenter")
        )
        if key in seen:
            shown = ", ".join(
                f"{name}={quote(part)}"
                for name, part in zip(("type", "name", "namespace", "datacenter"), key, strict=True)
            )
            problems.append(f"upstreams cannot contain duplicates of [{shown}]")
            continue
        seen.add(key)
        host = upstream.get("LocalBindAddress") or "127.0.0.1"
        address = f"[{host}]:{upstream['LocalBindPort']}" if ":" in host else f"{host}:{upstream['LocalBindPort']}"
        if address in addresses:
            problems.append(
                "upstreams cannot contain duplicates by local bind address and port; "
                f"{quote(address)} is specified twice"
            )
            continue
        addresses.add(address)
    return problems + _expose_problems(row.proxy.get("Expose", {}).get("Paths", ()))


_PORT_MAX = 65535
_EXPOSE_PROTOCOLS = ("http", "http2")


def _expose_problems(paths: Sequence[dict[str, Any]]) -> list[str]:
    problems = []
    known: set[str] = set()
    listeners: set[int] = set()
    for entry in paths:
        path, port, protocol = entry.get("Path", ""), entry.get("ListenerPort", 0), entry.get("Protocol", "").lower()
        if not path:
            problems.append("expose.paths: empty path exposed")
        if path in known:
            problems.append("expose.paths: duplicate paths exposed")
        known.add(path)
        if port in listeners:
            problems.append("expose.paths: duplicate listener ports exposed")
        listeners.add(port)
        if not 0 < port <= _PORT_MAX:
            problems.append(f"expose.paths: invalid listener port: {port}")
        if protocol and protocol not in _EXPOSE_PROTOCOLS:
            problems.append(
                f"protocol '{protocol}' not supported for path: {path}, must be in: [{' '.join(_EXPOSE_PROTOCOLS)}]"
            )
    return problems


def _upstream_problem(upstream: dict[str, object]) -> str:
    kind = str(upstream["DestinationType"])
    if kind not in ("", "service", "prepared_query"):
        return f"unknown upstream destination type: {quote(kind)}"
    if not upstream["DestinationName"]:
        return "upstream destination name cannot be empty"
    if not upstream["LocalBindPort"]:
        return "upstream local bind port cannot be zero"
    return ""


_NOT_FOR_GATEWAYS = ("DestinationServiceName", "DestinationServiceID", "LocalServiceAddress", "LocalServicePort")


def _mesh_gateway_problems(row: Service) -> list[str]:
    problems = []
    if row.port == 0:
        problems.append("Port must be non-zero for a Mesh Gateway")
    problems += [
        f"The Proxy.{field} configuration is invalid for Mesh Gateways"
        for field in _NOT_FOR_GATEWAYS
        if row.proxy.get(field)
    ]
    if row.proxy.get("Upstreams"):
        problems.append("The Proxy.Upstreams configuration is invalid for Mesh Gateways")
    return problems


# ---------------------------------------------------------------------------------------------------- sessions


def session(row: Session, ttl_min_ns: int = SESSION_TTL_MIN_NS) -> Session:
    """A new session, its ID already chosen."""
    if not row.node:
        raise Refused("Must provide Node")
    if row.behavior not in ("", "release", "delete"):
        raise Refused(f"Invalid Behavior setting '{row.behavior}'")
    problem = session_ttl_problem(row.ttl, ttl_min_ns)
    if problem:
        raise Refused(problem)
    assert row.id, "a session without an ID"
    assert all(isinstance(name, str) for name in check_ids(row)), "check IDs are texts"
    return replace(row, behavior=row.behavior or "release")


# ---------------------------------------------------------------------------------------------------- transactions


def txn(ops: Sequence[TxnOp], datacenter: str) -> tuple[Txn, list[TxnError]]:
    """The operations completed, and those that can be refused at once."""
    prepared: list[TxnOp] = []
    errors: list[TxnError] = []
    for position, op in enumerate(ops):
        try:
            prepared.append(_txn_op(op, datacenter))
        except Refused as refusal:
            errors.append(TxnError(position, refusal.text))
    return Txn(prepared), errors


def _txn_op(op: TxnOp, datacenter: str) -> TxnOp:
    if isinstance(op, TxnKV):
        if not op.key and op.verb != "delete-tree":
            raise Refused("Must provide key")
        return op
    if isinstance(op, TxnNode):
        return TxnNode(op.verb, _txn_node(op, datacenter))
    if isinstance(op, TxnService):
        if op.verb == "get":
            return op
        return TxnService(op.verb, op.node, service(op.service))
    row = check(op.check, op.check.node)
    return TxnCheck(op.verb, row)


def _txn_node(op: TxnNode, datacenter: str) -> Node:
    row = op.node
    if op.verb == "get":
        return row
    if not row.node:
        raise Refused("Must provide node")
    if row.id and (problem := uuid_problem(row.id)):
        raise Refused(f"Bad node ID: {problem}")
    return replace(row, datacenter=row.datacenter or datacenter)


# ---------------------------------------------------------------------------------------------------- prepared queries


def prepared_query(row: PreparedQuery, needs_owner: bool = True) -> PreparedQuery:
    """A prepared query whose ID is already chosen (or, for an update, known to exist).

    `needs_owner`: without a name it must belong to a session (`acl_enforce_version_8`).
    """
    problem = _query_problem(row, needs_owner)
    if problem:
        raise Refused(f"Invalid prepared query: {problem}")
    if row.template["Type"]:
        problem = interpolation.template_problem(row)
        if problem:
            raise Refused(f"failed compiling template: {problem}")
    return row


def _query_problem(row: PreparedQuery, needs_owner: bool) -> str:
    if needs_owner and not row.name and not row.template["Type"] and not row.session:
        return "Must be bound to a session"
    if row.token == REDACTED_TOKEN:
        return f"Bad Token '{row.token}', it looks like a query definition with a redacted token was submitted"
    if not row.service["Service"]:
        return "Must provide a Service name to query"
    nearest = row.service["Failover"]["NearestN"]
    if nearest < 0:
        return f"Bad NearestN '{nearest}', must be >= 0"
    problem = check_metadata(row.service["NodeMeta"], allow_reserved=True)
    if problem:
        return problem
    if row.dns_ttl:
        try:
            ttl_ns = parse_duration_ns(row.dns_ttl)
        except DurationError as error:
            return f"Bad DNS TTL '{row.dns_ttl}': {error}"
        if ttl_ns < 0:
            return f"DNS TTL '{ttl_ns}', must be >=0"
    return ""


# ---------------------------------------------------------------------------------------------------- intentions

DEFAULT_NAMESPACE = "default"
SOURCE_TYPE = "consul"
WILDCARD = "*"


def intention(row: Intention) -> Intention:
    """An intention with its defaults and hash; ID and times are already chosen."""
    completed = replace(
        row,
        source_ns=row.source_ns or DEFAULT_NAMESPACE,
        destination_ns=row.destination_ns or DEFAULT_NAMESPACE,
        source_type=row.source_type or SOURCE_TYPE,
        meta=row.meta if row.meta is not None else {},
    )
    problems = [
        *(
            f"{side}Name must be set"
            for side, name in (("Source", completed.source_name), ("Destination", completed.destination_name))
            if not name
        ),
        *_wildcard_problems("Source", completed.source_ns, completed.source_name),
        *_wildcard_problems("Destination", completed.destination_ns, completed.destination_name),
        *_intention_size_problems(completed),
    ]
    if completed.action not in ("allow", "deny"):
        problems.append("Action must be set to 'allow' or 'deny'")
    if completed.source_type != SOURCE_TYPE:
        problems.append("SourceType must be set to 'consul'")
    if problems:
        raise Refused(several_errors(problems))
    return replace(completed, hash=_intention_hash(completed))


def _wildcard_problems(side: str, namespace: str, name: str) -> list[str]:
    partial = "wildcard character '*' cannot be used with partial values"
    problems = []
    if namespace != WILDCARD and WILDCARD in namespace:
        problems.append(f"{side}NS: {partial}")
    if name != WILDCARD:
        if WILDCARD in name:
            problems.append(f"{side}Name: {partial}")
        if namespace == WILDCARD:
            problems.append(f"{side}Name: exact value cannot follow wildcard namespace")
    return problems


def _intention_size_problems(row: Intention) -> list[str]:
    problems = []
    meta = row.meta or {}
    if len(row.description.encode()) > VALUE_LENGTH_MAX:
        problems.append(f"Description exceeds maximum length {VALUE_LENGTH_MAX}")
    if len(meta) > PAIRS_MAX:
        problems.append(f"Meta exceeds maximum element count {PAIRS_MAX}")
    for key in sorted(meta):
        if len(key.encode()) > KEY_LENGTH_MAX:
            problems.append(f"Meta key {quote(key)} exceeds maximum length {KEY_LENGTH_MAX}")
        if len(meta[key].encode()) > VALUE_LENGTH_MAX:
            problems.append(f"Meta value for key {quote(key)} exceeds maximum length {VALUE_LENGTH_MAX}")
    return problems


def _intention_hash(row: Intention) -> bytes:
    """Tells replicas whether the intention changed."""
    digest = hashlib.blake2b(digest_size=32)
    meta = row.meta or {}
    for part in (
        row.id,
        row.description,
        row.source_ns,
        row.source_name,
        row.destination_ns,
        row.destination_name,
        row.source_type,
        row.action,
        *(text for key in sorted(meta) for text in (key, meta[key])),
    ):
        digest.update(part.encode())
    return digest.digest()
