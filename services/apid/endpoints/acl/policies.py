"""/v1/acl/policy: named sets of rules."""

from __future__ import annotations

import uuid

from apid.core.errors import PrefixedBadRequest
from apid.core.message import JSON, Request, Response, text_response
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies
from apid.endpoints.acl.area import NOT_FOUND, READ_PARAMETERS, AclArea, Fields, may_be_bad, one, shown
from lictor.acl import Authorizer
from lictor.state import commands
from lictor.state.acl import policies, render
from lictor.state.queries import acl
from lictor.state.rows import ACLPolicy

BY_ID = "/v1/acl/policy/{id}"
POLICY = {"type": "object"}


class PolicyEndpoints(AclArea):
    """Lists, reads, creates, changes and deletes policies."""

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/acl/policies",
                {
                    "GET": self._operation(
                        self.list_all,
                        "All policies, without their rules",
                        query=READ_PARAMETERS,
                        result=schemas.array(POLICY),
                        responses=may_be_bad("A malformed wait or index"),
                    )
                },
            ),
            Route(
                "/v1/acl/policy",
                {
                    "PUT": self._operation(
                        self.create,
                        "Create a policy",
                        body=bodies.POLICY,
                        result=POLICY,
                        responses=may_be_bad("Not a policy"),
                    )
                },
            ),
            Route(
                "/v1/acl/policy/",
                {
                    "GET": self._operation(
                        self.read,
                        "One policy",
                        BY_ID,
                        query=READ_PARAMETERS,
                        result=POLICY,
                        responses=may_be_bad("No ID"),
                    ),
                    "PUT": self._operation(
                        self.update,
                        "Replace a policy",
                        BY_ID,
                        body=bodies.POLICY,
                        result=POLICY,
                        responses=may_be_bad("Not a policy"),
                    ),
                    "DELETE": self._operation(
                        self.delete, "Delete a policy", BY_ID, result=schemas.TRUE, responses=may_be_bad("No ID")
                    ),
                },
            ),
        ]

    async def list_all(self, request: Request) -> Response:
        options = self._options(request)
        if (elsewhere := self._reader_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, acl.policies, _listed, options)

    async def read(self, request: Request) -> Response:
        if not request.tail:
            raise PrefixedBadRequest("Missing policy ID")
        options = self._options(request)
        if (elsewhere := self._reader_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, one("policy", acl.policy, request.tail), _shown, options)

    async def create(self, request: Request) -> Response:
        fields = self._decoded(bodies.POLICY, request, "Policy")
        if fields.get("ID"):
            raise PrefixedBadRequest("Cannot specify the ID when creating a new policy")
        return await self._store(request, fields)

    async def update(self, request: Request) -> Response:
        fields = self._decoded(bodies.POLICY, request, "Policy")
        if fields.get("ID", "") not in ("", request.tail):
            raise PrefixedBadRequest("Policy ID in URL and payload do not match")
        return await self._store(request, {**fields, "ID": request.tail})

    async def _store(self, request: Request, fields: Fields) -> Response:
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(lambda txn: policies.prepared(txn, fields, str(uuid.uuid4())))
        stored = await self._changed(commands.PolicySet([row]), lambda txn: acl.policy(txn, row.id))
        return shown(render.policy(stored or row))

    async def delete(self, request: Request) -> Response:
        self._named(request, "policy ID")
        if (elsewhere := self._primary_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(lambda txn: policies.to_delete(txn, request.tail))
        if row is not None:
            await self._node.consensus.propose(commands.PolicyDelete([row.id]))
        return Response(200, b"true", JSON)


def _listed(rows: list[ACLPolicy], authorizer: Authorizer) -> Response:
    return shown([render.policy_stub(row) for row in rows])


def _shown(row: ACLPolicy | None, authorizer: Authorizer) -> Response:
    return text_response(403, NOT_FOUND) if row is None else shown(render.policy(row))
