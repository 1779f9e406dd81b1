"""Transactions: every operation or none, and the list of those that failed."""

from __future__ import annotations

from collections.abc import Callable

from lictor.state import keys
from lictor.state.commands import (
    Txn,
    TxnCheck,
    TxnCheckResult,
    TxnEntry,
    TxnError,
    TxnItem,
    TxnKV,
    TxnNode,
    TxnNodeResult,
    TxnOp,
    TxnResult,
    TxnService,
    TxnServiceResult,
)
from lictor.state.gotext import quote
from lictor.state.machine import catalog, kv
from lictor.state.rows import Check, KVEntry, Node, Service, decode_check, decode_kv, decode_node, decode_service
from lictor.state.store import ReadTxn
from lictor.state.uuids import check_uuid
from lictor.state.writer import Refused, Writer

KV_WRITES = frozenset({"set", "cas", "delete", "delete-cas", "delete-tree", "lock", "unlock"})


def writes(op: TxnOp) -> bool:
    """Whether the operation needs the Raft log; a transaction of others is a read."""
    if isinstance(op, TxnKV):
        return op.verb in KV_WRITES
    return op.verb != "get"


def apply_txn(writer: Writer, command: Txn) -> TxnResult:
    """The caller undoes everything when there are errors."""
    results: list[TxnItem] = []
    errors: list[TxnError] = []
    for position, op in enumerate(command.ops):
        try:
            if not writes(op):
                results.extend(read_op(writer, op))
            elif isinstance(op, TxnKV):
                results.extend(_kv(writer, op))
            elif isinstance(op, TxnNode):
                results.extend(_node(writer, op))
            elif isinstance(op, TxnService):
                results.extend(_service(writer, op))
            else:
                results.extend(_check(writer, op))
        except Refused as refusal:
            errors.append(TxnError(position, refusal.text))
    return TxnResult([], errors) if errors else TxnResult(results, [])


class _Reader:
    """A read transaction with the collecting scan that the operations use."""

    def __init__(self, txn: ReadTxn) -> None:
        self.get: Callable[[bytes], bytes | None] = txn.get
        self._txn = txn

    def scan(self, prefix: bytes) -> list[tuple[bytes, bytes]]:
        return list(self._txn.scan(prefix))


def read_txn(txn: ReadTxn, ops: list[TxnOp]) -> TxnResult:
    """A transaction of reads alone, which skips the Raft log."""
    reader = _Reader(txn)
    results: list[TxnItem] = []
    errors: list[TxnError] = []
    for position, op in enumerate(ops):
        assert not writes(op), "a write in a read-only transaction"
        try:
            results.extend(read_op(reader, op))
        except Refused as refusal:
            errors.append(TxnError(position, refusal.text))
    return TxnResult([], errors) if errors else TxnResult(results, [])


def read_op(reader: Writer | _Reader, op: TxnOp) -> list[TxnItem]:
    if isinstance(op, TxnKV):
        return _kv_read(reader, op)
    if isinstance(op, TxnNode):
        return [TxnNodeResult(_stored_node(reader, op.node))]
    if isinstance(op, TxnService):
        raw = reader.get(keys.service(op.node, op.service.id))
        if raw is None:
            raise Refused(f"service {quote(op.service.id)} on node {quote(op.node)} doesn't exist")
        return [TxnServiceResult(decode_service(raw))]
    raw = reader.get(keys.check(op.check.node, op.check.check_id))
    if raw is None:
        raise Refused(f"check {quote(op.check.check_id)} on node {quote(op.check.node)} doesn't exist")
    return [TxnCheckResult(decode_check(raw))]


# ---------------------------------------------------------------------------------------------------- keys


def _entry(key: bytes, entry: KVEntry, with_value: bool = False) -> TxnEntry:
    return TxnEntry(
        key,
        entry.lock_index,
        entry.flags,
        entry.value if with_value else None,
        entry.session,
        entry.create_index,
        entry.modify_index,
    )


def _quoted_key(key: bytes) -> str:
    return quote(key.decode("utf-8", "surrogateescape"))


def _kv_read(reader: Writer | _Reader, op: TxnKV) -> list[TxnItem]:
    if op.verb == "get-tree":
        return [_entry(key[1:], decode_kv(raw), True) for key, raw in reader.scan(keys.kv(op.key))]
    raw = reader.get(keys.kv(op.key))
    entry = None if raw is None else decode_kv(raw)
    key = _quoted_key(op.key)
    if op.verb == "get":
        if entry is None:
            raise Refused(f"key {key} doesn't exist")
        return [_entry(op.key, entry, True)]
    if op.verb == "check-not-exists":
        if entry is not None:
            raise Refused(f"key {key} exists")
        return []
    if op.verb == "check-session":
        if entry is None:
            raise Refused(f"failed to check session, key {key} doesn't exist")
        if entry.session != op.session:
            raise Refused(
                f"failed session check for key {key}, current session {quote(entry.session)} != {quote(op.session)}"
            )
        return [_entry(op.key, entry)]
    if op.verb == "check-index":
        if entry is None:
            raise Refused(f"failed to check index, key {key} doesn't exist")
        if entry.modify_index != op.index:
            raise Refused(f"failed index check for key {key}, current modify index {entry.modify_index} != {op.index}")
        return [_entry(op.key, entry)]
    raise Refused(f"unknown KV verb {quote(op.verb)}")


def _kv(writer: Writer, op: TxnKV) -> list[TxnItem]:
    key = op.key
    if op.verb == "delete":
        kv.delete_key(writer, key)
        return []
    if op.verb == "delete-tree":
        kv.delete_tree(writer, key)
        return []
    if op.verb == "delete-cas":
        if not kv.delete_cas(writer, key, op.index):
            raise Refused(f"failed to delete key {_quoted_key(key)}, index is stale")
        return []
    if op.verb == "set":
        kv.set_key(writer, key, op.value, op.flags)
    elif op.verb == "cas":
        if not kv.set_cas(writer, key, op.value, op.flags, op.index):
            raise Refused(f"failed to set key {_quoted_key(key)}, index is stale")
    elif op.verb == "lock":
        if not kv.lock(writer, key, op.value, op.flags, op.session):
            raise Refused(f"failed to lock key {_quoted_key(key)}, lock is already held")
    elif not kv.unlock(writer, key, op.value, op.flags, op.session):
        raise Refused(f"failed to unlock key {_quoted_key(key)}, lock isn't held, or is held by another session")
    entry = kv.find(writer, key)
    assert entry is not None, "a key just written is not there"
    return [_entry(key, entry)]


# ---------------------------------------------------------------------------------------------------- catalog


def _stored_node(reader: Writer | _Reader, wanted: Node) -> Node:
    if wanted.id:
        problem = check_uuid(wanted.id)
        if problem:
            raise Refused(f"node lookup by ID failed, wrong UUID: {problem} for '{wanted.id}'")
        folded = reader.get(keys.node_by_id(wanted.id))
        raw = None if folded is None else reader.get(b"N" + folded)
    else:
        raw = reader.get(keys.node(wanted.node))
    if raw is None:
        raise Refused(f"node {quote(wanted.node)} doesn't exist")
    return decode_node(raw)


def _may_set(existing: Node | Service | Check | None, wanted: Node | Service | Check) -> bool:
    return (existing.modify_index if existing else 0) == wanted.modify_index


def _may_delete(existing: Node | Service | Check | None, wanted: Node | Service | Check) -> bool:
    return existing is not None and existing.modify_index == wanted.modify_index


def _node(writer: Writer, op: TxnNode) -> list[TxnItem]:
    name = op.node.node
    if op.verb == "delete":
        catalog.delete_node(writer, name)
        return []
    if op.verb == "delete-cas":
        if not _may_delete(catalog.find_node(writer, name), op.node):
            raise Refused(f"failed to delete node {quote(name)}, index is stale")
        catalog.delete_node(writer, name)
        return []
    if op.verb == "cas":
        if not _may_set(catalog.find_node(writer, name), op.node):
            raise Refused(f"failed to set node {quote(name)}, index is stale")
    elif op.verb != "set":
        raise Refused(f"unknown Node verb {quote(op.verb)}")
    return [TxnNodeResult(catalog.ensure_node(writer, op.node))]


def _service(writer: Writer, op: TxnService) -> list[TxnItem]:
    node, service_id = op.node, op.service.id
    if op.verb == "delete":
        catalog.delete_service(writer, node, service_id)
        return []
    if op.verb == "delete-cas":
        if not _may_delete(catalog.find_service(writer, node, service_id), op.service):
            raise Refused(f"failed to delete service {quote(service_id)} on node {quote(node)}, index is stale")
        catalog.delete_service(writer, node, service_id)
        return []
    if op.verb not in ("set", "cas"):
        raise Refused(f"unknown Service verb {quote(op.verb)}")
    existing = catalog.find_service(writer, node, service_id)
    if op.verb == "cas" and not _may_set(existing, op.service):
        raise Refused(f"failed to set service {quote(service_id)} on node {quote(node)}, index is stale")
    # Consul 1.7 loses the error of what cannot be set: the operation succeeds and gives what was there before.
    try:
        return [TxnServiceResult(catalog.ensure_service(writer, node, op.service))]
    except Refused:
        return [TxnServiceResult(existing)] if existing is not None else []


def _check(writer: Writer, op: TxnCheck) -> list[TxnItem]:
    node, check_id = op.check.node, op.check.check_id
    if op.verb == "delete":
        catalog.delete_check(writer, node, check_id)
        return []
    if op.verb == "delete-cas":
        if not _may_delete(catalog.find_check(writer, node, check_id), op.check):
            raise Refused(f"failed to delete check {quote(check_id)} on node {quote(node)}, index is stale")
        catalog.delete_check(writer, node, check_id)
        return []
    if op.verb == "cas":
        existing = catalog.find_check(writer, node, check_id)
        if not _may_set(existing, op.check):
            raise Refused(f"failed to set check {quote(check_id)} on node {quote(node)}, index is stale")
        # As with services; without the conditions the error is told.
        try:
            return [TxnCheckResult(catalog.ensure_check(writer, op.check))]
        except Refused:
            return [TxnCheckResult(existing)] if existing is not None else []
    if op.verb != "set":
        raise Refused(f"unknown Check verb {quote(op.verb)}")
    return [TxnCheckResult(catalog.ensure_check(writer, op.check))]
