"""/v1/connect/intentions: which services may connect to which (Consul 1.7: intentions_endpoint.go)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable
from typing import Any

from apid.core.decoding import ANY, INT, TEXT, TEXT_MAP, UINT64, DecodeError, Struct, decode
from apid.core.encoding import to_json
from apid.core.errors import (
    PERMISSION_DENIED,
    EndpointError,
    Forbidden,
    HttpError,
    PrefixedBadRequest,
    ServerBadRequest,
    ServerNotFound,
)
from apid.core.message import JSON, Answer, Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.primary_datacenter import primary_elsewhere
from apid.node.bearer import ANONYMOUS, bearing
from apid.node.context import Node
from apid.node.reading import PLAIN, json_response
from lictor.acl import enforced
from lictor.state import commands, prepare, render
from lictor.state.gotext import quote as go_quote
from lictor.state.queries import intention
from lictor.state.queries.read import QueryError, Read, ReadOptions
from lictor.state.rows import Intention
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

READ_PARAMETERS = ("dc", "index", "wait", "stale", "consistent", "max_stale")
CONSUL_SOURCE = "consul"
SOURCE, DESTINATION = "source", "destination"
INTENTION = Struct(
    "Intention",
    {
        "ID": TEXT,
        "Description": TEXT,
        "SourceNS": TEXT,
        "SourceName": TEXT,
        "DestinationNS": TEXT,
        "DestinationName": TEXT,
        "SourceType": TEXT,
        "Action": TEXT,
        "DefaultAddr": TEXT,
        "DefaultPort": INT,
        "Meta": TEXT_MAP,
        "Precedence": INT,
        "CreatedAt": ANY,
        "UpdatedAt": ANY,
        "Hash": ANY,
        "CreateIndex": UINT64,
        "ModifyIndex": UINT64,
    },
)
ALLOWED = {"type": "object", "properties": {"Allowed": schemas.BOOLEAN}, "required": ["Allowed"]}


class IntentionEndpoints:
    """Lists, changes and evaluates intentions."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        by_id = "/v1/connect/intentions/{intention}"
        one: schemas.Schema = {"type": "object"}
        bad = {400: "A malformed parameter"}
        return [
            Route(
                "/v1/connect/intentions",
                {
                    "GET": Operation(
                        self.list_all,
                        "All intentions, in the order of their precedence",
                        query=READ_PARAMETERS,
                        result=schemas.array(one),
                        responses=bad,
                        meta_on_error=True,
                        namespaced=False,
                    ),
                    "POST": Operation(
                        self.create,
                        "Create an intention",
                        query=("dc",),
                        body=INTENTION,
                        result=schemas.ID,
                        namespaced=False,
                    ),
                },
            ),
            Route(
                "/v1/connect/intentions/match",
                {
                    "GET": Operation(
                        self.match,
                        "The intentions that apply to services, by name",
                        query=("by", "name", *READ_PARAMETERS),
                        result={"type": "object"},
                        responses=bad,
                        namespaced=False,
                    )
                },
            ),
            Route(
                "/v1/connect/intentions/check",
                {
                    "GET": Operation(
                        self.check,
                        "Whether a connection is allowed",
                        query=("source", "destination", "source-type", *READ_PARAMETERS),
                        result=ALLOWED,
                        responses=bad,
                        namespaced=False,
                    )
                },
            ),
            Route(
                "/v1/connect/intentions/",
                {
                    "GET": Operation(
                        self.read,
                        "One intention",
                        by_id,
                        READ_PARAMETERS,
                        result=one,
                        responses={400: "Not an ID, or a malformed parameter", 404: "No such intention"},
                        namespaced=False,
                    ),
                    "PUT": Operation(
                        self.update,
                        "Replace an intention",
                        by_id,
                        ("dc",),
                        body=INTENTION,
                        result=schemas.ID,
                        namespaced=False,
                    ),
                    "DELETE": Operation(
                        self.delete, "Remove an intention", by_id, ("dc",), result=schemas.TRUE, namespaced=False
                    ),
                },
            ),
        ]

    # --------------------------------------------------------------------------------------------------- reading

    def list_all(self, request: Request) -> Answer:
        return self._reads.answer(
            request,
            lambda txn: intention.list_all(txn, ReadOptions(authorizer=self._node.authorizer(request))),
            _listed,
            PLAIN,
        )

    async def read(self, request: Request) -> Response:
        options = self._reads.parse(request)
        try:
            found, _, _ = await self._reads.run(lambda txn: intention.get(txn, request.tail), options)
        except QueryError as error:
            raise ServerBadRequest(error.text) from None
        row: Intention | None = found.value
        if row is None:
            raise ServerNotFound("Intention not found")
        authorizer = self._node.authorizer(request)
        if not (authorizer.intention_read(row.source_name) or authorizer.intention_read(row.destination_name)):
            raise Forbidden(PERMISSION_DENIED)
        return json_response(to_json(render.intention_dict(row)))

    async def match(self, request: Request) -> Response:
        options = self._reads.parse(request)
        sides = request.params.get("by", ())
        if len(sides) != 1:
            raise EndpointError("required query parameter 'by' not set")
        if sides[0] not in (SOURCE, DESTINATION):
            raise EndpointError("'by' parameter must be one of 'source' or 'destination'")
        names = request.params.get("name", ())
        if not names:
            raise EndpointError("required query parameter 'name' not set")
        wanted = [(name, *_namespace_and_name("name", name)) for name in names]
        authorizer = self._node.authorizer(request)
        if not all(not plain or authorizer.intention_read(plain) for _, _, plain in wanted):
            raise Forbidden(PERMISSION_DENIED)

        def matches(txn: ReadTxn) -> Read[dict[str, list[Intention]]]:
            reads = {
                given: intention.match(txn, sides[0] == SOURCE, plain, namespace) for given, namespace, plain in wanted
            }
            some = next(iter(reads.values()))
            return Read({given: read.value for given, read in reads.items()}, some.index, some.topics)

        found, _, _ = await self._reads.run(matches, options)
        shown = {given: [render.intention_dict(row) for row in rows] or None for given, rows in found.value.items()}
        return json_response(to_json(dict(sorted(shown.items()))))

    async def check(self, request: Request) -> Response:
        options = self._reads.parse(request)
        source_type = request.get("source-type") if request.has("source-type") else CONSUL_SOURCE
        given = {}
        for side in (SOURCE, DESTINATION):
            values = request.params.get(side, ())
            if len(values) != 1:
                raise EndpointError(f"required query parameter '{side}' not set")
            given[side] = values[0]
        source_ns, source = intention.DEFAULT_NAMESPACE, given[SOURCE]
        if source_type == CONSUL_SOURCE:
            source_ns, source = _namespace_and_name(SOURCE, source)
        destination_ns, destination = _namespace_and_name(DESTINATION, given[DESTINATION])
        if source_type != CONSUL_SOURCE:
            raise HttpError(f"unsupported SourceType: {go_quote(source_type)}")
        authorizer = self._node.authorizer(request)
        if destination and not authorizer.service_read(destination):
            raise Forbidden(PERMISSION_DENIED)
        found, _, _ = await self._reads.run(
            lambda txn: intention.match(txn, False, destination, destination_ns), options
        )
        decisive = intention.decisive(found.value, source_ns, source)
        # When nothing applies, what a request without a token may do decides.
        allowed = self._default_allow(request) if decisive is None else decisive.action == "allow"
        return json_response(to_json({"Allowed": allowed}))

    def _default_allow(self, request: Request) -> bool:
        return self._node.authorizer(bearing(request, ANONYMOUS)).intention_default_allow()

    # -------------------------------------------------------------------------------------------------- changing

    async def create(self, request: Request) -> Response:
        fields = _decoded(request)
        if (elsewhere := self._elsewhere(request)) is not None:
            return await elsewhere
        self._require_write(request, fields.get("DestinationName", ""))
        if fields.get("ID"):
            raise HttpError("ID must be empty when creating a new intention")
        return await self._store(fields, str(uuid.uuid4()))

    async def update(self, request: Request) -> Response:
        try:
            fields = decode(INTENTION, request.body)
        except DecodeError as error:
            raise PrefixedBadRequest(f"Request decode failed: {error}") from None
        if (elsewhere := self._elsewhere(request)) is not None:
            return await elsewhere
        self._require_write(request, fields.get("DestinationName", ""))
        existing = await self._existing(request, "modify")
        self._require_write(request, existing.destination_name)
        return await self._store(fields, existing.id)

    async def delete(self, request: Request) -> Response:
        if (elsewhere := self._elsewhere(request)) is not None:
            return await elsewhere
        self._node.authorizer(request)
        existing = await self._existing(request, "delete")
        self._require_write(request, existing.destination_name)
        await self._node.consensus.propose(commands.IntentionDelete(existing.id))
        return Response(200, b"true", JSON)

    def _elsewhere(self, request: Request) -> Awaitable[Response] | None:
        """With Connect intentions come from the primary datacenter: that is where they are changed."""
        return primary_elsewhere(self._node, request) if self._node.config.connect.enabled else None

    async def _existing(self, request: Request, deed: str) -> Intention:
        """The intention that a change names, as the leader has it. Errors: HttpError."""
        await self._node.changes.caught_up(await self._node.consensus.barrier())
        try:
            with self._node.state.read() as txn:
                return intention.find_for_change(txn, request.tail, deed)
        except QueryError as error:
            raise HttpError(error.text) from None

    async def _store(self, fields: dict[str, Any], intention_id: str) -> Response:
        now_ns = time.time_ns()
        row = Intention(
            id=intention_id,
            description=fields.get("Description", ""),
            source_ns=fields.get("SourceNS", ""),
            source_name=fields.get("SourceName", ""),
            destination_ns=fields.get("DestinationNS", ""),
            destination_name=fields.get("DestinationName", ""),
            source_type=fields.get("SourceType", ""),
            action=fields.get("Action", ""),
            meta={key: value or "" for key, value in (fields.get("Meta") or {}).items()},
            precedence=0,
            created_at_ns=now_ns,
            updated_at_ns=now_ns,
            default_addr=fields.get("DefaultAddr", ""),
            default_port=fields.get("DefaultPort", 0),
        )
        try:
            prepared = prepare.intention(row)
        except Refused as refused:
            raise HttpError(refused.text) from None
        await self._node.consensus.propose(commands.IntentionSet(prepared))
        return json_response(to_json({"ID": intention_id}))

    def _require_write(self, request: Request, destination: str) -> None:
        authorizer = self._node.authorizer(request)
        if enforced(authorizer) and not (destination and authorizer.intention_write(destination)):
            raise Forbidden(PERMISSION_DENIED)


def _listed(rows: list[Intention]) -> Response:
    return json_response(render.intentions(rows))


def _decoded(request: Request) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = decode(INTENTION, request.body)
    except DecodeError as error:
        raise EndpointError(f"Failed to decode request body: {error}") from None
    return fields


def _namespace_and_name(parameter: str, text: str) -> tuple[str, str]:
    """`name` or `namespace/name`. Errors: HttpError."""
    namespace, slash, name = text.partition("/")
    if not slash:
        return intention.DEFAULT_NAMESPACE, text
    if "/" in name:
        raise EndpointError(f"{parameter} {go_quote(text)} is invalid: input can contain at most one '/'")
    return namespace, name
