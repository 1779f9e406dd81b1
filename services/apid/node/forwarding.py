"""Passing requests on: from a client agent to a server, and to another datacenter through the WAN pool.

The other apid answers exactly what it would answer its own clients, so every endpoint exists once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from apid.core.errors import HttpError, NoPathToDatacenter, NoServers
from apid.core.message import Request, Response, text_response
from apid.core.routes import Operation
from apid.node import stubs
from apid.node.gossip import Gossip, Members
from apid.node.servers import ServerList, api_address
from lictor import telemetry
from lictor.config.runtime import RuntimeConfig
from lictor.pb.lictor.v1 import forward_pb2
from lictor.rpc import CHANNEL_OPTIONS

log = logging.getLogger("agent.http")

MAX_HOPS = 4
CONNECT_TIMEOUT_S = 2.0
CALL_TIMEOUT_S = 60.0
# Blocking queries may take their wait time, its jitter and then some.
BLOCKING_GRACE_S = 30.0
MAX_CHANNELS = 256
REBALANCE_MIN_S, REBALANCE_MAX_S = 120.0, 180.0
# A lost server is noticed within about a second, also by requests that wait on it.
KEEPALIVE_OPTIONS = (
    *CHANNEL_OPTIONS,
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_CLIENT_REQUESTS = telemetry.counter("client.rpc")
REMOTE_UNREACHABLE = "Remote DC has no server currently reachable"


Call = Callable[[grpc.aio.Channel, forward_pb2.HttpRequest, Request], Awaitable[Response]]


class Forwarder:
    """Knows the servers of this and other datacenters and keeps channels to those in use."""

    def __init__(self, config: RuntimeConfig, gossip: Gossip) -> None:
        self._datacenter = config.datacenter
        self._server_mode = config.server_mode
        self._node_name = config.node_name
        self._max_wait_s = config.max_query_time_ns / 1e9
        self._gossip = gossip
        self._random = random.Random()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._local_servers = ServerList(self._random)
        self._remote_servers: dict[str, ServerList] = {}
        self._rebalance_at_s = 0.0
        gossip.lan.listeners.append(self._update_local)
        gossip.wan.listeners.append(self._update_remote)

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    def elsewhere(self, request: Request, operation: Operation) -> asyncio.Future[Response] | None:
        """The answer of another apid when this request is not for this one, else None."""
        if not operation.forwarded:
            return None
        datacenter = request.get("dc") if request.query else ""
        if datacenter and datacenter != self._datacenter:
            return asyncio.ensure_future(self._guarded(request, operation, datacenter))
        if not self._server_mode:
            return asyncio.ensure_future(self._guarded(request, operation, ""))
        return None

    async def _guarded(self, request: Request, operation: Operation, datacenter: str) -> Response:
        """A failure to pass on shows as the endpoint's own failures do."""
        try:
            return await self.send(request, datacenter)
        except HttpError as error:
            from apid.node.reading import FAILED_META

            headers = list(FAILED_META) if operation.meta_on_error else None
            return text_response(error.status, str(error), headers)

    async def send(self, request: Request, datacenter: str = "") -> Response:
        """The answer of a server of the datacenter (own one when empty). Errors: HttpError."""
        return await self._send(request, datacenter, self._call)

    async def send_endless(self, request: Request, datacenter: str = "") -> Response:
        """The same for an answer without end: its stream breaks off with HttpError when the server is lost."""
        return await self._send(request, datacenter, self._call_endless)

    async def _send(self, request: Request, datacenter: str, call: Call) -> Response:
        if request.hops >= MAX_HOPS:
            raise HttpError("request was passed on too often")
        own = not datacenter or datacenter == self._datacenter
        if own or not self._server_mode:
            servers = self._local_servers
            if not servers:
                raise NoServers()
        else:
            servers = self._servers_of(datacenter)
            telemetry.counter("rpc.cross-dc", labels=(("datacenter", datacenter),)).increment()
        if not self._server_mode:
            _CLIENT_REQUESTS.increment()
        self._maybe_rebalance()
        message = self._message(request)
        last_error = ""
        for address in servers.in_order():
            try:
                channel = await self._ready_channel(address)
            except TimeoutError:
                last_error = f"dial tcp {address}: i/o timeout"
                self._failed(servers, address)
                continue
            try:
                return await call(channel, message, request)
            except grpc.aio.AioRpcError as error:
                last_error = error.details() or error.code().name
                self._failed(servers, address)
                if request.method not in ("GET", "HEAD"):
                    raise HttpError(f"rpc error making call: {last_error}") from None
                log.debug("server did not answer: address=%s error=%s", address, last_error)
        if own or not self._server_mode:
            raise HttpError(f"rpc error getting client: failed to get conn: {last_error}")
        raise HttpError(REMOTE_UNREACHABLE)

    def _failed(self, servers: ServerList, address: str) -> None:
        servers.failed(address)
        if not self._server_mode:
            telemetry.counter("client.rpc.failed", labels=(("server", address),)).increment()

    def _servers_of(self, datacenter: str) -> ServerList:
        servers = self._remote_servers.get(datacenter)
        if servers:
            return servers
        known = any(member.tags.get("dc") == datacenter for member in self._gossip.wan.members.values())
        if known:
            raise HttpError(REMOTE_UNREACHABLE)
        raise NoPathToDatacenter()

    def _message(self, request: Request) -> forward_pb2.HttpRequest:
        target = request.target
        path, _, query = target.partition(b"?")
        if b"near=_agent" in query:
            query = query.replace(b"near=_agent", b"near=" + self._node_name.encode())
        return forward_pb2.HttpRequest(
            method=request.method,
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=[
                forward_pb2.Header(name=name.decode("latin-1"), value=value.decode("latin-1"))
                for name, value in request.headers
                if name not in _NOT_PASSED_ON
            ],
            body=request.body,
            remote_address=request.remote_address,
            hops=request.hops + 1,
        )

    async def _call(self, channel: grpc.aio.Channel, message: forward_pb2.HttpRequest, request: Request) -> Response:
        timeout_s = CALL_TIMEOUT_S
        if request.query and request.has("index"):
            timeout_s = self._max_wait_s * 17 / 16 + BLOCKING_GRACE_S
        answer = await stubs.forward(channel).Handle(message, timeout=timeout_s)
        headers = [(header.name.encode("latin-1"), header.value.encode("latin-1")) for header in answer.headers]
        return Response(answer.status, answer.body, headers=headers)

    async def _call_endless(
        self, channel: grpc.aio.Channel, message: forward_pb2.HttpRequest, request: Request
    ) -> Response:
        call = stubs.forward(channel).HandleEndless(message)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await call.read()
        except TimeoutError:
            call.cancel()
            raise HttpError("rpc error making call: the server does not answer") from None
        if answer is grpc.aio.EOF:
            raise HttpError("rpc error making call: the server gave no answer")
        headers = [(header.name.encode("latin-1"), header.value.encode("latin-1")) for header in answer.headers]
        return Response(answer.status, answer.body, headers=headers, stream=_pieces(call))

    async def _ready_channel(self, address: str) -> grpc.aio.Channel:
        """A connected channel, so that a request is not sent to a server that is known to be away."""
        channel = self._channels.get(address)
        if channel is None:
            while len(self._channels) >= MAX_CHANNELS:
                oldest = next(iter(self._channels))
                await self._channels.pop(oldest).close()
            channel = self._channels[address] = grpc.aio.insecure_channel(address, options=KEEPALIVE_OPTIONS)
        if channel.get_state(try_to_connect=True) is not grpc.ChannelConnectivity.READY:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await channel.channel_ready()
        return channel

    def _update_local(self) -> None:
        self._local_servers.update(_addresses(self._gossip.lan, self._datacenter))

    def _update_remote(self) -> None:
        datacenters = {member.tags.get("dc", "") for member in self._gossip.wan.members.values()}
        for gone in self._remote_servers.keys() - datacenters:
            del self._remote_servers[gone]
        for datacenter in datacenters - {self._datacenter, ""}:
            servers = self._remote_servers.setdefault(datacenter, ServerList(self._random))
            servers.update(_addresses(self._gossip.wan, datacenter))

    def _maybe_rebalance(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._rebalance_at_s:
            self._rebalance_at_s = now_s + self._random.uniform(REBALANCE_MIN_S, REBALANCE_MAX_S)
            self._local_servers.shuffle()


# Compression, indentation and connection handling are between this apid and its own client.
_NOT_PASSED_ON = frozenset((b"accept-encoding", b"connection", b"host", b"content-length", b"transfer-encoding"))


async def _pieces(call: Any) -> AsyncIterator[bytes]:
    """The bodies of a stream's further messages. Errors: HttpError when it breaks off."""
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            yield message.body
    except grpc.aio.AioRpcError as error:
        raise HttpError(f"rpc error making call: {error.details() or error.code().name}") from None
    finally:
        call.cancel()


def _addresses(members: Members, datacenter: str) -> list[str]:
    return [api_address(member) for member in members.alive_servers(datacenter)]
