"""The public gRPC server: on the client addresses at ports.grpc, with health and reflection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer as GrpcHealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server as add_grpc_health
from grpc_reflection.v1alpha import reflection

from apid.core.dispatcher import Dispatcher
from apid.public.calls import Calls
from apid.public.catalog import CatalogServicer
from apid.public.events import EventsServicer
from apid.public.health import HealthServicer
from apid.public.kv import KVServicer
from apid.public.sessions import SessionsServicer
from apid.web.listeners import ListenError
from lictor.pb.lictor.v1 import (
    catalog_pb2_grpc,
    event_pb2_grpc,
    health_pb2_grpc,
    kv_pb2_grpc,
    session_pb2_grpc,
)
from lictor.rpc import SERVER_OPTIONS

UNIX_PREFIX = "unix://"
FULL_NAMES = tuple(f"lictor.v1.{name}" for name in ("KV", "Catalog", "Health", "Sessions", "Events"))
SERVICERS: tuple[tuple[Callable[..., None], Callable[[Calls], Any]], ...] = (
    (kv_pb2_grpc.add_KVServicer_to_server, KVServicer),
    (catalog_pb2_grpc.add_CatalogServicer_to_server, CatalogServicer),
    (health_pb2_grpc.add_HealthServicer_to_server, HealthServicer),
    (session_pb2_grpc.add_SessionsServicer_to_server, SessionsServicer),
    (event_pb2_grpc.add_EventsServicer_to_server, EventsServicer),
)


class PublicServer:
    """Serves KV, Catalog, Health, Sessions and Events from the HTTP API's dispatcher."""

    def __init__(self, dispatcher: Dispatcher, credentials: grpc.ServerCredentials | None = None) -> None:
        """With `credentials` over TLS."""
        self._credentials = credentials
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._health = GrpcHealthServicer()
        calls = Calls(dispatcher)
        for add, servicer in SERVICERS:
            add(servicer(calls), self._server)

    async def start(self, addresses: Sequence[str], port: int) -> None:
        """Listens on every address. Errors: ListenError that names the one where it cannot."""
        add_grpc_health(self._health, self._server)
        for name in ("", *FULL_NAMES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection((*FULL_NAMES, reflection.SERVICE_NAME), self._server)
        for address in addresses:
            self._listen(address, port)
        await self._server.start()

    def _listen(self, address: str, port: int) -> None:
        if address.startswith(UNIX_PREFIX):
            place = "unix:" + address[len(UNIX_PREFIX) :]
        else:
            place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        try:
            if self._credentials is not None:
                bound = self._server.add_secure_port(place, self._credentials)
            else:
                bound = self._server.add_insecure_port(place)
        except RuntimeError:
            bound = 0
        if not bound:
            raise ListenError(f"Error starting agent: cannot listen on {place} (ports.grpc)")

    async def stop(self, grace_s: float) -> None:
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
