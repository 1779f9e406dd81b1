"""/v1/operator/keyring: the gossip keys of every pool and datacenter (Consul 1.7: agent/keyring.go).

The server that is asked does its WAN and LAN pool itself and has one server of each other datacenter do its LAN pool.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import msgspec

from apid.core.decoding import BASE64, BOOL, INT, TEXT, DecodeError, Struct, decode
from apid.core.encoding import to_json
from apid.core.errors import HttpError, PrefixedBadRequest
from apid.core.message import Request, Response
from apid.core.parameters import parse_bool, parse_int
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.node.context import Node
from apid.node.datacenters import datacenters_by_distance
from apid.node.reading import json_response
from lictor.pb.lictor.v1 import gossip_pb2
from lictor.rpc import DaemonNotRunning
from lictor.state.prepare import several_errors

MAX_RELAY_FACTOR = 5
KEYRING_TIMEOUT_S = 30.0
KEYRING = Struct("keyringArgs", {"Key": TEXT, "Token": TEXT, "RelayFactor": INT, "LocalOnly": BOOL})
REMOTE_PATH = "/v1/internal/keyring"
REMOTE = Struct("KeyringRequest", {"Method": TEXT, "Key": TEXT, "RelayFactor": INT})
_OPERATIONS = {
    "GET": gossip_pb2.KeyringRequest.OPERATION_LIST,
    "POST": gossip_pb2.KeyringRequest.OPERATION_INSTALL,
    "PUT": gossip_pb2.KeyringRequest.OPERATION_USE,
    "DELETE": gossip_pb2.KeyringRequest.OPERATION_REMOVE,
}
_SUMMARIES = {
    "GET": "The gossip keys of all members",
    "POST": "Install a gossip key on all members",
    "PUT": "Use a gossip key for encryption",
    "DELETE": "Remove a gossip key from all members",
}


class _PoolResult(msgspec.Struct):
    """What the members of one pool answered."""

    wan: bool
    datacenter: str
    keys: dict[str, int]
    nodes: int
    messages: dict[str, str]
    error: str

    @property
    def name(self) -> str:
        return "WAN" if self.wan else f"{self.datacenter} (LAN)"


_RESULTS = msgspec.json.Decoder(list[_PoolResult])


SERVERS_ONLY = "keyring operations must run against a server node"


class KeyringEndpoints:
    """List, install, use and remove gossip keys."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        responses = {400: "A malformed body or parameter"}
        keys = {
            method: Operation(
                self.keyring,
                summary,
                query=("relay-factor", "local-only"),
                body=None if method == "GET" else KEYRING,
                result=schemas.array({"type": "object"}) if method == "GET" else None,
                responses=responses,
                namespaced=False,
                forwarded=False,
            )
            for method, summary in _SUMMARIES.items()
        }
        remote = Operation(
            self.for_another,
            "A keyring operation on this datacenter's LAN pool, for a server of another one",
            body=REMOTE,
            result=schemas.array({"type": "object"}),
            responses={**responses, 404: "Asked by a client"},
            bare_statuses=(404,),
            forwarded=False,
        )
        return [Route("/v1/operator/keyring", keys), Route(REMOTE_PATH, {"POST": remote})]

    async def keyring(self, request: Request) -> Response:
        key = _body(KEYRING, request).get("Key", "") if request.method != "GET" else ""
        relay_factor = _relay_factor(request)
        _check_local_only(request)
        if not self._node.config.server_mode:
            raise HttpError(SERVERS_ONLY)
        self._require(request, request.method)
        others = datacenters_by_distance(self._node)[1:]
        try:
            BASE64.take(key, "")
        except DecodeError as error:
            pools = ["WAN", *(f"{name} (LAN)" for name in (self._node.config.datacenter, *others))]
            raise HttpError(several_errors([f"{pool} error: {error}" for pool in pools])) from None
        answers = await asyncio.gather(
            self._here(request.method, key, relay_factor, lan_only=False),
            *(self._there(request, datacenter, key, relay_factor) for datacenter in others),
        )
        results = [result for answer in answers for result in answer]
        problems = [problem for result in results for problem in _problems(result)]
        if problems:
            raise HttpError(several_errors(problems))
        if request.method != "GET":
            return Response(200)
        return json_response(to_json([_shown(result) for result in results]))

    async def for_another(self, request: Request) -> Response:
        """Clients get the 404 of a path that is not there."""
        if not request.internal:
            return Response(404, plain=True)
        fields = _body(REMOTE, request)
        method = fields.get("Method", "")
        if method not in _OPERATIONS:
            raise PrefixedBadRequest(f"Invalid keyring method: {method!r}")
        if not self._node.config.server_mode:
            raise HttpError(SERVERS_ONLY)
        self._require(request, method)
        results = await self._here(method, fields.get("Key", ""), fields.get("RelayFactor", 0), lan_only=True)
        return json_response(msgspec.json.encode(results))

    async def _here(self, method: str, key: str, relay_factor: int, lan_only: bool) -> list[_PoolResult]:
        message = gossip_pb2.KeyringRequest(
            operation=_OPERATIONS[method], key=key, relay_factor=relay_factor, lan_only=lan_only
        )
        gossip = self._node.gossip
        try:
            answer = await (await gossip.started_stub()).Keyring(
                message, metadata=gossip.metadata, timeout=KEYRING_TIMEOUT_S
            )
        except (grpc.aio.AioRpcError, DaemonNotRunning) as error:
            raise HttpError(str(error)) from None
        return [
            _PoolResult(
                pool.pool == gossip_pb2.POOL_WAN,
                self._node.config.datacenter,
                dict(pool.keys),
                pool.node_count,
                dict(pool.messages),
                pool.error,
            )
            for pool in answer.pools
        ]

    async def _there(self, request: Request, datacenter: str, key: str, relay_factor: int) -> list[_PoolResult]:
        body = to_json({"Method": request.method, "Key": key, "RelayFactor": relay_factor})
        token = request.token()
        headers = [(b"x-consul-token", token.encode("latin-1"))] if token else []
        message = Request(
            "POST", REMOTE_PATH, b"", headers, body, request.remote_address, REMOTE_PATH.encode(), request.hops
        )
        try:
            response = await self._node.forwarder.send(message, datacenter, own=True)
            if response.status != 200:
                raise HttpError(response.body.decode("utf-8", "replace"))
            return _RESULTS.decode(response.body)
        except (HttpError, msgspec.DecodeError) as error:
            return [_PoolResult(False, datacenter, {}, 0, {}, str(error))]

    def _require(self, request: Request, method: str) -> None:
        authorizer = self._node.authorizer(request)
        if method == "GET" and not authorizer.keyring_read():
            raise HttpError("Reading keyring denied by ACLs")
        if method != "GET" and not authorizer.keyring_write():
            raise HttpError("Modifying keyring denied due to ACLs")


def _body(kind: Struct, request: Request) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = decode(kind, request.body)
    except DecodeError as error:
        raise PrefixedBadRequest(f"Request decode failed: {error}") from None
    return fields


def _problems(result: _PoolResult) -> list[str]:
    if not result.error:
        return []
    return [
        f"{result.name} error: {result.error}",
        *(f"{node}: {text}" for node, text in sorted(result.messages.items())),
    ]


def _shown(result: _PoolResult) -> dict[str, Any]:
    return {
        "WAN": result.wan,
        "Datacenter": result.datacenter,
        "Segment": "",
        **({"Messages": result.messages} if result.messages else {}),
        "Keys": result.keys,
        "NumNodes": result.nodes,
    }


def _relay_factor(request: Request) -> int:
    text = request.get("relay-factor")
    if not text:
        return 0
    try:
        factor = parse_int(text)
    except ValueError as error:
        raise PrefixedBadRequest(f"Error parsing relay factor: {error}") from None
    if not 0 <= factor <= MAX_RELAY_FACTOR:
        raise PrefixedBadRequest("Invalid relay-factor: Relay factor must be in range: [0, 5]")
    return factor


def _check_local_only(request: Request) -> None:
    """Consul 1.7 checks `local-only` and then lists all the same."""
    text = request.get("local-only")
    if not text:
        return
    try:
        local_only = parse_bool(text)
    except ValueError as error:
        raise PrefixedBadRequest(f"Error parsing local-only: {error}") from None
    if local_only and request.method != "GET":
        raise PrefixedBadRequest("Invalid use of local-only: local-only can only be set for list requests")
