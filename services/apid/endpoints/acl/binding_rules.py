"""/v1/acl/binding-rule: what those get who log in through an auth method."""

from __future__ import annotations

import uuid

from apid.core.errors import PrefixedBadRequest
from apid.core.message import JSON, Request, Response
from apid.core.routes import Route
from apid.endpoints import schemas
from apid.endpoints.acl import bodies, methods
from apid.endpoints.acl.area import (
    READ_PARAMETERS,
    AclArea,
    may_be_bad,
    missing,
    one,
    shown,
)
from lictor.acl import Authorizer
from lictor.state import commands
from lictor.state.acl import binding, render
from lictor.state.queries import acl
from lictor.state.rows import ACLBindingRule

BY_ID = "/v1/acl/binding-rule/{id}"
RULE = {"type": "object"}


class BindingRuleEndpoints(AclArea):
    """Lists, reads, creates, changes and deletes binding rules. They are each datacenter's own."""

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/acl/binding-rules",
                {
                    "GET": self._operation(
                        self.list_all,
                        "All binding rules, or those of an auth method",
                        query=("authmethod", *READ_PARAMETERS),
                        result=schemas.array(RULE),
                        responses=may_be_bad("A malformed wait or index"),
                    )
                },
            ),
            Route(
                "/v1/acl/binding-rule",
                {
                    "PUT": self._operation(
                        self.write,
                        "Create a binding rule",
                        body=bodies.BINDING_RULE,
                        result=RULE,
                        responses=may_be_bad("Not a binding rule"),
                    )
                },
            ),
            Route(
                "/v1/acl/binding-rule/",
                {
                    "GET": self._operation(
                        self.read,
                        "One binding rule",
                        BY_ID,
                        query=READ_PARAMETERS,
                        result=RULE,
                        responses={**may_be_bad("No ID"), 404: "No such binding rule"},
                        bare_statuses=(404,),
                    ),
                    "PUT": self._operation(
                        self.write,
                        "Replace a binding rule",
                        BY_ID,
                        body=bodies.BINDING_RULE,
                        result=RULE,
                        responses=may_be_bad("Not a binding rule"),
                    ),
                    "DELETE": self._operation(
                        self.delete, "Delete a binding rule", BY_ID, result=schemas.TRUE, responses=may_be_bad("No ID")
                    ),
                },
            ),
        ]

    async def list_all(self, request: Request) -> Response:
        options = self._options(request)
        if (elsewhere := self._own_tokens_elsewhere(request)) is not None:
            return await elsewhere
        method = request.get("authmethod")
        return await self._read(request, lambda txn: acl.binding_rules(txn, method), _listed, options)

    async def read(self, request: Request) -> Response:
        if not request.tail:
            raise PrefixedBadRequest("Missing binding rule ID")
        options = self._options(request)
        if (elsewhere := self._own_tokens_elsewhere(request)) is not None:
            return await elsewhere
        return await self._read(request, one("binding rule", acl.binding_rule, request.tail), _shown, options)

    async def write(self, request: Request) -> Response:
        fields = self._decoded(bodies.BINDING_RULE, request, "BindingRule")
        if fields.get("ID", "") not in ("", request.tail):
            raise PrefixedBadRequest("BindingRule ID in URL and payload do not match")
        fields = {**fields, "ID": request.tail}
        self._need_own_tokens()
        if (elsewhere := self._server_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(
            lambda txn: binding.prepared(txn, fields, str(uuid.uuid4()), methods.for_binding_rules)
        )
        stored = await self._changed(commands.BindingRuleSet([row]), lambda txn: acl.binding_rule(txn, row.id))
        return shown(render.binding_rule(stored or row))

    async def delete(self, request: Request) -> Response:
        rule_id = self._named(request, "binding rule ID")
        self._need_own_tokens()
        if (elsewhere := self._server_elsewhere(request)) is not None:
            return await elsewhere
        self._need_write(request)
        row = await self._from_state(lambda txn: binding.to_delete(txn, rule_id))
        if row is not None:
            await self._node.consensus.propose(commands.BindingRuleDelete([row.id]))
        return Response(200, b"true", JSON)


def _listed(rows: list[ACLBindingRule], authorizer: Authorizer) -> Response:
    return shown([render.binding_rule(row) for row in rows])


def _shown(row: ACLBindingRule | None, authorizer: Authorizer) -> Response:
    return missing() if row is None else shown(render.binding_rule(row))
