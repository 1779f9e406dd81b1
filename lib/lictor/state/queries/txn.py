"""Transactions of reads alone, which skip the Raft log."""

from __future__ import annotations

from lictor.acl import Authorizer
from lictor.state.commands import TxnCheckResult, TxnEntry, TxnItem, TxnNodeResult, TxnOp, TxnResult, TxnServiceResult
from lictor.state.machine.txn import read_txn, writes
from lictor.state.store import ReadTxn


def is_read_only(ops: list[TxnOp]) -> bool:
    return not any(writes(op) for op in ops)


def run(txn: ReadTxn, ops: list[TxnOp], authorizer: Authorizer) -> TxnResult:
    """Results that may not be read are dropped."""
    return readable(read_txn(txn, ops), authorizer)


def readable(result: TxnResult, authorizer: Authorizer) -> TxnResult:
    """The result without what may not be read."""
    if authorizer.allows_all:
        return result
    return TxnResult([item for item in result.results if _may_read(item, authorizer)], result.errors)


def _may_read(item: TxnItem, authorizer: Authorizer) -> bool:
    if isinstance(item, TxnEntry):
        return authorizer.key_read(item.key.decode("utf-8", "surrogateescape"))
    if isinstance(item, TxnNodeResult):
        return authorizer.node_read(item.node.node)
    if isinstance(item, TxnServiceResult):
        return authorizer.service_read(item.service.service)
    assert isinstance(item, TxnCheckResult), "an unknown kind of result"
    if item.check.service_name:
        return authorizer.service_read(item.check.service_name)
    return authorizer.node_read(item.check.node)
