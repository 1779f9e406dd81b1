"""gRPC checks: the standard health service says SERVING (Consul 1.7: CheckGRPC)."""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from checkd.core.definitions import CheckDefinition
from checkd.core.status import CRITICAL, PASSING
from checkd.runners.dialing import DialError, split_address
from checkd.runners.result import Result, Run

if TYPE_CHECKING:
    from lictor.tls.configurator import Configurator

UNHEALTHY = "gRPC application didn't report service healthy"
USER_AGENT = "Consul Health Check"
CERTIFICATE_TIMEOUT_S = 5.0
_NOT_CONNECTED = re.compile(r"ipv[46]:(\S+): Failed to connect to remote host: ([A-Za-z ]+)")
CHANNEL_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class GrpcHealth:
    """Asks health services; a channel per target is kept as long as its checks are there."""

    def __init__(self, tls: Configurator | None = None) -> None:
        """`tls`: the agent's own, used where that is configured."""
        self._tls = tls
        self._channels: dict[tuple[str, bool, bool, str], grpc.aio.Channel] = {}

    async def run(self, run: Run) -> Result:
        """One question with the check's deadline."""
        definition = run.definition
        target, _, service = definition.grpc.partition("/")
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            stub = health_pb2_grpc.HealthStub(await self._channel(target, definition))
            answer: Any = await stub.Check(request, timeout=run.timeout_s(), wait_for_ready=False)
        except grpc.aio.AioRpcError as error:
            return Result(CRITICAL, f"rpc error: code = {_code_name(error.code())} desc = {_description(error)}")
        except (OSError, DialError) as error:
            return Result(CRITICAL, f"rpc error: code = Unavailable desc = {error}")
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return Result(CRITICAL, UNHEALTHY)
        return Result(PASSING, f"gRPC check {definition.grpc}: success")

    async def forget(self, address: str) -> None:
        """Close the channels to a target."""
        target = address.partition("/")[0]
        for key in [key for key in self._channels if key[0] == target]:
            await self._channels.pop(key).close()

    async def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    async def _channel(self, target: str, definition: CheckDefinition) -> grpc.aio.Channel:
        key = (target, definition.grpc_use_tls, definition.tls_skip_verify, definition.tls_server_name)
        if key not in self._channels:
            self._channels[key] = await self._open(target, definition)
        return self._channels[key]

    async def _open(self, target: str, definition: CheckDefinition) -> grpc.aio.Channel:
        if not definition.grpc_use_tls:
            return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
        roots, key, certificate, name = self._material()
        name = definition.tls_server_name or name
        if definition.tls_skip_verify:
            # gRPC for Python always verifies, so what the peer shows is what is trusted.
            roots, name = await asyncio.to_thread(_shown_certificate, target)
        credentials = grpc.ssl_channel_credentials(roots, key, certificate)
        options = [*CHANNEL_OPTIONS, *([("grpc.ssl_target_name_override", name)] if name else [])]
        return grpc.aio.secure_channel(target, credentials, options=options)

    def _material(self) -> tuple[bytes | None, bytes | None, bytes | None, str]:
        """Authorities, key and certificate as PEM, and the name to verify, as far as the agent's own are used."""
        tls = self._tls
        if tls is None or not tls.serves_checks:
            return None, None, None, ""
        pair, authorities = tls.client_pair(), tls.authorities()
        return (
            authorities.pem.encode() if authorities else None,
            pair.private_key.encode() if pair else None,
            pair.certificate.encode() if pair else None,
            tls.check_name,
        )


def _shown_certificate(target: str) -> tuple[bytes, str]:
    """The certificate a peer shows (PEM) and a name it is good for; raises OSError."""
    # Seldom wanted, and a megabyte of modules.
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    host, port = split_address(target)
    pem = ssl.get_server_certificate((host, port), timeout=CERTIFICATE_TIMEOUT_S)
    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        addresses = [str(address) for address in alternatives.get_values_for_type(x509.IPAddress)]
        names = [*alternatives.get_values_for_type(x509.DNSName), *addresses, *names]
    return pem.encode(), names[0] if names else ""


def _description(error: grpc.aio.AioRpcError) -> str:
    """What went wrong, where Go's gRPC has other words for it: theirs."""
    details = error.details() or ""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return "context deadline exceeded"
    if refused := _NOT_CONNECTED.search(details):
        address, reason = refused.groups()
        return (
            "all SubConns are in TransientFailure, latest connection error: connection error: "
            f'desc = "transport: Error while dialing dial tcp {address}: connect: {reason.lower()}"'
        )
    return details


def _code_name(code: grpc.StatusCode) -> str:
    """`DEADLINE_EXCEEDED` as Go prints it: `DeadlineExceeded`."""
    return "".join(part.capitalize() for part in code.name.split("_"))
