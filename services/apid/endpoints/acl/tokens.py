"""/v1/acl/token: what requests are made with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable
from time import perf_counter

from apid.core.errors import Forbidden, HttpError, PrefixedBadRequest
from apid.core.message import JSON, Request, Response, text_response
from apid.core.read_options import ReadRequest
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies
from apid.endpoints.acl.area import (
    NOT_FOUND,
    READ_PARAMETERS,
    AclArea,
    Fields,
    Show,
    may_be_bad,
    one,
    shown,
)
from apid.endpoints.primary_datacenter import without_datacenter
from apid.node.reading import QueryResult
from lictor import telemetry
from lictor.acl import Authorizer
from lictor.state import commands
from lictor.state.acl import render, tokens
from lictor.state.queries import acl
from lictor.state.queries.read import Read
from lictor.state.rows import ACLToken
from lictor.state.store import ReadTxn

BY_ACCESSOR = "/v1/acl/token/{accessor_id}"
CLONE = "/clone"
OWN_TOKEN = "Deletion of the request's authorization token is not permitted"
TOKEN = {"type": "object"}
_CLONED = telemetry.sample("acl.token.clone")


class TokenEndpoints(AclArea):
    """Lists, reads, creates, changes, clones and deletes tokens."""

    def routes(self) -> list[Route]:
        wrong_body = may_be_bad("Not a token")
        return [
            Route(
                "/v1/acl/tokens",
                {
                    "GET": self._operation(
                        self.list_all,
                        "All tokens, or those of a policy, role or auth method, without their secrets",
                        query=("policy", "role", "authmethod", *READ_PARAMETERS),
                        result=schemas.array(TOKEN),
                        responses=may_be_bad("A malformed wait or index"),
                    )
                },
            ),
            Route(
                "/v1/acl/token",
                {
                    "PUT": self._operation(
                        self.create, "Create a token", body=bodies.TOKEN, result=TOKEN, responses=wrong_body
                    )
                },
            ),
            Route(
                "/v1/acl/token/self",
                {
                    "GET": self._operation(
                        self.read_own,
                        "The request's own token",
                        query=READ_PARAMETERS,
                        result=TOKEN,
                        responses=may_be_bad("A malformed wait or index"),
                    )
                },
            ),
            Route(
                "/v1/acl/token/",
                {
                    "GET": self._operation(
                        self.read,
                        "One token",
                        BY_ACCESSOR,
                        query=READ_PARAMETERS,
                        result=TOKEN,
                        responses=may_be_bad("No ID"),
                    ),
                    "PUT": self._operation(
                        self.update,
                        "Replace what a token may",
                        BY_ACCESSOR,
                        body=bodies.TOKEN,
                        result=TOKEN,
                        responses=wrong_body,
                        also=(
                            self._operation(
                                self.update,
                                "Create a token with the rights of another",
                                BY_ACCESSOR + CLONE,
                                body=bodies.TOKEN,
                                result=TOKEN,
                                responses=wrong_body,
                            ),
                        ),
                    ),
                    "DELETE": self._operation(
                        self.delete, "Delete a token", BY_ACCESSOR, result=schemas.TRUE, responses=may_be_bad("No ID")
                    ),
                },
            ),
        ]

    # ---------------------------------------------------------------------------------------------------- reading

    def _holder_elsewhere(self, request: Request) -> Awaitable[Response] | None:
        """Who has the tokens that a read asks for: the primary datacenter where this one keeps none."""
        if self._node.config.server_mode and not self._local_tokens:
            return self._node.forwarder.send(without_datacenter(request), self._node.config.primary_datacenter)
        return self._reader_elsewhere(request)

    async def list_all(self, request: Request) -> Response:
        options = self._options(request)
        if request.get("authmethod-ns"):
            raise PrefixedBadRequest(
                'Invalid query parameter: "authmethod-ns" - Namespaces is a Consul Enterprise feature'
            )
        if (elsewhere := self._holder_elsewhere(request)) is not None:
            return await elsewhere
        filters = request.get("policy"), request.get("role"), request.get("authmethod")
        return await self._read(request, lambda txn: acl.tokens(txn, *filters), _listed, options)

    async def read(self, request: Request) -> Response:
        if not request.tail:
            raise PrefixedBadRequest("Missing token ID")
        options = self._options(request)
        return await self.read_by_accessor(request, options, _shown)

    async def read_by_accessor(self, request: Request, options: ReadRequest, show: Show) -> Response:
        """What `show` makes of the token that the rest of the path names."""
        if (elsewhere := self._holder_elsewhere(request)) is not None:
            return await elsewhere
        query = one("token", acl.token, request.tail)
        return await self._read(request, lambda txn: _unexpired(query(txn)), show, options)

    async def read_own(self, request: Request) -> Response:
        options = self._reads.parse(request)
        if (elsewhere := self._holder_elsewhere(request)) is not None:
            return await elsewhere
        secret_id = self._secret(request)

        def own(txn: ReadTxn) -> QueryResult:
            return _unexpired(acl.token_by_secret(txn, secret_id))

        return await self._read(request, own, _shown, options, right=None)

    # --------------------------------------------------------------------------------------------------- changing

    async def create(self, request: Request) -> Response:
        return await self._store(request, self._decoded(bodies.TOKEN, request, "Token"), True)

    async def update(self, request: Request) -> Response:
        if request.tail.endswith(CLONE):
            return await self._clone(request)
        fields = self._decoded(bodies.TOKEN, request, "Token")
        if fields.get("AccessorID", "") not in ("", request.tail):
            raise PrefixedBadRequest("Token Accessor ID in URL and payload do not match")
        return await self._store(request, {**fields, "AccessorID": request.tail}, not request.tail)

    async def _store(self, request: Request, fields: Fields, create: bool) -> Response:
        elsewhere = self._server_elsewhere(request)
        if elsewhere is None:
            if not fields.get("Local"):
                elsewhere = self._primary_elsewhere(request)
            elif not self._local_tokens:
                raise HttpError(tokens.LOCAL_DISABLED)
        if elsewhere is not None:
            return await elsewhere
        self._need_write(request)
        now_ns = time.time_ns()

        def made(txn: ReadTxn) -> ACLToken:
            return tokens.created(txn, fields, fresh(txn, now_ns)) if create else tokens.updated(txn, fields, now_ns)

        return await self._set(await self._from_state(made))

    async def _set(self, row: ACLToken) -> Response:
        stored = await self._changed(commands.TokenSet([row]), lambda txn: acl.token(txn, row.accessor_id))
        if stored is None:
            raise HttpError("Failed to retrieve the token after insertion")
        return shown(render.token(stored))

    async def _clone(self, request: Request) -> Response:
        started_s = perf_counter()
        description = self._decoded(bodies.TOKEN, request, "Token").get("Description", "")
        if (elsewhere := self._holder_elsewhere(without_datacenter(request))) is not None:
            return await elsewhere
        self._need_write(request)
        now_ns, accessor_id = time.time_ns(), request.tail.removesuffix(CLONE)
        original = await self._from_state(lambda txn: tokens.to_clone(txn, accessor_id, now_ns))
        if not original.local and (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        row = await self._from_state(lambda txn: tokens.cloned(original, description, fresh(txn, now_ns)))
        response = await self._set(row)
        _CLONED.since(started_s)
        return response

    async def delete(self, request: Request) -> Response:
        accessor_id = self._named(request, "token ID")
        if (elsewhere := self._holder_elsewhere(without_datacenter(request))) is not None:
            return await elsewhere
        self._need_write(request)

        def existing(txn: ReadTxn) -> ACLToken | None:
            tokens.check_deletion(accessor_id)
            return acl.token(txn, accessor_id).value

        row = await self._from_state(existing)
        if row is not None and row.secret_id == self._secret(request):
            raise HttpError(OWN_TOKEN)
        if (row is None or not row.local) and (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        if row is not None:
            await self._node.consensus.propose(commands.TokenDelete([row.accessor_id]))
        return Response(200, b"true", JSON)


def fresh(txn: ReadTxn, now_ns: int) -> tokens.Fresh:
    """Unused UUIDs for a new token."""
    accessor_id, secret_id = (unused_uuid(txn) for _ in range(2))
    return tokens.Fresh(accessor_id, secret_id, now_ns)


def unused_uuid(txn: ReadTxn) -> str:
    while True:
        candidate = str(uuid.uuid4())
        if tokens.is_unused(txn, candidate):
            return candidate


def _unexpired(found: QueryResult) -> QueryResult:
    """An expired token is none, reaped or not."""
    if found.value is not None and tokens.is_expired(found.value, time.time_ns()):
        return Read(None, found.index, found.topics)
    return found


def _listed(rows: list[ACLToken], authorizer: Authorizer) -> Response:
    now_ns = time.time_ns()
    return shown([render.token_stub(row) for row in rows if not tokens.is_expired(row, now_ns)])


def _shown(row: ACLToken | None, authorizer: Authorizer) -> Response:
    return _not_found() if row is None else shown(render.token(row, authorizer.acl_write()))


def _not_found() -> Response:
    return text_response(Forbidden.status, NOT_FOUND)
