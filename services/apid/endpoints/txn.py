"""/v1/txn: several operations, all or none (Consul 1.7: txn_endpoint.go)."""

from __future__ import annotations

from time import perf_counter

from msgspec.structs import replace

from apid.core.decoding import BASE64, TEXT, UINT64, DecodeError, ListOf, Struct, parse_json
from apid.core.errors import BadRequest, BodyTooLarge
from apid.core.message import JSON, Request, Response
from apid.core.parameters import raw_bytes, raw_text
from apid.core.routes import Operation, Route
from apid.endpoints.bodies import NODE, TXN_CHECK, TXN_SERVICE, Fields, check_row, node_row, service_row
from apid.node.context import Node
from apid.node.reading import KNOWN_LEADER
from lictor import telemetry
from lictor.acl import Authorizer, by_rules, enforced
from lictor.state import commands, prepare, render, rights
from lictor.state.commands import TxnCheck, TxnError, TxnKV, TxnNode, TxnOp, TxnResult, TxnService
from lictor.state.gotext import quote as go_quote
from lictor.state.machine.txn import writes
from lictor.state.queries.read import Read
from lictor.state.queries.txn import readable, run

DOCS_URL = "https://www.consul.io/docs/agent/options.html#txn_max_req_len"
KV_OP = Struct(
    "KVTxnOp",
    {
        "Verb": TEXT,
        "Key": TEXT,
        "Value": BASE64,
        "Flags": UINT64,
        "Index": UINT64,
        "Session": TEXT,
        "Namespace": TEXT,
    },
)
# What a transaction sets of a service; its other fields are let through without effect, and so is a check's type.
SERVICE_FIELDS = ("ID", "Service", "Tags", "Address", "Meta", "Port", "Weights", "EnableTagOverride", "ModifyIndex")
OPERATIONS = ListOf(
    Struct(
        "TxnOp",
        {
            "KV": KV_OP,
            "Node": Struct("NodeTxnOp", {"Verb": TEXT, "Node": NODE}),
            "Service": Struct("ServiceTxnOp", {"Verb": TEXT, "Node": TEXT, "Service": TXN_SERVICE}),
            "Check": Struct("CheckTxnOp", {"Verb": TEXT, "Check": TXN_CHECK}),
        },
    )
)
RESULT = {
    "type": "object",
    "properties": {"Results": {"type": ["array", "null"]}, "Errors": {"type": ["array", "null"]}},
}


_READ_DURATIONS = telemetry.sample("txn.read")


class TxnEndpoints:
    """Atomic operations on keys, nodes, services and checks."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        limits = self._node.config.limits
        return [
            Route(
                "/v1/txn",
                {
                    "PUT": Operation(
                        self.run,
                        "Carry out all operations or none",
                        query=("dc", "stale", "consistent"),
                        namespaced=False,
                        body=OPERATIONS,
                        result=RESULT,
                        responses={
                            400: "The body is not what is expected",
                            409: "Nothing was done: the operations that failed",
                            413: "Too many or too large operations",
                        },
                    )
                },
                max_body_bytes=max(limits.txn_max_req_len, limits.kv_max_value_size),
            )
        ]

    async def run(self, request: Request) -> Response:
        node = self._node
        ops = self._operations(request)
        command, errors = prepare.txn(ops, node.config.datacenter)
        if any(writes(op) for op in ops):
            authorizer = by_rules(node.authorizer(request))
            errors = _refused(ops, errors, authorizer)
            if errors:
                return _answer(TxnResult([], errors))
            applied = await node.consensus.propose(command)
            assert isinstance(applied.result, TxnResult)
            return _answer(readable(applied.result, authorizer))
        return await self._read(request, command, errors)

    async def _read(self, request: Request, command: commands.Txn, errors: list[TxnError]) -> Response:
        """A transaction of reads alone: no log entry, and it says how it was read."""
        started_s = perf_counter()
        options = self._node.reads.parse(request)
        authorizer = by_rules(self._node.authorizer(request))
        errors = _refused(command.ops, errors, authorizer)
        found, leader, contact = await self._node.reads.run(
            lambda txn: Read(TxnResult([], errors) if errors else run(txn, command.ops, authorizer), 1, ()), options
        )
        result: TxnResult = found.value
        _READ_DURATIONS.since(started_s)
        body = render.txn_result(result, read_only=True, known_leader=leader == KNOWN_LEADER)
        return Response(409 if result.errors else 200, body, JSON, [leader, contact])

    def _operations(self, request: Request) -> list[TxnOp]:
        limits = self._node.config.limits
        maximum = max(limits.txn_max_req_len, limits.kv_max_value_size)
        if request.body_bytes > maximum:
            raise BodyTooLarge(
                f"Request body({request.body_bytes} bytes) too large, max size: {maximum} bytes. See {DOCS_URL}."
            )
        try:
            value = parse_json(request.body)
            given: list[Fields | None] = OPERATIONS.take(value, "value") if value is not None else []
        except DecodeError as error:
            raise BadRequest(f"Failed to parse body: {error}") from None
        if len(given) > prepare.TXN_OPS_MAX:
            raise BodyTooLarge(f"Transaction contains too many operations ({len(given)} > {prepare.TXN_OPS_MAX})")
        found = (_operation(fields, self._node.config.datacenter) for fields in given if fields)
        ops = [op for op in found if op is not None]
        for op in ops:
            if isinstance(op, TxnKV) and op.value is not None and len(op.value) > limits.kv_max_value_size:
                raise BodyTooLarge(
                    f"Value for key {go_quote(raw_text(op.key))} is too large "
                    f"({len(op.value)} > {limits.kv_max_value_size} bytes)"
                )
        return ops


def _operation(fields: Fields, datacenter: str) -> TxnOp | None:
    if kv := fields.get("KV"):
        return TxnKV(
            kv.get("Verb", ""),
            raw_bytes(kv.get("Key", "")),
            kv.get("Value") or None,
            kv.get("Flags", 0),
            kv.get("Index", 0),
            kv.get("Session", ""),
        )
    if node := fields.get("Node"):
        return TxnNode(node.get("Verb", ""), node_row(node.get("Node", {}), datacenter))
    if service := fields.get("Service"):
        owner, given = service.get("Node", ""), service.get("Service", {})
        taken = {name: given[name] for name in SERVICE_FIELDS if name in given}
        return TxnService(service.get("Verb", ""), owner, service_row(taken, owner))
    if check := fields.get("Check"):
        return TxnCheck(check.get("Verb", ""), replace(check_row(check.get("Check", {})), type=""))
    return None


def _refused(ops: list[TxnOp], malformed: list[TxnError], authorizer: Authorizer) -> list[TxnError]:
    """One error for each operation that cannot be: what is malformed is not held against the rights."""
    if not enforced(authorizer):
        return malformed
    errors = {error.op_index: error for error in rights.denied_operations(ops, authorizer)}
    errors |= {error.op_index: error for error in malformed}
    return [errors[position] for position in sorted(errors)]


def _answer(result: TxnResult) -> Response:
    return Response(409 if result.errors else 200, render.txn_result(result), JSON)
