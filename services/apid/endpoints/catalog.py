"""/v1/catalog/: nodes and services as registered (Consul 1.7: catalog_endpoint.go)."""

from __future__ import annotations

from collections.abc import Callable

from apid.core.decoding import DecodeError, Kind, decode
from apid.core.encoding import to_json
from apid.core.errors import BadRequest, HttpError
from apid.core.message import JSON, Answer, Request, Response
from apid.core.read_options import DEFAULT, parse_consistency
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.bodies import DEREGISTER, REGISTER, Fields, check_row, node_row, service_row
from apid.endpoints.selection import nothing_readable, selection
from apid.node import versions
from apid.node.consensus import refusal
from apid.node.context import Node
from apid.node.datacenters import datacenters_by_distance
from apid.node.reading import CACHED_DISCOVERY, DISCOVERY, ReadStyle, json_response
from lictor.acl import enforced
from lictor.state import commands, prepare, render, rights
from lictor.state.queries import catalog
from lictor.state.queries.read import Read
from lictor.state.store import ReadTxn
from lictor.state.writer import Refused

LIST_PARAMETERS = ("dc", "filter", "near", "node-meta", "index", "wait", "stale", "consistent", "max_stale")
BLOCKING_PARAMETERS = ("dc", "filter", "index", "wait", "stale", "consistent", "max_stale")
SERVICE_PARAMETERS = (*LIST_PARAMETERS, "tag", "cached")
NARROWING = frozenset(("filter", "near", "node-meta"))
UNKNOWN_NAMESPACE = 'json: unknown field "Namespace"'


def decoded(kind: Kind, request: Request) -> Fields:
    """The request's body. Errors: BadRequest with Consul's text."""
    try:
        fields: Fields = decode(kind, request.body)
    except DecodeError as error:
        raise BadRequest(f"Request decode failed: {explained(str(error))}") from None
    return fields


def explained(problem: str) -> str:
    """What decoding said; a namespace is unknown here for a reason."""
    return f"{problem} - Namespaces is a Consul Enterprise feature" if problem == UNKNOWN_NAMESPACE else problem


def narrowed(request: Request) -> bool:
    """Whether the answer depends on more than the listed thing's own index."""
    return bool(request.query) and not NARROWING.isdisjoint(request.params)


class CatalogEndpoints:
    """Reads and direct registrations."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._reads = node.reads

    def routes(self) -> list[Route]:
        def read(
            handler: object, summary: str, path: str, query: tuple[str, ...], result: object, namespaced: bool = True
        ) -> Operation:
            return Operation(
                handler,  # type: ignore[arg-type]
                summary,
                path,
                query,
                result=result,  # type: ignore[arg-type]
                responses={400: "A missing name or a malformed parameter"},
                namespaced=namespaced,
                meta_on_error=True,
            )

        services = schemas.array(schemas.SERVICE_NODE)
        return [
            Route(
                "/v1/catalog/register",
                {
                    "PUT": Operation(
                        self.register,
                        "Register a node, a service on it and checks, all or nothing",
                        body=REGISTER,
                        result=schemas.TRUE,
                        responses={400: "The body is not what is expected"},
                        dc_in_body=True,
                    )
                },
            ),
            Route(
                "/v1/catalog/deregister",
                {
                    "PUT": Operation(
                        self.deregister,
                        "Remove a service, a check, or a node with all of it",
                        body=DEREGISTER,
                        result=schemas.TRUE,
                        responses={400: "The body is not what is expected"},
                        dc_in_body=True,
                    )
                },
            ),
            Route(
                "/v1/catalog/datacenters",
                {
                    "GET": Operation(
                        self.datacenters,
                        "Known datacenters, nearest first",
                        query=("cached",),
                        result=schemas.array(schemas.STRING),
                        responses={400: "Parameters that contradict"},
                        namespaced=False,
                        forwarded=not self._node.config.server_mode,
                    )
                },
            ),
            Route(
                "/v1/catalog/nodes",
                {"GET": read(self.nodes, "All nodes", "", LIST_PARAMETERS, schemas.array(schemas.NODE), False)},
            ),
            Route(
                "/v1/catalog/services",
                {
                    "GET": read(
                        self.services,
                        "All service names with their tags",
                        "",
                        (*BLOCKING_PARAMETERS, "node-meta", "cached"),
                        {"type": "object", "additionalProperties": schemas.array(schemas.STRING)},
                    )
                },
            ),
            Route(
                "/v1/catalog/service/",
                {
                    "GET": read(
                        self.service,
                        "The instances of a service",
                        "/v1/catalog/service/{service}",
                        SERVICE_PARAMETERS,
                        services,
                    )
                },
            ),
            Route(
                "/v1/catalog/connect/",
                {
                    "GET": read(
                        self.connect,
                        "The instances that take Connect traffic for a service",
                        "/v1/catalog/connect/{service}",
                        SERVICE_PARAMETERS,
                        services,
                    )
                },
            ),
            Route(
                "/v1/catalog/node/",
                {
                    "GET": read(
                        self.node_services,
                        "A node with its services by ID",
                        "/v1/catalog/node/{node}",
                        BLOCKING_PARAMETERS,
                        {"type": ["object", "null"]},
                    )
                },
            ),
            Route(
                "/v1/catalog/node-services/",
                {
                    "GET": read(
                        self.node_service_list,
                        "A node with its services as a list",
                        "/v1/catalog/node-services/{node}",
                        BLOCKING_PARAMETERS,
                        {"type": "object"},
                    )
                },
            ),
        ]

    async def register(self, request: Request) -> Response:
        fields = decoded(REGISTER, request)
        node = self._node
        if (datacenter := fields.get("Datacenter", "")) and datacenter != node.config.datacenter:
            return await node.forwarder.send(request, datacenter)
        checks = [check for check in fields.get("Checks") or () if check is not None]
        if fields.get("Check") is not None:
            checks.append(fields["Check"])
        service = fields.get("Service")
        authorizer = node.authorizer(request)
        try:
            command = prepare.register(
                commands.Register(
                    node_row(fields, node.config.datacenter, "NodeMeta"),
                    None if service is None else service_row(service),
                    [check_row(check) for check in checks],
                    fields.get("SkipNodeUpdate", False),
                )
            )
        except Refused as refused:
            raise refusal(commands.Failed(refused.text, refused.kind)) from None
        if enforced(authorizer):
            await self._require(lambda txn: rights.require_register(txn, authorizer, command))
        await node.consensus.propose(command)
        return Response(200, b"true", JSON)

    async def _require(self, check: Callable[[ReadTxn], None]) -> None:
        """Holds a change against what is registered now. Errors: HttpError."""

        def checked(txn: ReadTxn) -> Read[None]:
            check(txn)
            return Read(None, 1, ())

        try:
            await self._reads.run(checked, DEFAULT)
        except Refused as refused:
            raise refusal(commands.Failed(refused.text, refused.kind)) from None

    async def deregister(self, request: Request) -> Response:
        fields = decoded(DEREGISTER, request)
        node = self._node
        if (datacenter := fields.get("Datacenter", "")) and datacenter != node.config.datacenter:
            return await node.forwarder.send(request, datacenter)
        command = commands.Deregister(fields.get("Node", ""), fields.get("ServiceID", ""), fields.get("CheckID", ""))
        try:
            prepare.deregister(command)
        except Refused as refused:
            raise refusal(commands.Failed(refused.text, refused.kind)) from None
        authorizer = node.authorizer(request)
        if enforced(authorizer):
            await self._require(lambda txn: rights.require_deregister(txn, authorizer, command))
        await node.consensus.propose(command)
        return Response(200, b"true", JSON)

    def datacenters(self, request: Request) -> Response:
        """As in Consul, contradicting options spoil the status but the list is sent all the same."""
        body = to_json(datacenters_by_distance(self._node))
        try:
            options = parse_consistency(request)
        except HttpError as error:
            return Response(error.status, str(error).encode() + body, b"text/plain; charset=utf-8")
        response = json_response(body)
        if options.cached:
            self._reads.note_cache(request, response, options)
        return response

    def nodes(self, request: Request) -> Answer:
        return self._reads.answer(
            request,
            lambda txn: catalog.nodes(txn, selection(self._node, request, txn, "CATALOG_NODES")),
            lambda rows: json_response(render.nodes(rows)),
            DISCOVERY,
            versions=versions.NODES,
        )

    def services(self, request: Request) -> Answer:
        return self._reads.answer(
            request,
            lambda txn: catalog.services(txn, selection(self._node, request, txn)),
            lambda tags_of: json_response(render.services(tags_of)),
            CACHED_DISCOVERY,
            versions=versions.CATALOG if narrowed(request) else versions.SERVICES,
        )

    def service(self, request: Request) -> Answer:
        return self._instances(request, connect=False)

    def connect(self, request: Request) -> Answer:
        return self._instances(request, connect=True)

    def _instances(self, request: Request, connect: bool) -> Answer:
        options = self._reads.parse(request)
        name = request.tail
        if not name:
            raise BadRequest("Missing service name")
        authorizer = self._node.authorizer(request)
        if connect and not authorizer.service_read(name):
            return nothing_readable(self._node, request, options)
        tags = request.params.get("tag", ()) if request.query else ()
        own_index_decides = not (connect or tags or narrowed(request))
        return self._reads.answer(
            request,
            lambda txn: catalog.service(
                txn, name, tags, connect, selection(self._node, request, txn, "CATALOG_SERVICE", authorizer)
            ),
            lambda pairs: json_response(render.service_nodes(pairs)),
            CACHED_DISCOVERY,
            options,
            versions.of_service(name) if own_index_decides else versions.CATALOG,
        )

    def node_services(self, request: Request) -> Answer:
        return self._of_node(request, render.node_services, DISCOVERY)

    def node_service_list(self, request: Request) -> Answer:
        return self._of_node(request, render.node_service_list, DISCOVERY)

    def _of_node(self, request: Request, rendering: object, style: ReadStyle) -> Answer:
        options = self._reads.parse(request)
        if not request.tail:
            raise BadRequest("Missing node name")
        by_id = rendering is render.node_services
        return self._reads.answer(
            request,
            lambda txn: catalog.node_services(
                txn, request.tail, selection(self._node, request, txn, "NODE_SERVICES"), by_id
            ),
            lambda found: json_response(rendering(found)),  # type: ignore[operator]
            style,
            options,
            versions.CATALOG,
        )
