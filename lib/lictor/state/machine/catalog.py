"""Nodes, service instances and checks, with every index and cascade (Consul 1.7: state machine, sections 1 and 2)."""

from __future__ import annotations

from msgspec.structs import replace

from lictor.state import keys, topics
from lictor.state.commands import Deregister, Done, Register, Result
from lictor.state.machine import session as sessions
from lictor.state.metadata import check_metadata
from lictor.state.rows import (
    Check,
    Node,
    Service,
    decode_check,
    decode_node,
    decode_service,
    encode,
)
from lictor.state.writer import Refused, Writer

MISSING_NODE = "Missing node registration"
MISSING_SERVICE = "Missing service registration"
NO_PRIMARY_INDEX = "object missing primary index"
"""Said of an instance or a check without an ID."""
WEIGHT_MAX = 65535
EXTINCTION = "service_last_extinction"
SERF_CHECK_ID = "serfHealth"
_KINDS = {"": "typical"}


def service_index(name: str) -> str:
    """Shared by names that differ in case only."""
    return "service." + name.lower()


def kind_index(kind: str) -> str:
    return "service_kind." + _KINDS.get(kind, kind)


def register(writer: Writer, command: Register) -> Result:
    node = command.node
    existing = find_node(writer, node.node)
    if existing is not None and command.keep_node_details:
        node = replace(node, tagged_addresses=existing.tagged_addresses, meta=existing.meta)
    if existing is None or (not command.skip_node_update and not same_node(existing, node)):
        try:
            ensure_node(writer, node)
        except Refused as refusal:
            raise Refused(f"failed inserting node: {refusal.text}") from refusal
    present = find_service(writer, node.node, command.service.id) if command.service is not None else None
    if command.service is not None and not (
        present is not None and same_service(present, replace(command.service, node=present.node))
    ):
        try:
            ensure_service(writer, node.node, command.service)
        except Refused as refusal:
            raise Refused(f"failed inserting service: {refusal.text}") from refusal
    for check in command.checks:
        if check.node != node.node:
            raise Refused(f'check node "{check.node}" does not match node "{node.node}"')
        try:
            ensure_check(writer, check)
        except Refused as refusal:
            raise Refused(f'failed inserting check: {refusal.text} on node "{check.node}"') from refusal
    return Done()


def deregister(writer: Writer, command: Deregister) -> Result:
    if command.service_id:
        delete_service(writer, command.node, command.service_id)
    elif command.check_id:
        delete_check(writer, command.node, command.check_id)
    else:
        delete_node(writer, command.node)
    return Done()


# ---------------------------------------------------------------------------------------------------- nodes


def find_node(writer: Writer, name: str) -> Node | None:
    raw = writer.get(keys.node(name))
    return None if raw is None else decode_node(raw)


def find_node_by_id(writer: Writer, node_id: str) -> Node | None:
    folded = writer.get(keys.node_by_id(node_id))
    return None if folded is None else _node_at(writer, folded)


def _node_at(writer: Writer, folded: bytes) -> Node | None:
    raw = writer.get(b"N" + folded)
    return None if raw is None else decode_node(raw)


def same_node(a: Node, b: Node) -> bool:
    """Equal but for the indexes."""
    return (
        a.id == b.id
        and a.node == b.node
        and a.address == b.address
        and a.datacenter == b.datacenter
        and a.tagged_addresses == b.tagged_addresses
        and a.meta == b.meta
    )


def ensure_node(writer: Writer, wanted: Node) -> Node:
    """Creates, changes or renames the node; the stored record."""
    existing = None
    if wanted.id:
        existing = find_node_by_id(writer, wanted.id)
        if existing is None:
            _refuse_taken_name(writer, wanted, f'Error while renaming Node ID: "{wanted.id}"', may_take_unnamed=True)
        elif existing.node != wanted.node:
            _refuse_taken_name(
                writer,
                wanted,
                f'Error while renaming Node ID: "{wanted.id}" ({wanted.address})',
                may_take_unnamed=False,
            )
            delete_node(writer, existing.node)
    if existing is None:
        existing = find_node(writer, wanted.node)
    if existing is not None and same_node(existing, wanted):
        return existing
    node = replace(wanted, create_index=existing.create_index if existing else writer.index, modify_index=writer.index)
    holder = find_node(writer, wanted.node)
    if holder is not None and holder.id and holder.id.lower() != node.id.lower():
        writer.delete(keys.node_by_id(holder.id))
    insert_node(writer, node)
    writer.bump("nodes")
    touch_services_of_node(writer, node.node)
    return node


def insert_node(writer: Writer, node: Node) -> None:
    """The record and what finds it."""
    writer.put(keys.node(node.node), encode(node))
    if node.id:
        writer.put(keys.node_by_id(node.id), keys.fold(node.node))
    writer.changed(topics.NODES, topics.node(node.node))


def _refuse_taken_name(writer: Writer, wanted: Node, context: str, may_take_unnamed: bool) -> None:
    holder = find_node(writer, wanted.node)
    if holder is None or holder.id == wanted.id:
        return
    raw = writer.get(keys.check(holder.node, SERF_CHECK_ID))
    if raw is None or decode_check(raw).status == sessions.CRITICAL:
        return
    if not holder.id and may_take_unnamed:
        return
    raise Refused(
        f"{context}: Node name {wanted.node} is reserved by node {holder.id} with name {holder.node} ({holder.address})"
    )


def delete_node(writer: Writer, name: str) -> None:
    """The node with its services, checks, coordinates and sessions; unknown nodes are no error."""
    node = find_node(writer, name)
    if node is None:
        return
    for _, raw in writer.scan(keys.services_of_node(name)):
        delete_service(writer, name, decode_service(raw).id)
    for _, raw in writer.scan(keys.checks_of_node(name)):
        delete_check(writer, name, decode_check(raw).check_id)
    coordinates = writer.scan(keys.coordinates_of_node(name))
    for key, _ in coordinates:
        writer.delete(key)
    if coordinates:
        writer.bump("coordinates")
        writer.changed(topics.COORDINATES)
    writer.delete(keys.node(name))
    if node.id:
        writer.delete(keys.node_by_id(node.id))
    writer.bump("nodes")
    writer.changed(topics.NODES, topics.node(name))
    sessions.remove_where(writer, keys.sessions_of_node(name))


# ---------------------------------------------------------------------------------------------------- services


def find_service(writer: Writer, node: str, service_id: str) -> Service | None:
    raw = writer.get(keys.service(node, service_id))
    return None if raw is None else decode_service(raw)


def same_service(a: Service, b: Service) -> bool:
    """Equal but for the indexes; no tags and an empty list of them are the same to nobody but JSON."""
    return (
        a.id == b.id
        and a.node == b.node
        and a.service == b.service
        and a.kind == b.kind
        and a.tags == b.tags
        and a.address == b.address
        and a.port == b.port
        and effective_weights(a) == effective_weights(b)
        and a.tagged_addresses == b.tagged_addresses
        and a.meta == b.meta
        and a.enable_tag_override == b.enable_tag_override
        and a.proxy == b.proxy
        and a.connect == b.connect
    )


def effective_weights(service: Service) -> tuple[int, int]:
    """(passing, warning); weights that cannot be right count as not given."""
    passing, warning = service.weights or (1, 1)
    if passing < 1 or warning < 0 or max(passing, warning) > WEIGHT_MAX:
        return 1, 1
    return passing, warning


def connect_name(service: Service) -> str | None:
    """The name under which the instance takes connect traffic."""
    if service.kind == "connect-proxy":
        return str(service.proxy.get("DestinationServiceName", ""))
    return service.service if service.connect.get("Native") else None


def ensure_service(writer: Writer, node_name: str, wanted: Service) -> Service:
    """Creates or changes the instance; the stored record."""
    problem = check_metadata(wanted.meta)
    if problem:
        raise Refused(f"Invalid Service Meta for node {node_name} and serviceID {wanted.id}: {problem}")
    if find_node(writer, node_name) is None:
        raise Refused(MISSING_NODE)
    existing = find_service(writer, node_name, wanted.id)
    if not wanted.id:
        raise Refused(f"failed inserting service: {NO_PRIMARY_INDEX}")
    if existing is not None and same_service(existing, replace(wanted, node=node_name)):
        return existing
    service = replace(
        wanted,
        node=node_name,
        weights=effective_weights(wanted),
        create_index=existing.create_index if existing else writer.index,
        modify_index=writer.index,
    )
    if existing is not None:
        _unlink_service(writer, existing)
    insert_service(writer, service)
    writer.bump("services")
    writer.bump(service_index(service.service))
    writer.bump(kind_index(service.kind))
    if existing is not None and existing.service != service.service:
        _after_loss_of_instance(writer, existing)
    return service


def insert_service(writer: Writer, service: Service) -> None:
    """The record and what finds it."""
    writer.put(keys.service(service.node, service.id), encode(service))
    _service_changed(writer, service)
    writer.changed(topics.SERVICES, topics.node(service.node))


def _service_changed(writer: Writer, service: Service) -> None:
    """The instance, its node or a check of theirs: what finds the instance says when, for `queries/instances.py`."""
    version = writer.index.to_bytes(8, "big")
    writer.put(keys.instance(service.service, service.node, service.id), version)
    writer.topics.add(topics.service(service.service))
    connect = connect_name(service)
    if connect is not None:
        writer.put(keys.connect_instance(connect, service.node, service.id), version)
        writer.topics.add(topics.connect(connect))


def _unlink_service(writer: Writer, service: Service) -> None:
    writer.delete(keys.instance(service.service, service.node, service.id))
    writer.topics.add(topics.service(service.service))
    connect = connect_name(service)
    if connect is not None:
        writer.delete(keys.connect_instance(connect, service.node, service.id))
        writer.topics.add(topics.connect(connect))


def _after_loss_of_instance(writer: Writer, service: Service) -> None:
    """One instance of the name is gone: its index moves, or goes when it was the last."""
    if writer.any_under(keys.instances(service.service)):
        writer.bump(service_index(service.service))
    else:
        writer.forget_index(service_index(service.service))
        writer.bump(EXTINCTION)


def delete_service(writer: Writer, node_name: str, service_id: str) -> None:
    """The instance and its checks; unknown ones are no error."""
    service = find_service(writer, node_name, service_id)
    if service is None:
        return
    for _, raw in writer.scan(keys.checks_of_instance(node_name, service_id)):
        delete_check(writer, node_name, raw.decode())
    writer.bump("checks")
    writer.delete(keys.service(node_name, service_id))
    _unlink_service(writer, service)
    writer.bump("services")
    writer.bump(kind_index(service.kind))
    writer.changed(topics.SERVICES, topics.node(node_name))
    _after_loss_of_instance(writer, service)


def touch_services_of_node(writer: Writer, node_name: str) -> None:
    """Something that every instance on the node shows has changed."""
    for _, raw in writer.scan(keys.services_of_node(node_name)):
        service = decode_service(raw)
        writer.bump(service_index(service.service))
        writer.bump(kind_index(service.kind))
        _service_changed(writer, service)


# ---------------------------------------------------------------------------------------------------- checks


def find_check(writer: Writer, node: str, check_id: str) -> Check | None:
    raw = writer.get(keys.check(node, check_id))
    return None if raw is None else decode_check(raw)


def same_check(a: Check, b: Check) -> bool:
    """Equal but for type and indexes."""
    return (
        a.status == b.status
        and a.output == b.output
        and a.name == b.name
        and a.check_id == b.check_id
        and a.notes == b.notes
        and a.service_id == b.service_id
        and a.service_name == b.service_name
        and (a.service_tags or []) == (b.service_tags or [])
        and a.definition == b.definition
        and a.node == b.node
    )


def ensure_check(writer: Writer, wanted: Check) -> Check:
    """Creates or changes the check; the stored record. A critical one ends the sessions bound to it."""
    existing = find_check(writer, wanted.node, wanted.check_id)
    status = wanted.status or sessions.CRITICAL
    node = find_node(writer, wanted.node)
    if node is None:
        raise Refused(MISSING_NODE)
    service = None
    service_name, service_tags = wanted.service_name, wanted.service_tags
    if wanted.service_id:
        service = find_service(writer, wanted.node, wanted.service_id)
        if service is None:
            raise Refused(MISSING_SERVICE)
        service_name, service_tags = service.service, service.tags
    if not wanted.check_id:
        raise Refused(f"failed inserting check: {NO_PRIMARY_INDEX}")
    check = replace(
        wanted,
        status=status,
        service_name=service_name,
        service_tags=service_tags,
        create_index=existing.create_index if existing else writer.index,
        modify_index=existing.modify_index if existing else writer.index,
    )
    writer.bump("checks")
    if status == sessions.CRITICAL:
        sessions.remove_where(writer, keys.sessions_of_check(wanted.node, wanted.check_id))
    if existing is not None and same_check(existing, check):
        if existing.type != check.type:
            writer.put(keys.check(check.node, check.check_id), encode(check))
        return check
    if existing is not None:
        check = replace(check, modify_index=writer.index)
        _unlink_check(writer, existing)
        if existing.service_id != check.service_id:
            _touch_owner(writer, existing)
    insert_check(writer, check)
    _touch_owner(writer, check)
    return check


def insert_check(writer: Writer, check: Check) -> None:
    """The record and what finds it."""
    check_id = keys.fold(check.check_id)
    writer.put(keys.check(check.node, check.check_id), encode(check))
    writer.put(keys.check_in_state(check.status, check.node, check.check_id), b"")
    writer.put(keys.checks_of_instance(check.node, check.service_id) + check_id, check.check_id.encode())
    if check.service_name:
        writer.put(keys.check_of_service(check.service_name, check.node, check.check_id), b"")
    _check_changed(writer, check)


def _check_changed(writer: Writer, check: Check) -> None:
    writer.changed(topics.CHECKS, topics.node_checks(check.node), topics.state(check.status))
    if check.service_name:
        writer.topics.add(topics.service_checks(check.service_name))


def _unlink_check(writer: Writer, check: Check) -> None:
    check_id = keys.fold(check.check_id)
    writer.delete(keys.check_in_state(check.status, check.node, check.check_id))
    writer.delete(keys.checks_of_instance(check.node, check.service_id) + check_id)
    if check.service_name:
        writer.delete(keys.check_of_service(check.service_name, check.node, check.check_id))
    _check_changed(writer, check)


def _touch_owner(writer: Writer, check: Check) -> None:
    """A check belongs to one instance, or to every instance on the node."""
    if not check.service_id:
        touch_services_of_node(writer, check.node)
        return
    service = find_service(writer, check.node, check.service_id)
    writer.bump(service_index(service.service if service else check.service_name))
    if service is not None:
        writer.bump(kind_index(service.kind))
        _service_changed(writer, service)


def delete_check(writer: Writer, node_name: str, check_id: str) -> None:
    """The check and the sessions bound to it; unknown ones are no error."""
    check = find_check(writer, node_name, check_id)
    if check is None:
        return
    _unlink_check(writer, check)
    writer.delete(keys.check(node_name, check_id))
    _touch_owner(writer, check)
    if not check.service_id:
        writer.bump("services")
        writer.changed(topics.SERVICES)
    writer.bump("checks")
    sessions.remove_where(writer, keys.sessions_of_check(node_name, check_id))
