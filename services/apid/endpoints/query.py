"""/v1/query: prepared queries (Consul 1.7: prepared_query_endpoint.go)."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from apid.core.decoding import BOOL, INT, TEXT, TEXT_MAP, TEXTS, UINT64, Struct
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, MethodNotAllowed, ServerNotFound
from apid.core.message import JSON, Answer, Request, Response
from apid.core.read_options import DEFAULT
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.bodies import Fields
from apid.endpoints.catalog import decoded
from apid.endpoints.query_execution import QUERY_NOT_FOUND, Execution, refused, result_meta, take_limit
from apid.node.consensus import refusal
from apid.node.context import Node
from apid.node.reading import DISCOVERY, LEVELS, QueryResult, json_response
from lictor.state import canonical, commands, prepare, render
from lictor.state.queries import prepared
from lictor.state.queries.read import QueryError, Read, ReadOptions
from lictor.state.rows import PreparedQuery
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

EXECUTE, EXPLAIN = "/execute", "/explain"
READ_PARAMETERS = ("dc", "index", "wait", "stale", "consistent", "max_stale")
RUN_PARAMETERS = ("dc", "near", "limit", "stale", "consistent", "max_stale")

QUERY = Struct(
    "PreparedQuery",
    {
        "ID": TEXT,
        "Name": TEXT,
        "Session": TEXT,
        "Token": TEXT,
        "Template": Struct("QueryTemplateOptions", {"Type": TEXT, "Regexp": TEXT, "RemoveEmptyTags": BOOL}),
        "Service": Struct(
            "ServiceQuery",
            {
                "Service": TEXT,
                "Failover": Struct("QueryDatacenterOptions", {"NearestN": INT, "Datacenters": TEXTS}),
                "OnlyPassing": BOOL,
                "IgnoreCheckIDs": TEXTS,
                "Near": TEXT,
                "Tags": TEXTS,
                "NodeMeta": TEXT_MAP,
                "ServiceMeta": TEXT_MAP,
                "Connect": BOOL,
            },
        ),
        "DNS": Struct("QueryDNSOptions", {"TTL": TEXT}),
        "CreateIndex": UINT64,
        "ModifyIndex": UINT64,
    },
)
REMOTE_QUERY = Struct("PreparedQueryExecuteRemoteRequest", {"Query": QUERY, "Limit": INT, "Connect": BOOL})


def query_row(fields: Fields, query_id: str) -> PreparedQuery:
    """The record that a decoded body means."""
    return PreparedQuery(
        id=query_id,
        name=fields.get("Name", ""),
        session=fields.get("Session", ""),
        token=fields.get("Token", ""),
        template=canonical.prepared_query_template(fields.get("Template")),
        service=canonical.prepared_query_service(fields.get("Service")),
        dns_ttl=(fields.get("DNS") or {}).get("TTL", ""),
    )


class QueryEndpoints:
    """Keeps, shows, explains and runs prepared queries."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads
        self._execution = Execution(node)

    def routes(self) -> list[Route]:
        queries = schemas.array({"type": "object"})
        missing = {400: "A malformed parameter", 404: QUERY_NOT_FOUND}
        execute = Operation(
            self.one,
            "Run a prepared query, by ID, name or template",
            "/v1/query/{id}/execute",
            (*RUN_PARAMETERS, "connect", "cached"),
            result={"type": "object"},
            responses=missing,
            meta_on_error=True,
            namespaced=False,
        )
        explain = Operation(
            self.one,
            "Show the query that a name means, templates filled in",
            "/v1/query/{id}/explain",
            RUN_PARAMETERS,
            result={"type": "object"},
            responses=missing,
            meta_on_error=True,
            namespaced=False,
        )
        changed = {400: "The body is not what is expected"}
        return [
            Route(
                "/v1/query",
                {
                    "GET": Operation(
                        self.list_all,
                        "All prepared queries",
                        query=READ_PARAMETERS,
                        result=queries,
                        responses={400: "A malformed parameter"},
                        meta_on_error=True,
                        namespaced=False,
                    ),
                    "POST": Operation(
                        self.create,
                        "Create a prepared query",
                        query=("dc",),
                        body=QUERY,
                        result=schemas.ID,
                        responses=changed,
                        namespaced=False,
                    ),
                },
            ),
            Route(
                "/v1/query/",
                {
                    "GET": Operation(
                        self.one,
                        "One prepared query",
                        "/v1/query/{id}",
                        READ_PARAMETERS,
                        result=queries,
                        responses=missing,
                        meta_on_error=True,
                        also=(execute, explain),
                        namespaced=False,
                    ),
                    "PUT": Operation(
                        self.update,
                        "Replace a prepared query",
                        "/v1/query/{id}",
                        ("dc",),
                        body=QUERY,
                        responses=changed,
                        namespaced=False,
                    ),
                    "DELETE": Operation(
                        self.delete, "Delete a prepared query", "/v1/query/{id}", ("dc",), namespaced=False
                    ),
                    "OPTIONS": Operation(
                        self.options, "The methods of a path", "/v1/query/{id}", forwarded=False, namespaced=False
                    ),
                },
                options=False,
                allowed_at=_allowed_at,
            ),
            Route(
                "/v1/internal/query/execute",
                {
                    "POST": Operation(
                        self.execute_for_another,
                        "Run the local part of another datacenter's query; for servers only",
                        body=REMOTE_QUERY,
                        query=("stale", "consistent"),
                        result={"type": "object"},
                        responses={400: "The body is not what is expected", 404: "Asked by a client"},
                        bare_statuses=(404,),
                        forwarded=False,
                        namespaced=False,
                    )
                },
            ),
        ]

    # ------------------------------------------------------------------------------------------------ reading

    def one(self, request: Request) -> Answer:
        """GET: the query itself, its execution or its explanation, told apart by how the path ends."""
        tail = request.tail
        if request.path.endswith(EXECUTE):
            return self._execution.run(request, tail.removesuffix(EXECUTE))
        if request.path.endswith(EXPLAIN):
            return self._explain(request, tail.removesuffix(EXPLAIN))

        def find(txn: ReadTxn) -> Read[list[PreparedQuery]]:
            found = prepared.get(txn, tail, lambda: self._node.authorizer(request))
            if found.value is None:
                raise ServerNotFound(QUERY_NOT_FOUND)
            return Read([found.value], found.index, found.topics)

        return self._read(request, find)

    async def _read(self, request: Request, query: Any) -> Response:
        """As every read is answered, but a missing query carries no meta data."""
        options = self._reads.parse(request)
        try:
            found, leader, contact = await self._reads.run(query, options)
        except (HttpError, QueryError) as error:
            return refused(self._node, request, error)
        response = json_response(render.queries(found.value))
        response.headers += [(b"X-Consul-Index", b"%d" % (found.index or 1)), leader, contact, LEVELS[options.level]]
        return response

    def list_all(self, request: Request) -> Answer:
        return self._reads.answer(
            request,
            lambda txn: prepared.list_all(txn, ReadOptions(authorizer=self._node.authorizer(request))),
            lambda rows: json_response(render.queries(rows)),
            DISCOVERY,
        )

    async def _explain(self, request: Request, name: str) -> Response:
        options = replace(self._reads.parse(request), min_index=0)
        take_limit(request)

        def find(txn: ReadTxn) -> QueryResult:
            found = prepared.explain(txn, name, lambda: self._node.authorizer(request))
            if found is None:
                raise ServerNotFound(QUERY_NOT_FOUND)
            return Read(found, 0, ())

        try:
            found, leader, contact = await self._reads.run(find, options)
        except (HttpError, QueryError) as error:
            return refused(self._node, request, error)
        meta = result_meta(leader, contact, options.level)
        response = json_response(to_json({"Query": render.query_dict(found.value), **meta}))
        response.headers += [(b"X-Consul-Index", b"1"), leader, contact, LEVELS[options.level]]
        return response

    async def execute_for_another(self, request: Request) -> Response:
        """Asked by a server of another datacenter whose own instances are all away."""
        if not request.internal or not self._node.config.server_mode:
            return Response(404, plain=True)
        options = replace(self._reads.parse(request), min_index=0)
        fields = decoded(REMOTE_QUERY, request)
        query = query_row(fields.get("Query") or {}, (fields.get("Query") or {}).get("ID", ""))
        return await self._execution.run_for_another(
            request, query, fields.get("Limit", 0), fields.get("Connect", False), options
        )

    # ------------------------------------------------------------------------------------------------ writing

    async def create(self, request: Request) -> Response:
        fields = decoded(QUERY, request)
        if fields.get("ID"):
            raise HttpError("ID must be empty when creating a new prepared query")
        row = query_row(fields, str(uuid.uuid4()))
        self._check_right(request, row)
        await self._keep(row)
        return json_response(to_json({"ID": row.id}))

    async def update(self, request: Request) -> Response:
        query_id = self._changing(request)
        row = query_row(decoded(QUERY, request) if request.body else {}, query_id)
        self._check_right(request, row)
        self._check_right(request, await self._existing(query_id))
        await self._keep(row)
        return Response(200)

    async def delete(self, request: Request) -> Response:
        query_id = self._changing(request)
        self._node.authorizer(request)
        self._check_right(request, await self._existing(query_id))
        await self._node.consensus.propose(commands.QueryDelete(query_id))
        return Response(200)

    def _changing(self, request: Request) -> str:
        if request.path.endswith((EXECUTE, EXPLAIN)):
            raise MethodNotAllowed(request.method, _allowed_at(request.path))
        return request.tail

    async def _existing(self, query_id: str) -> PreparedQuery:
        """The query to be changed, as of now. Errors: HttpError when there is none."""

        def find(txn: ReadTxn) -> QueryResult:
            return Read(prepared.find_for_change(txn, query_id), 0, ())

        try:
            found, _, _ = await self._reads.run(find, DEFAULT)
        except QueryError as error:
            raise HttpError(str(error)) from None
        row: PreparedQuery = found.value
        return row

    def _check_right(self, request: Request, row: PreparedQuery) -> None:
        """Queries without a name and template are guarded by their ID's secrecy alone."""
        authorizer = self._node.authorizer(request)
        if (row.name or row.template["Type"]) and not authorizer.query_write(row.name):
            raise Forbidden(PERMISSION_DENIED)

    async def _keep(self, row: PreparedQuery) -> None:
        try:
            row = prepare.prepared_query(row, self._node.config.acl.enforce_version_8)
        except Refused as refused_row:
            raise refusal(commands.Failed(refused_row.text, refused_row.kind)) from None
        await self._node.consensus.propose(commands.QuerySet(row))

    def options(self, request: Request) -> Response:
        """Go shows an empty object here, unlike for any other path."""
        return Response(200, b"{}", JSON, [(b"Allow", ",".join(("OPTIONS", *_allowed_at(request.path))).encode())])


def _allowed_at(path: str) -> tuple[str, ...]:
    return ("GET",) if path.endswith((EXECUTE, EXPLAIN)) else ("GET", "PUT", "DELETE")
