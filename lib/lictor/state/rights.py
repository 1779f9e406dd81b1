"""What a change needs to be allowed to do: rights that depend on the change and on what it would overwrite.

Consul 1.7: acl.go, vetRegisterWithACL, vetDeregisterWithACL, the transactions' pre-checks. Only asked while access
control is on: some of the refusals are about names that do not exist, whatever the token may do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lictor.acl import Authorizer
from lictor.state import keys
from lictor.state.commands import Deregister, Register, TxnError, TxnKV, TxnNode, TxnOp, TxnService
from lictor.state.config_entries import PROXY_DEFAULTS
from lictor.state.machine.txn import writes
from lictor.state.queries import catalog
from lictor.state.rows import Check, ConfigEntry, Node, Service, decode_check
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

PERMISSION_DENIED = "Permission denied"
CONNECT_PROXY = "connect-proxy"
CONSUL_SERVICE = "consul"
_READ_VERBS = ("get", "get-tree")
_TESTING_VERBS = ("check-session", "check-index")


def _require(allowed: bool) -> None:
    if not allowed:
        raise Refused(PERMISSION_DENIED, "denied")


# ---------------------------------------------------------------------------------------------------- catalog


def require_register(txn: ReadTxn, authorizer: Authorizer, command: Register) -> None:
    """Refuses a prepared registration that the token may not make. Errors: Refused."""
    wanted = command.service
    if wanted is not None:
        if wanted.service != CONSUL_SERVICE:
            _require(authorizer.service_write(wanted.service))
        if wanted.kind == CONNECT_PROXY:
            _require(authorizer.service_write(str(wanted.proxy.get("DestinationServiceName", ""))))
    name = command.node.node
    stored = catalog.find_node(txn, name) or catalog.find_node_by_id_prefix(txn, name)
    services = {} if stored is None else {row.id: row for row in catalog.services_on(txn, stored.node)}
    if _changes_node(command, stored):
        _require(authorizer.node_write(name))
    if wanted is not None:
        _require(authorizer.service_write(wanted.service))
        if wanted.id in services:
            _require(authorizer.service_write(services[wanted.id].service))
    for check in command.checks:
        _require_check(authorizer, check, command, services)


def _changes_node(command: Register, stored: Node | None) -> bool:
    """Whether the node's own record would be another one: services may be posted with it by those who may not."""
    if stored is None:
        return True
    if command.skip_node_update:
        return False
    given = command.node
    return any(
        getattr(given, field) != getattr(stored, field)
        for field in ("id", "node", "address", "datacenter", "tagged_addresses", "meta")
    )


def _require_check(authorizer: Authorizer, check: Check, command: Register, services: Mapping[str, Service]) -> None:
    name = command.node.node
    if check.node != name:
        raise Refused(f"Node '{check.node}' for check '{check.check_id}' doesn't match register request node '{name}'")
    if not check.service_id:
        _require(authorizer.node_write(name))
    elif command.service is None or command.service.id != check.service_id:
        other = services.get(check.service_id)
        if other is None:
            raise Refused(f"Unknown service '{check.service_id}' for check '{check.check_id}'")
        _require(authorizer.service_write(other.service))


def require_deregister(txn: ReadTxn, authorizer: Authorizer, command: Deregister) -> None:
    """Refuses a removal that the token may not make: of anything with the node's right. Errors: Refused."""
    if authorizer.node_write(command.node):
        return
    if command.service_id:
        service = catalog.find_service(txn, command.node, command.service_id)
        if service is None:
            raise Refused(f"Unknown service '{command.service_id}'")
        _require(authorizer.service_write(service.service))
    elif command.check_id:
        raw = txn.get(keys.check(command.node, command.check_id))
        if raw is None:
            raise Refused(f"Unknown check '{command.check_id}'")
        check = decode_check(raw)
        _require(bool(check.service_id) and authorizer.service_write(check.service_name))
    else:
        _require(False)


# ---------------------------------------------------------------------------------------------------- transactions


def denied_operations(ops: Sequence[TxnOp], authorizer: Authorizer) -> list[TxnError]:
    """The operations that may not be done. Reads may be asked for: what they find is sorted out afterwards."""
    return [TxnError(position, PERMISSION_DENIED) for position, op in enumerate(ops) if not _allowed(op, authorizer)]


def _allowed(op: TxnOp, authorizer: Authorizer) -> bool:
    if isinstance(op, TxnKV):
        return _key_allowed(op, authorizer)
    if not writes(op):
        return True
    if isinstance(op, TxnNode):
        return authorizer.node_write(op.node.node)
    if isinstance(op, TxnService):
        return authorizer.service_write(op.service.service)
    if not op.check.service_id:
        return authorizer.node_write(op.check.node)
    return authorizer.service_write(op.check.service_name)


def _key_allowed(op: TxnKV, authorizer: Authorizer) -> bool:
    key = op.key.decode("utf-8", "surrogateescape")
    if op.verb in _READ_VERBS:
        return True
    if op.verb == "delete-tree":
        return authorizer.key_write_prefix(key)
    if op.verb in _TESTING_VERBS:
        return authorizer.key_read(key)
    return authorizer.key_write(key)


# ---------------------------------------------------------------------------------------------------- configuration


def may_write_entry(authorizer: Authorizer, entry: ConfigEntry) -> bool:
    """Whether an entry may be written: its service must be writable, others that it leads traffic to readable."""
    if entry.kind == PROXY_DEFAULTS:
        return authorizer.operator_write()
    if not authorizer.service_write(entry.name):
        return False
    return all(authorizer.service_read(name) for name in _related_services(entry) if name != entry.name)


def _related_services(entry: ConfigEntry) -> set[str]:
    """The services that routes, splits, a redirect and failovers of an entry name."""
    body = entry.body
    found: list[Mapping[str, Any] | None] = [route.get("Destination") for route in body.get("Routes") or ()]
    found += body.get("Splits") or ()
    found.append(body.get("Redirect"))
    found += (body.get("Failover") or {}).values()
    return {str(item.get("Service") or entry.name) for item in found if item is not None}
