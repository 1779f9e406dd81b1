"""`lictor.v1.Catalog`: see catalog.proto."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from apid.public import records
from apid.public.calls import Calls, Context, meta_of, read_parameters
from lictor.pb.lictor.v1 import catalog_pb2, catalog_pb2_grpc

Ctx = Context[Any, Any]


def meta_pairs(wanted: Any) -> list[tuple[str, str]]:
    """`node-meta` parameters of a map."""
    return [("node-meta", f"{name}:{value}") for name, value in wanted.items()]


class CatalogServicer(catalog_pb2_grpc.CatalogServicer):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def Datacenters(
        self, request: catalog_pb2.DatacentersRequest, context: Ctx
    ) -> catalog_pb2.DatacentersResponse:
        names, _ = await self._calls.get(context, "/v1/catalog/datacenters")
        return catalog_pb2.DatacentersResponse(datacenters=names)

    async def Nodes(self, request: catalog_pb2.NodesRequest, context: Ctx) -> catalog_pb2.NodesResponse:
        pairs = [*read_parameters(request.options), *meta_pairs(request.node_meta)]
        if request.filter:
            pairs.append(("filter", request.filter))
        rows, response = await self._calls.get(context, "/v1/catalog/nodes", pairs)
        return catalog_pb2.NodesResponse(nodes=[records.node(row) for row in rows], meta=meta_of(response))

    async def Services(self, request: catalog_pb2.ServicesRequest, context: Ctx) -> catalog_pb2.ServicesResponse:
        pairs = [*read_parameters(request.options), *meta_pairs(request.node_meta)]
        tags_of, response = await self._calls.get(context, "/v1/catalog/services", pairs)
        services = [catalog_pb2.ServiceSummary(name=name, tags=tags) for name, tags in tags_of.items()]
        return catalog_pb2.ServicesResponse(services=services, meta=meta_of(response))

    async def Register(self, request: catalog_pb2.RegisterRequest, context: Ctx) -> catalog_pb2.RegisterResponse:
        body = msgspec.json.encode(records.register_body(request))
        await self._calls.put(context, "/v1/catalog/register", (), body)
        return catalog_pb2.RegisterResponse()

    async def Deregister(self, request: catalog_pb2.DeregisterRequest, context: Ctx) -> catalog_pb2.DeregisterResponse:
        fields = {
            "Datacenter": request.datacenter,
            "Node": request.node,
            "ServiceID": request.service_id,
            "CheckID": request.check_id,
        }
        await self._calls.put(context, "/v1/catalog/deregister", (), msgspec.json.encode(fields))
        return catalog_pb2.DeregisterResponse()

    async def Watch(
        self, request: catalog_pb2.ServicesWatchRequest, context: Ctx
    ) -> AsyncIterator[catalog_pb2.ServicesWatchResponse]:
        async for message in self._calls.watch(context, "services", request.options, _watch_message):
            yield message


def _watch_message(
    index: int, reset: bool, upserts: list[Any], deletes: list[str]
) -> catalog_pb2.ServicesWatchResponse:
    return catalog_pb2.ServicesWatchResponse(
        index=index, reset=reset, upserts=[records.summary(row) for row in upserts], deletes=deletes
    )
