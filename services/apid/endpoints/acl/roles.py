"""/v1/acl/role: named sets of policies and service identities."""

from __future__ import annotations

import uuid

from apid.core.errors import PrefixedBadRequest
from apid.core.message import JSON, Request, Response
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies
from apid.endpoints.acl.area import READ_PARAMETERS, AclArea, Fields, may_be_bad, missing, one, shown
from apid.node.reading import Query
from lictor.acl import Authorizer
from lictor.state import commands
from lictor.state.acl import render, roles
from lictor.state.queries import acl
from lictor.state.rows import ACLRole

BY_ID = "/v1/acl/role/{id}"
ROLE = {"type": "object"}


class RoleEndpoints(AclArea):
    """Lists, reads, creates, changes and deletes roles."""

    def routes(self) -> list[Route]:
        absent = {**may_be_bad("No ID or name"), 404: "No such role"}
        return [
            Route(
                "/v1/acl/roles",
                {
                    "GET": self._operation(
                        self.list_all,
                        "All roles, or those of a policy",
                        query=("policy", *READ_PARAMETERS),
                        result=schemas.array(ROLE),
                        responses=may_be_bad("A malformed wait or index"),
                    )
                },
            ),
            Route(
                "/v1/acl/role",
                {
                    "PUT": self._operation(
                        self.write,
                        "Create a role",
                        body=bodies.ROLE,
                        result=ROLE,
                        responses=may_be_bad("Not a role"),
                    )
                },
            ),
            Route(
                "/v1/acl/role/name/",
                {
                    "GET": self._operation(
                        self.read_by_name,
                        "One role, by its name",
                        "/v1/acl/role/name/{name}",
                        query=READ_PARAMETERS,
                        result=ROLE,
                        responses=absent,
                        bare_statuses=(404,),
                    )
                },
            ),
            Route(
                "/v1/acl/role/",
                {
                    "GET": self._operation(
                        self.read,
                        "One role",
                        BY_ID,
                        query=READ_PARAMETERS,
                        result=ROLE,
                        responses=absent,
                        bare_statuses=(404,),
                    ),
                    "PUT": self._operation(
                        self.write,
                        "Replace a role",
                        BY_ID,
                        body=bodies.ROLE,
                        result=ROLE,
                        responses=may_be_bad("Not a role"),
                    ),
                    "DELETE": self._operation(
                        self.delete, "Delete a role", BY_ID, result=schemas.TRUE, responses=may_be_bad("No ID")
                    ),
                },
            ),
        ]

    async def list_all(self, request: Request) -> Response:
        options = self._options(request)
        if (elsewhere := self._reader_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, lambda txn: acl.roles(txn, request.get("policy")), _listed, options)

    async def read(self, request: Request) -> Response:
        if not request.tail:
            raise PrefixedBadRequest("Missing role ID")
        return await self._read_one(request, one("role", acl.role, request.tail))

    async def read_by_name(self, request: Request) -> Response:
        if not request.tail:
            raise PrefixedBadRequest("Missing role Name")
        return await self._read_one(request, lambda txn: acl.role_by_name(txn, request.tail))

    async def _read_one(self, request: Request, query: Query) -> Response:
        options = self._options(request)
        if (elsewhere := self._reader_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, query, _shown, options)

    async def write(self, request: Request) -> Response:
        fields = self._decoded(bodies.ROLE, request, "Role")
        if fields.get("ID", "") not in ("", request.tail):
            raise PrefixedBadRequest("Role ID in URL and payload do not match")
        return await self._store(request, {**fields, "ID": request.tail})

    async def _store(self, request: Request, fields: Fields) -> Response:
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(lambda txn: roles.prepared(txn, fields, str(uuid.uuid4())))
        stored = await self._changed(commands.RoleSet([row]), lambda txn: acl.role(txn, row.id))
        return shown(render.role(stored or row))

    async def delete(self, request: Request) -> Response:
        self._named(request, "role ID")
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(lambda txn: roles.to_delete(txn, request.tail))
        if row is not None:
            await self._node.consensus.propose(commands.RoleDelete([row.id]))
        return Response(200, b"true", JSON)


def _listed(rows: list[ACLRole], authorizer: Authorizer) -> Response:
    return shown([render.role(row) for row in rows])


def _shown(row: ACLRole | None, authorizer: Authorizer) -> Response:
    return missing() if row is None else shown(render.role(row))
