"""/v1/acl/create, update, destroy, info, clone, list: tokens with rules of their own, as before Consul 1.4.

They are kept in the primary datacenter; a secret is enough to look at its token (Consul 1.7: acl_endpoint_legacy.go).
"""

from __future__ import annotations

import time
from time import perf_counter

from apid.core.decoding import DecodeError, decode
from apid.core.dispatcher import log_failure
from apid.core.errors import PERMISSION_DENIED, BadRequest, Forbidden, HttpError
from apid.core.message import JSON, Request, Response, text_response
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies
from apid.endpoints.acl.area import READ_PARAMETERS, AclArea, Fields, index_headers, may_be_bad, shown
from apid.endpoints.acl.tokens import unused_uuid
from lictor import telemetry
from lictor.acl import Authorizer
from lictor.state import commands
from lictor.state.acl import legacy, render, tokens
from lictor.state.queries import acl
from lictor.state.rows import ACLToken
from lictor.state.store import ReadTxn

BY_SECRET = "/v1/acl/%s/{id}"
TOKENS = schemas.array({"type": "object"})
MISSING = "Missing ACL"
_APPLIED = telemetry.sample("acl.apply")


class LegacyEndpoints(AclArea):
    """The token API of before Consul 1.4."""

    def routes(self) -> list[Route]:
        wrong_body = {400: "Not a token"}
        no_id = may_be_bad("No ID")

        def changing(path: str, operation: object) -> Route:
            return Route(f"/v1/acl/{path}", {"PUT": operation})  # type: ignore[dict-item]

        return [
            changing(
                "create",
                self._operation(
                    self.create,
                    "Create a legacy token",
                    body=bodies.LEGACY_TOKEN,
                    result=schemas.ID,
                    responses=wrong_body,
                ),
            ),
            changing(
                "update",
                self._operation(
                    self.update,
                    "Replace a legacy token",
                    body=bodies.LEGACY_TOKEN,
                    result=schemas.ID,
                    responses=wrong_body,
                ),
            ),
            changing(
                "destroy/",
                self._operation(
                    self.destroy, "Delete a token", BY_SECRET % "destroy", result=schemas.TRUE, responses=no_id
                ),
            ),
            changing(
                "clone/",
                self._operation(
                    self.clone, "Copy a legacy token", BY_SECRET % "clone", result=schemas.ID, responses=no_id
                ),
            ),
            Route(
                "/v1/acl/info/",
                {
                    "GET": self._operation(
                        self.info,
                        "One legacy token",
                        BY_SECRET % "info",
                        query=READ_PARAMETERS,
                        result=TOKENS,
                        responses=no_id,
                    )
                },
            ),
            Route(
                "/v1/acl/list",
                {
                    "GET": self._operation(
                        self.list_all,
                        "All legacy tokens",
                        query=READ_PARAMETERS,
                        result=TOKENS,
                        responses=may_be_bad("A malformed wait or index"),
                    )
                },
            ),
        ]

    # ---------------------------------------------------------------------------------------------------- reading

    async def info(self, request: Request) -> Response:
        options = self._reads.parse(request)
        secret_id = _named(request)
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, lambda txn: acl.token_by_secret(txn, secret_id), _shown, options, right=None)

    async def list_all(self, request: Request) -> Response:
        options = self._reads.parse(request)
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, acl.tokens, _listed, options, _may_write)

    # --------------------------------------------------------------------------------------------------- changing

    async def create(self, request: Request) -> Response:
        return await self._store(request, _decoded(request))

    async def update(self, request: Request) -> Response:
        fields = _decoded(request)
        if not fields.get("ID"):
            raise BadRequest("ACL ID must be set")
        return await self._store(request, fields)

    async def _store(self, request: Request, fields: Fields) -> Response:
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        return shown({"ID": await self._stored(request, fields)})

    async def _stored(self, request: Request, fields: Fields) -> str:
        """The secret of the token that was stored."""
        started_s = perf_counter()
        self._need_write(request)
        row = await self._from_state(
            lambda txn: legacy.prepared(txn, fields, accessor_id=unused_uuid(txn), secret_id=unused_uuid(txn))
        )
        await self._node.consensus.propose(commands.TokenSet([row]))
        _APPLIED.since(started_s)
        return row.secret_id

    async def clone(self, request: Request) -> Response:
        options = self._reads.parse(request)
        secret_id = _named(request)
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        found, leader, contact = await self._reads.run(lambda txn: acl.token_by_secret(txn, secret_id), options)
        try:
            response = shown({"ID": await self._cloned(request, found.value)})
        except HttpError as error:
            log_failure(request, error, error.status)
            response = text_response(error.status, str(error))
        response.headers += index_headers(found, leader, contact)
        return response

    async def _cloned(self, request: Request, row: ACLToken | None) -> str:
        if row is None or not row.type:
            raise Forbidden(PERMISSION_DENIED)
        return await self._stored(request, {"Name": row.description, "Type": row.type, "Rules": row.rules})

    async def destroy(self, request: Request) -> Response:
        started_s = perf_counter()
        secret_id = _named(request)
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)

        def existing(txn: ReadTxn) -> ACLToken | None:
            return legacy.to_delete(txn, secret_id)

        row = await self._from_state(existing)
        if row is not None:
            await self._node.consensus.propose(commands.TokenDelete([row.accessor_id]))
        _APPLIED.since(started_s)
        return Response(200, b"true", JSON)


def _named(request: Request) -> str:
    """The secret in the path. Errors: BadRequest."""
    if not request.tail:
        raise BadRequest(MISSING)
    return request.tail


def _decoded(request: Request) -> Fields:
    """The body, which may be left out. Errors: BadRequest."""
    if not request.body:
        return {}
    try:
        fields: Fields = decode(bodies.LEGACY_TOKEN, request.body)
    except DecodeError as error:
        raise BadRequest(f"Request decode failed: {error}") from None
    return fields


def _may_write(authorizer: Authorizer) -> bool:
    return authorizer.acl_write()


def _shown(row: ACLToken | None, authorizer: Authorizer) -> Response:
    return shown([render.legacy_token(row)] if row is not None and row.type else [])


def _listed(rows: list[ACLToken], authorizer: Authorizer) -> Response:
    now_ns = time.time_ns()
    return shown(
        [render.legacy_token(row) for row in rows if row.type and not row.local and not tokens.is_expired(row, now_ns)]
    )
