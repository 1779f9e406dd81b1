"""/v1/acl/login and /v1/acl/logout: a token for who an auth method vouches for, and its end."""

from __future__ import annotations

import time
from time import perf_counter

from apid.core.decoding import DecodeError, decode, parse_json
from apid.core.dispatcher import refuse_namespace
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, PrefixedBadRequest
from apid.core.message import JSON, Request, Response
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies, kubernetes, methods
from apid.endpoints.acl.area import NOT_FOUND, AclArea, Fields, may_be_bad, shown
from apid.endpoints.acl.tokens import TOKEN, fresh
from apid.endpoints.catalog import explained
from lictor import telemetry
from lictor.state import commands
from lictor.state.acl import binding, render, tokens
from lictor.state.queries import acl
from lictor.state.rows import ACLAuthMethod, ACLToken
from lictor.state.store import ReadTxn

DESCRIPTION = "token created via login"
_LOGIN, _LOGOUT = telemetry.sample("acl.login"), telemetry.sample("acl.logout")


class LoginEndpoints(AclArea):
    """Logs in and out."""

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/acl/login",
                {
                    "POST": self._operation(
                        self.login,
                        "A new token, from a bearer token that an auth method knows",
                        query=("dc",),
                        body=bodies.LOGIN,
                        result=TOKEN,
                        responses=may_be_bad("Not what is expected to log in"),
                    )
                },
            ),
            Route(
                "/v1/acl/logout",
                {
                    "POST": self._operation(
                        self.logout,
                        "Delete the request's token, which a login made",
                        query=("dc",),
                        result=schemas.TRUE,
                    )
                },
            ),
        ]

    async def login(self, request: Request) -> Response:
        started_s = perf_counter()
        fields = _decoded(request)
        self._need_own_tokens()
        if fields is None:
            raise HttpError("Invalid Login request: Missing auth parameters")
        if (elsewhere := self._datacenter_elsewhere(request)) is not None:
            return await elsewhere
        method = await self._from_state(lambda txn: _usable(txn, fields.get("AuthMethod", "")))
        if method is None:
            raise Forbidden(NOT_FOUND)
        try:
            verified = await kubernetes.verify(method, fields.get("BearerToken", ""))
        except kubernetes.LoginRefused as refused:
            raise HttpError(str(refused)) from None
        row = await self._from_state(lambda txn: _token(txn, method, verified, fields))
        command = commands.TokenSet([row], allow_missing_links=True, prohibit_unprivileged=True)
        stored = await self._login(command, row.accessor_id)
        _LOGIN.since(started_s)
        return shown(render.token(stored))

    async def _login(self, command: commands.TokenSet, accessor_id: str) -> ACLToken:
        try:
            stored = await self._changed(command, lambda txn: acl.token(txn, accessor_id))
        except Forbidden:
            # The role was deleted meanwhile, the token would have no rights.
            raise Forbidden(PERMISSION_DENIED) from None
        if stored is None:
            raise HttpError("Failed to retrieve the token after insertion")
        return stored

    async def logout(self, request: Request) -> Response:
        started_s = perf_counter()
        secret_id = self._secret(request)
        if not secret_id:
            raise Forbidden(NOT_FOUND)
        self._need_own_tokens()
        if (elsewhere := self._datacenter_elsewhere(request)) is not None:
            return await elsewhere
        row = await self._from_state(lambda txn: acl.token_by_secret(txn, secret_id).value)
        if row is None:
            raise Forbidden(NOT_FOUND)
        if not row.auth_method:
            raise Forbidden(PERMISSION_DENIED)
        if not row.local and (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        await self._node.consensus.propose(commands.TokenDelete([row.accessor_id]))
        _LOGOUT.since(started_s)
        return Response(200, b"true", JSON)


def _decoded(request: Request) -> Fields | None:
    """The body of a login; None when it is null. Errors: BadRequest."""
    refuse_namespace(request)
    try:
        if parse_json(request.body) is None:
            return None
        fields: Fields = decode(bodies.LOGIN, request.body)
    except DecodeError as error:
        raise PrefixedBadRequest(f"Failed to decode request body:: {explained(str(error))}") from None
    return fields


def _usable(txn: ReadTxn, name: str) -> ACLAuthMethod | None:
    """The auth method of a name, None when there is none. Errors: Refused."""
    row = acl.auth_method(txn, name).value
    if row is not None:
        methods.check(row)
    return row


def _token(txn: ReadTxn, method: ACLAuthMethod, verified: binding.Verified, fields: Fields) -> ACLToken:
    """The token that the method's binding rules give. Errors: Forbidden, Refused."""
    bound = binding.bound(
        txn, method.name, verified, lambda rule: not rule.selector or kubernetes.matches(rule.selector, verified)
    )
    if not (bound.service_identities or bound.roles):
        raise Forbidden(PERMISSION_DENIED)
    meta = dict(sorted((key, value or "") for key, value in fields.get("Meta", {}).items()))
    made = fresh(txn, time.time_ns())
    return tokens.hashed(
        ACLToken(
            accessor_id=made.accessor_id,
            secret_id=made.secret_id,
            description=f"{DESCRIPTION}: {to_json(meta).decode()}" if meta else DESCRIPTION,
            roles=bound.roles,
            service_identities=bound.service_identities,
            local=True,
            auth_method=fields["AuthMethod"],
            create_time_ns=made.now_ns,
        )
    )
