"""/v1/acl/auth-method: who vouches for those who log in."""

from __future__ import annotations

from apid.core.errors import PrefixedBadRequest
from apid.core.message import JSON, Request, Response
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies, methods
from apid.endpoints.acl.area import READ_PARAMETERS, AclArea, may_be_bad, missing, shown
from lictor.acl import Authorizer
from lictor.state import commands
from lictor.state.acl import auth_methods, render
from lictor.state.queries import acl
from lictor.state.rows import ACLAuthMethod

BY_NAME = "/v1/acl/auth-method/{name}"
METHOD = {"type": "object"}


class AuthMethodEndpoints(AclArea):
    """Lists, reads, creates, changes and deletes auth methods. They are each datacenter's own."""

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/acl/auth-methods",
                {
                    "GET": self._operation(
                        self.list_all,
                        "All auth methods, without their configuration",
                        query=READ_PARAMETERS,
                        result=schemas.array(METHOD),
                        responses=may_be_bad("A malformed wait or index"),
                    )
                },
            ),
            Route(
                "/v1/acl/auth-method",
                {
                    "PUT": self._operation(
                        self.write,
                        "Create an auth method",
                        body=bodies.AUTH_METHOD,
                        result=METHOD,
                        responses=may_be_bad("Not an auth method"),
                    )
                },
            ),
            Route(
                "/v1/acl/auth-method/",
                {
                    "GET": self._operation(
                        self.read,
                        "One auth method",
                        BY_NAME,
                        query=READ_PARAMETERS,
                        result=METHOD,
                        responses={**may_be_bad("No name"), 404: "No such auth method"},
                        bare_statuses=(404,),
                    ),
                    "PUT": self._operation(
                        self.write,
                        "Replace an auth method",
                        BY_NAME,
                        body=bodies.AUTH_METHOD,
                        result=METHOD,
                        responses=may_be_bad("Not an auth method"),
                    ),
                    "DELETE": self._operation(
                        self.delete,
                        "Delete an auth method, its binding rules and its tokens",
                        BY_NAME,
                        result=schemas.TRUE,
                        responses=may_be_bad("No name"),
                    ),
                },
            ),
        ]

    async def list_all(self, request: Request) -> Response:
        options = self._options(request)
        if (elsewhere := self._own_tokens_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, acl.auth_methods, _listed, options)

    async def read(self, request: Request) -> Response:
        if not request.tail:
            raise PrefixedBadRequest("Missing auth method name")
        options = self._options(request)
        if (elsewhere := self._own_tokens_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, lambda txn: acl.auth_method(txn, request.tail), _shown, options)

    async def write(self, request: Request) -> Response:
        fields = self._decoded(bodies.AUTH_METHOD, request, "AuthMethod")
        if request.tail:
            if fields.get("Name", "") not in ("", request.tail):
                raise PrefixedBadRequest("AuthMethod Name in URL and payload do not match")
            fields = {**fields, "Name": request.tail}
        self._need_own_tokens()
        if (elsewhere := self._server_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(lambda txn: auth_methods.prepared(txn, fields, methods.CONFIG_PROBLEMS))
        stored = await self._changed(commands.AuthMethodSet([row]), lambda txn: acl.auth_method(txn, row.name))
        return shown(render.auth_method(stored or row))

    async def delete(self, request: Request) -> Response:
        name = self._named(request, "auth method name")
        self._need_own_tokens()
        if (elsewhere := self._server_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(lambda txn: acl.auth_method(txn, name).value)
        if row is not None:
            await self._node.consensus.propose(commands.AuthMethodDelete([row.name]))
        return Response(200, b"true", JSON)


def _listed(rows: list[ACLAuthMethod], authorizer: Authorizer) -> Response:
    return shown([render.auth_method_stub(row) for row in rows])


def _shown(row: ACLAuthMethod | None, authorizer: Authorizer) -> Response:
    return missing() if row is None else shown(render.auth_method(row))
