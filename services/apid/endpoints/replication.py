"""What secondary datacenters take over from the primary one (Consul 1.7: config_replication.go, acl_replication.go).

Two halves. Under `/v1/internal/replication/` a server of the primary datacenter answers other servers; the token of the
request decides what it shows. Under `/v1/agent/primary/` this node's own raftd asks: the request goes on to the primary
datacenter with the replication token. Both are for agents only and answer clients as unknown paths do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from msgspec.structs import replace

from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, NoPathToDatacenter, PrefixedBadRequest
from apid.core.message import OCTETS, Answer, HeaderList, Request, Response, text_response
from apid.core.routes import Operation, Route
from apid.endpoints.connect_ca import CONNECT_OFF, ConnectCaEndpoints, roots_and_cluster
from apid.node.context import Node
from apid.node.forwarding import REMOTE_UNREACHABLE
from apid.node.reading import BARE_ERRORS, QueryResult
from lictor.acl import Authorizer
from lictor.state.queries import acl, config, intention
from lictor.state.queries.read import Read, ReadOptions
from lictor.state.rows import ACLPolicy, ACLToken, CARoot
from lictor.state.store import ReadTxn

PRIMARY_PATH = "/v1/internal/replication/"
OWN_PATH = "/v1/agent/primary/"
INTERMEDIATE = "intermediate"
ACL_PREFIX = "acl-"
NO_TOKEN = "no replication token is set"
SUCCESS, NO_TOKEN_STATUS, UNREACHABLE_STATUS = 200, 409, 503
REDACTED = "<hidden>"
READ_KEYS_MAX = 4096

Listing = Callable[[ReadTxn, Authorizer], Read[Any]]


def _config_entries(txn: ReadTxn, authorizer: Authorizer) -> Read[Any]:
    return config.entries(txn, options=ReadOptions(authorizer=authorizer))


def _intentions(txn: ReadTxn, authorizer: Authorizer) -> Read[Any]:
    return intention.list_all(txn, ReadOptions(authorizer=authorizer))


def _roots(txn: ReadTxn, authorizer: Authorizer) -> Read[Any]:
    """Without what only this datacenter may know."""
    found = roots_and_cluster(txn)
    rows, cluster_id = found.value
    return replace(found, value=(cluster_id, [_public(root) for root in rows]))


def _public(root: CARoot) -> CARoot:
    return replace(root, signing_cert="", signing_key="")


def _policies(txn: ReadTxn, authorizer: Authorizer) -> Read[Any]:
    """Without rules, which are asked for by ID."""
    _require_acl_read(authorizer)
    found = acl.policies(txn)
    return replace(found, value=[replace(row, rules="") for row in found.value])


def _roles(txn: ReadTxn, authorizer: Authorizer) -> Read[Any]:
    _require_acl_read(authorizer)
    return acl.roles(txn)


def _tokens(txn: ReadTxn, authorizer: Authorizer) -> Read[Any]:
    """Global tokens without their secrets; expired ones, too, until they are removed."""
    _require_acl_read(authorizer)
    found = acl.tokens(txn)
    return replace(found, value=[replace(row, secret_id="", rules="") for row in found.value if not row.local])


def _require_acl_read(authorizer: Authorizer) -> None:
    if not authorizer.acl_read():
        raise Forbidden(PERMISSION_DENIED)


LISTINGS: dict[str, Listing] = {
    "config-entries": _config_entries,
    "intentions": _intentions,
    "roots": _roots,
    "acl-policies": _policies,
    "acl-roles": _roles,
    "acl-tokens": _tokens,
}


class ReplicationEndpoints:
    """Lists, details by ID and signatures, each for another datacenter."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._authority = ConnectCaEndpoints(node)
        self._token_of: dict[str, str] = {}
        """By kind, the replication token that the last list was shown to."""

    def routes(self) -> list[Route]:
        responses = {400: "A malformed body", 404: "Asked by a client, or no such kind"}
        return [
            Route(
                PRIMARY_PATH,
                {
                    "GET": Operation(
                        self.listed,
                        "A list for another datacenter; for servers",
                        PRIMARY_PATH + "{kind}",
                        ("index", "wait", "stale"),
                        responses=responses,
                        bare_statuses=(404,),
                        namespaced=False,
                        forwarded=False,
                    ),
                    "POST": Operation(
                        self.details,
                        "Policies or tokens by ID, or a signature, for another datacenter; for servers",
                        PRIMARY_PATH + "{kind}",
                        responses=responses,
                        bare_statuses=(404,),
                        namespaced=False,
                        forwarded=False,
                    ),
                },
            ),
            Route(
                OWN_PATH,
                {
                    method: Operation(
                        self.ask_primary,
                        "The primary datacenter's answer; for this node's own daemons",
                        OWN_PATH + "{kind}",
                        ("index", "wait"),
                        responses={404: "Asked by a client", 409: NO_TOKEN, 503: "The primary datacenter is away"},
                        bare_statuses=(404,),
                        namespaced=False,
                        forwarded=False,
                    )
                    for method in ("GET", "POST")
                },
            ),
        ]

    # --------------------------------------------------------------------------------------- in the primary datacenter

    def listed(self, request: Request) -> Answer:
        listing = LISTINGS.get(request.tail)
        if not request.internal or listing is None:
            return Response(404, plain=True)
        if listing is _roots and not self._node.config.connect.enabled:
            raise HttpError(CONNECT_OFF)
        authorizer = self._node.authorizer(request)

        def query(txn: ReadTxn) -> QueryResult:
            return listing(txn, authorizer)

        return self._node.reads.answer(request, query, _packed, BARE_ERRORS)

    async def details(self, request: Request) -> Response:
        if not request.internal:
            return Response(404, plain=True)
        if request.tail == INTERMEDIATE:
            certificate = await self._authority.sign_intermediate(request, request.body.decode("utf-8", "replace"))
            return text_response(200, certificate)
        if request.tail not in ("acl-policies", "acl-tokens"):
            return Response(404, plain=True)
        try:
            ids = msgspec.msgpack.decode(request.body, type=list[str])
        except msgspec.DecodeError as error:
            raise PrefixedBadRequest(f"Request decode failed: {error}") from None
        if len(ids) > READ_KEYS_MAX:
            raise PrefixedBadRequest(f"more than {READ_KEYS_MAX} IDs in one request")
        authorizer = self._node.authorizer(request)
        _require_acl_read(authorizer)
        with self._node.state.read() as txn:
            if request.tail == "acl-policies":
                policies = [acl.policy(txn, policy_id).value for policy_id in ids]
                return _packed((_found(policies), False))
            tokens: list[ACLToken] = _found([acl.token(txn, accessor_id).value for accessor_id in ids])
        tokens = [row for row in tokens if not row.local]
        if not authorizer.acl_write():
            return _packed(([replace(row, secret_id=REDACTED) for row in tokens], bool(tokens)))
        return _packed((tokens, False))

    # ------------------------------------------------------------------------------------- in a secondary datacenter

    async def ask_primary(self, request: Request) -> Response:
        node = self._node
        if not request.internal or not node.config.server_mode:
            return Response(404, plain=True)
        try:
            return await self._with_present_token(request)
        except NoPathToDatacenter as error:
            return text_response(UNREACHABLE_STATUS, str(error))
        except HttpError as error:
            away = str(error) == REMOTE_UNREACHABLE
            return text_response(UNREACHABLE_STATUS if away else error.status, str(error))

    async def _with_present_token(self, request: Request) -> Response:
        """The answer to what the replication token of now may see. Errors: HttpError.

        A list is one token's: with another one what was seen before says nothing about what is new, and a request that
        waits with the old one is given up.
        """
        tokens, kind = self._node.tokens, request.tail
        changed = asyncio.Event()
        tokens.on_replication_changed.add(changed.set)
        try:
            while True:
                changed.clear()
                token = tokens.replication
                if not token and kind.startswith(ACL_PREFIX):
                    return text_response(NO_TOKEN_STATUS, NO_TOKEN)
                waits = request.has("index") and self._token_of.get(kind) == token
                asking = self._send(request, token, waits)
                answer = await (self._unless(changed, asking) if waits else asking)
                if answer is None:
                    continue
                if request.method == "GET" and answer.status == SUCCESS:
                    self._token_of[kind] = token
                return answer
        finally:
            tokens.on_replication_changed.discard(changed.set)

    async def _unless(self, event: asyncio.Event, asking: Coroutine[Any, Any, Response]) -> Response | None:
        """The answer; None when the event came first."""
        answer, told = asyncio.ensure_future(asking), asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait((answer, told), return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        finally:
            answer.cancel()
            told.cancel()

    async def _send(self, request: Request, token: str, waits: bool) -> Response:
        headers: HeaderList = [(b"x-consul-token", token.encode())] if token else []
        path = PRIMARY_PATH + request.tail
        # Whoever waits for a change may be answered by any server. The first answer has to be as new as can be: from a
        # server that is behind it would take back what the last one had.
        query = request.query + b"&stale" if waits else b""
        target = path.encode() + (b"?" + query if query else b"")
        message = Request(request.method, path, query, headers, request.body, "", target)
        return await self._node.forwarder.send(message, self._node.config.primary_datacenter, own=True)


def _found(rows: list[Any]) -> list[Any]:
    """What is there of what was asked for."""
    return [row for row in rows if isinstance(row, ACLPolicy | ACLToken)]


def _packed(value: Any) -> Response:
    return Response(200, msgspec.msgpack.encode(value), OCTETS)
