"""/v1/coordinate/: network coordinates (Consul 1.7: coordinate_endpoint.go)."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from apid.core.decoding import FLOAT, TEXT, ListOf, Struct
from apid.core.encoding import to_json
from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError
from apid.core.message import Answer, Request, Response
from apid.core.routes import Operation, Route
from apid.endpoints import schemas
from apid.endpoints.agent_self import COORDINATE_DIMENSIONS, coordinate_dict
from apid.endpoints.catalog import decoded
from apid.node.context import Node
from apid.node.datacenters import datacenters_by_distance
from apid.node.reading import PLAIN, json_response
from lictor.state import render
from lictor.state.queries import coordinate
from lictor.state.queries.read import ReadOptions
from lictor.state.rows import Coordinate

READ_PARAMETERS = ("dc", "segment", "index", "wait", "stale", "consistent", "max_stale")
COORDINATE = Struct("Coordinate", {"Vec": ListOf(FLOAT), "Error": FLOAT, "Adjustment": FLOAT, "Height": FLOAT})
UPDATE = Struct(
    "CoordinateUpdateRequest", {"Datacenter": TEXT, "Node": TEXT, "Segment": TEXT, "Coord": COORDINATE, "Token": TEXT}
)


class CoordinateEndpoints:
    """Where nodes and datacenters are in the network."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        entries = schemas.array({"type": "object"})
        disabled = {401: "Coordinates are turned off"}
        return [
            Route(
                "/v1/coordinate/datacenters",
                {
                    "GET": Operation(
                        self.datacenters,
                        "The coordinates of all servers, by datacenter",
                        result=entries,
                        responses=disabled,
                        namespaced=False,
                        forwarded=not self._node.config.server_mode,
                    )
                },
            ),
            Route(
                "/v1/coordinate/nodes",
                {
                    "GET": Operation(
                        self.nodes,
                        "The coordinates of all nodes",
                        query=READ_PARAMETERS,
                        result=entries,
                        responses=disabled,
                        namespaced=False,
                        meta_on_error=True,
                    )
                },
            ),
            Route(
                "/v1/coordinate/node/",
                {
                    "GET": Operation(
                        self.of_node,
                        "The coordinates of a node",
                        "/v1/coordinate/node/{node}",
                        READ_PARAMETERS,
                        result=entries,
                        responses={**disabled, 404: "No coordinate known"},
                        bare_statuses=(404,),
                        namespaced=False,
                        meta_on_error=True,
                    )
                },
            ),
            Route(
                "/v1/coordinate/update",
                {
                    "PUT": Operation(
                        self.update,
                        "Tell a node's coordinate; seen after the next batch, within 5 seconds",
                        query=("dc",),
                        body=UPDATE,
                        responses={**disabled, 400: "The body is not what is expected"},
                        namespaced=False,
                    )
                },
            ),
        ]

    def datacenters(self, request: Request) -> Response:
        self._require_enabled()
        distances = self._node.distances
        shown: list[dict[str, Any]] = []
        for datacenter in datacenters_by_distance(self._node):
            members = [m for m in self._node.gossip.wan.present() if m.tags.get("dc") == datacenter]
            coordinates = [
                {
                    "Node": member.name.removesuffix(f".{datacenter}"),
                    "Segment": "",
                    "Coord": coordinate_dict(distances.coordinates[member.name]),
                }
                for member in members
                if member.name in distances.coordinates
            ]
            shown.append({"Datacenter": datacenter, "AreaID": "wan", "Coordinates": coordinates or None})
        return json_response(to_json(shown))

    def nodes(self, request: Request) -> Answer:
        self._require_enabled()
        options = self._node.reads.parse(request)
        segment = request.get("segment") if request.has("segment") else None
        return self._node.reads.answer(
            request,
            lambda txn: coordinate.nodes(txn, segment, ReadOptions(authorizer=self._node.authorizer(request))),
            _render,
            PLAIN,
            options,
        )

    async def of_node(self, request: Request) -> Response:
        """Unlike elsewhere, what is unknown answers without meta data."""
        self._require_enabled()
        options = self._node.reads.parse(request)
        if not self._node.authorizer(request).node_read(request.tail):
            raise Forbidden(PERMISSION_DENIED)
        segment = request.get("segment") if request.has("segment") else None
        found, leader, contact = await self._node.reads.run(
            lambda txn: coordinate.node(txn, request.tail, segment), options
        )
        if not found.value:
            return Response(404)
        # Consul shows the name as it was asked for.
        response = _render([replace(row, node=request.tail) for row in found.value])
        response.headers += [(b"X-Consul-Index", b"%d" % found.index), leader, contact]
        return response

    async def update(self, request: Request) -> Response:
        self._require_enabled()
        fields = decoded(UPDATE, request)
        datacenter = fields.get("Datacenter", "")
        if datacenter and datacenter != self._node.config.datacenter and not request.get("dc"):
            return await self._node.forwarder.send(request, datacenter)
        given = fields.get("Coord") or {}
        row = Coordinate(
            node=fields.get("Node", ""),
            segment=fields.get("Segment", ""),
            vec=given.get("Vec") or [],
            error=given.get("Error", 0.0),
            adjustment=given.get("Adjustment", 0.0),
            height=given.get("Height", 0.0),
        )
        if len(row.vec) != COORDINATE_DIMENSIONS:
            raise HttpError("incompatible coordinate")
        if not self._node.authorizer(request).node_write(row.node):
            raise Forbidden(PERMISSION_DENIED)
        await self._node.consensus.call("coordinate.update", row)
        return Response(200)

    def _require_enabled(self) -> None:
        if self._node.config.coordinates.disabled:
            raise HttpError("Coordinate support disabled", 401)


def _render(rows: list[Coordinate]) -> Response:
    return json_response(render.coordinates(rows))
