"""A daemon's internal gRPC server: loopback only, node secret required, health and reflection on."""

import hmac
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from lictor.rpc.runfile import RunFile, read_run_file, write_run_file
from lictor.rpc.secret import SECRET_HEADER, node_secret
from lictor.version import BUILD

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

LOOPBACK = "127.0.0.1"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
)


class SecretInterceptor(grpc.aio.ServerInterceptor):
    """Answers UNAUTHENTICATED to every call that does not carry the node's secret."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = await continuation(handler_call_details)
        given = dict(handler_call_details.invocation_metadata or ()).get(SECRET_HEADER, "")
        if handler is None or hmac.compare_digest(str(given).encode(), self._secret.encode()):
            return handler
        return _refusing(handler)


def _refusing(handler: "Handler") -> "Handler":
    """A handler of the same cardinality that refuses."""

    async def refuse(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> NoReturn:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the node's secret is missing or wrong")
        raise AssertionError("abort always raises")

    if handler.response_streaming:
        kind = "stream_stream" if handler.request_streaming else "unary_stream"
    else:
        kind = "stream_unary" if handler.request_streaming else "unary_unary"
    make: Callable[..., Handler] = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(
        refuse,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


class DaemonServer:
    """The internal server of one daemon.

    `server` takes the generated `add_…Servicer_to_server` calls before `start`. Reflection and the health
    service list the full names handed in, e.g. "lictor.v1.Consensus".
    """

    def __init__(self, data_dir: str | Path, service: str, full_names: tuple[str, ...]) -> None:
        self._data_dir = data_dir
        self._service = service
        self._full_names = full_names
        self.server = grpc.aio.server(interceptors=(SecretInterceptor(node_secret(data_dir)),), options=SERVER_OPTIONS)
        self.health = HealthServicer()
        self.address = ""

    def tell_of(self, full_name: str) -> None:
        """Lists one more service in reflection and health; before `start`."""
        self._full_names = (*self._full_names, full_name)

    async def start(self) -> str:
        """Listens on the port of the last run when it is free, else on any, and writes the run file."""
        add_HealthServicer_to_server(self.health, self.server)
        for name in ("", *self._full_names):
            await self.health.set(name, health_pb2.HealthCheckResponse.SERVING)
        reflection.enable_server_reflection((*self._full_names, reflection.SERVICE_NAME), self.server)
        self.address = f"{LOOPBACK}:{self._bind()}"
        await self.server.start()
        write_run_file(self._data_dir, self._service, RunFile(self.address, os.getpid(), BUILD))
        return self.address

    def _bind(self) -> int:
        last = read_run_file(self._data_dir, self._service)
        if last is not None:
            try:
                port = self.server.add_insecure_port(f"{LOOPBACK}:{last.port}")
            except RuntimeError:
                port = 0
            if port:
                return int(port)
        return int(self.server.add_insecure_port(f"{LOOPBACK}:0"))

    async def stop(self, grace_s: float = 0.2) -> None:
        await self.health.enter_graceful_shutdown()
        await self.server.stop(grace_s)
