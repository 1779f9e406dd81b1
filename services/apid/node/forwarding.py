"""Passing requests on: from a client agent to a server, and to another datacenter through the WAN pool.

The other apid answers exactly what it would answer its own clients, so every endpoint exists once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from apid.core.dispatcher import READING_METHODS, log_failure
from apid.core.errors import AnyServerError, HttpError, NoPathToDatacenter, NoServers
from apid.core.message import AGENT_HEADER, FAILED_META, HeaderList, Request, Response, text_response
from apid.core.routes import Operation
from apid.core.translation import translated, translated_execution
from apid.node.agent_tokens import AgentTokens
from apid.node.batching import StreamDown
from apid.node.calls import calls_of_passed_on
from apid.node.gossip import Gossip, Members
from apid.node.server_link import ServerLink
from apid.node.servers import ServerList, api_address
from lictor import telemetry
from lictor.config.runtime import RuntimeConfig
from lictor.pb.lictor.v1 import forward_pb2, gossip_pb2

if TYPE_CHECKING:
    from lictor.tls.dialer import Dialer

log = logging.getLogger("agent.http")

MAX_HOPS = 4
CALL_TIMEOUT_S = 60.0
# Blocking queries may take their wait time, its jitter and then some.
BLOCKING_GRACE_S = 30.0
# Larger bodies do not go through the stream that short requests share.
MAX_SHARED_BODY_BYTES = 64 << 10
LARGE_ANSWERS = "/v1/snapshot"
# While no server answers, the list is gone through again after up to this part of the hold timeout, until that is over.
HOLD_JITTER_FRACTION = 16
REBALANCE_MIN_S, REBALANCE_MAX_S = 120.0, 180.0
SUCCESS = 200
USE_TLS_TAG = "use_tls"
QUERY_PATH, EXECUTE = "/v1/query/", "/execute"
_CLIENT_REQUESTS = telemetry.counter("client.rpc")
REMOTE_UNREACHABLE = "Remote DC has no server currently reachable"
# The headers that endpoints look at; compression and connections are between this apid and its own client.
PASSED_ON = frozenset(
    (
        b"accept",
        b"authorization",
        b"cache-control",
        b"content-type",
        b"last-event-id",
        b"x-consul-namespace",
        b"x-consul-token",
        b"x-forwarded-for",
    )
)


Call = Callable[[ServerLink, forward_pb2.HttpRequest, Request], Awaitable[Response]]


class Forwarder:
    """Knows the servers of this and other datacenters and keeps channels to those in use."""

    def __init__(self, config: RuntimeConfig, gossip: Gossip, tokens: AgentTokens | None = None) -> None:
        self._datacenter = config.datacenter
        self._server_mode = config.server_mode
        self._node_name = config.node_name
        self._max_wait_s = config.max_query_time_ns / 1e9
        self._gossip = gossip
        self._tokens = tokens
        self._random = random.Random()
        self._hold_timeout_s = config.performance.rpc_hold_timeout_ns / 1e9
        self._translate = config.http.translate_wan_addrs
        self._links: dict[str, ServerLink] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._local_servers = ServerList(self._random)
        self._remote_servers: dict[str, ServerList] = {}
        self._rebalance_at_s = 0.0
        self.dialer: Dialer | None = None
        """What stands between this apid and the servers, where TLS is configured."""
        gossip.lan.listeners.append(self._update_local)
        gossip.wan.listeners.append(self._update_remote)

    async def close(self) -> None:
        for link in self._links.values():
            await link.close()
        self._links.clear()
        await asyncio.gather(*self._closing, return_exceptions=True)

    def elsewhere(self, request: Request, operation: Operation) -> asyncio.Future[Response] | None:
        """The answer of another apid when this request is not for this one, else None."""
        if not operation.forwarded:
            return None
        datacenter = request.get("dc") if request.query and not operation.dc_in_body else ""
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
            status, text = error.after_calls(request.calls)
            log_failure(request, text, status)
            headers = list(FAILED_META) if operation.meta_on_error else None
            return text_response(status, text, headers)

    async def send(self, request: Request, datacenter: str = "", patient: bool = True, own: bool = False) -> Response:
        """The answer of a server of the datacenter (own one when empty). Errors: HttpError.

        Unless `patient`, each server is tried once only. `own`: a question of ours, not the client's: refusals come as
        the server gives them.
        """
        return await self._send(request, datacenter, self._call, patient, own)

    async def send_endless(self, request: Request, datacenter: str = "") -> Response:
        """The same for an answer without end: its stream breaks off with HttpError when the server is lost."""
        return await self._send(request, datacenter, self._call_endless, own=True)

    async def _send(
        self, request: Request, datacenter: str, call: Call, patient: bool = True, own: bool = False
    ) -> Response:
        if request.hops >= MAX_HOPS:
            raise HttpError("request was passed on too often")
        here = not datacenter or datacenter == self._datacenter or not self._server_mode
        if here:
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
        message.calls = 0 if own else calls_of_passed_on(request)
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + (self._hold_timeout_s if here and patient else 0.0)
        while True:
            response, failure = await self._ask_in_turn(servers, message, request, call)
            if response is not None:
                break
            if loop.time() >= deadline_s:
                if here:
                    raise HttpError(f"rpc error getting client: failed to get conn: {failure}")
                raise AnyServerError(REMOTE_UNREACHABLE)
            await asyncio.sleep(self._random.uniform(0, self._hold_timeout_s / HOLD_JITTER_FRACTION))
        if self._translate and not request.internal:
            self._translate_answer(request, response, datacenter)
        return response

    async def _ask_in_turn(
        self, servers: ServerList, message: forward_pb2.HttpRequest, request: Request, call: Call
    ) -> tuple[Response | None, str]:
        """The answer of the first server that gives one, or why the last one did not.

        Errors: HttpError for a write that a server may have carried out before it was lost.
        """
        failure = "no servers"
        for address in servers.in_order():
            link = self._links.get(address)
            if link is None:
                link = self._links[address] = ServerLink(address, self._target(address))
            try:
                await link.ready()
                return await call(link, message, request), ""
            except StreamDown as down:
                failure = (self.dialer.failure(address) if self.dialer is not None else "") or str(down)
                self._failed(servers, address)
                if down.sent and request.method not in READING_METHODS:
                    raise HttpError(f"rpc error making call: {failure}") from None
                log.debug("server did not answer: address=%s error=%s", address, failure)
            except TimeoutError:
                raise HttpError("rpc error making call: i/o timeout") from None
        return None, failure

    def _target(self, address: str) -> str:
        """What gRPC is to connect to for a server, "" for the server itself."""
        if self.dialer is None:
            return ""
        server = self._server_at(address)
        return self.dialer.target(address, server.tags.get("dc", "") if server is not None else self._datacenter)

    def speaks_tls(self, address: str) -> bool:
        """Whether the server whose apid is at this address says so in gossip."""
        server = self._server_at(address)
        return server is not None and USE_TLS_TAG in server.tags

    def _server_at(self, address: str) -> gossip_pb2.Member | None:
        for members in (self._gossip.lan, self._gossip.wan):
            for member in members.alive_servers():
                if api_address(member) == address:
                    return member
        return None

    def _translate_answer(self, request: Request, response: Response, datacenter: str) -> None:
        """`translate_wan_addrs`: only the agent that the client asked does it."""
        if response.status != SUCCESS:
            return
        if request.path.startswith(QUERY_PATH) and request.path.endswith(EXECUTE):
            response.body = translated_execution(response.body, self._datacenter)
        elif datacenter and datacenter != self._datacenter:
            response.body = translated(request.path, response.body)

    def _failed(self, servers: ServerList, address: str) -> None:
        servers.failed(address)
        if not self._server_mode:
            telemetry.counter("client.rpc.failed", labels=(("server", address),)).increment()

    def _servers_of(self, datacenter: str) -> ServerList:
        servers = self._remote_servers.get(datacenter)
        if servers:
            return servers
        if datacenter in self._gossip.wan.datacenters():
            raise AnyServerError(REMOTE_UNREACHABLE)
        raise NoPathToDatacenter()

    def _message(self, request: Request) -> forward_pb2.HttpRequest:
        path, _, query = request.target.partition(b"?")
        agent = (request.asking_agent() or self._node_name).encode().decode("latin-1")
        headers = [
            forward_pb2.Header(name=name.decode("latin-1"), value=value.decode("latin-1"))
            for name, value in request.headers
            if name in PASSED_ON
        ]
        headers.append(forward_pb2.Header(name=AGENT_HEADER.decode(), value=agent))
        default = self._tokens.default if self._tokens is not None else ""
        if default and not request.hops and not request.token():
            # Where it arrives nobody else's default token is put in its place.
            headers.append(forward_pb2.Header(name="x-consul-token", value=default))
        return forward_pb2.HttpRequest(
            method=request.method,
            path=path.decode("latin-1"),
            query=query.decode("latin-1"),
            headers=headers,
            body=request.body,
            remote_address=request.remote_address,
            hops=request.hops + 1,
        )

    async def _call(self, link: ServerLink, message: forward_pb2.HttpRequest, request: Request) -> Response:
        blocking = bool(request.query) and (request.has("index") or request.has("hash"))
        if blocking:
            timeout_s = self._max_wait_s * 17 / 16 + BLOCKING_GRACE_S
            answer = await link.ask_alone(message, timeout_s)
        elif len(message.body) > MAX_SHARED_BODY_BYTES or request.path.startswith(LARGE_ANSWERS):
            answer = await link.ask_alone(message, CALL_TIMEOUT_S)
        else:
            answer = await link.ask(message, CALL_TIMEOUT_S)
        return Response(answer.status, answer.body, headers=_headers(answer))

    async def _call_endless(self, link: ServerLink, message: forward_pb2.HttpRequest, request: Request) -> Response:
        call = link.open_endless(message)
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answer = await call.read()
        except TimeoutError:
            call.cancel()
            raise
        except grpc.aio.AioRpcError as error:
            raise StreamDown(error.details() or error.code().name, sent=True) from None
        if answer is grpc.aio.EOF:
            raise StreamDown("the server gave no answer", sent=True)
        return Response(answer.status, answer.body, headers=_headers(answer), stream=_pieces(call))

    def _update_local(self) -> None:
        self._local_servers.update(_addresses(self._gossip.lan, self._datacenter))
        self._close_unused()

    def _update_remote(self) -> None:
        datacenters = self._gossip.wan.datacenters()
        for gone in self._remote_servers.keys() - datacenters:
            del self._remote_servers[gone]
        for datacenter in datacenters - {self._datacenter}:
            servers = self._remote_servers.setdefault(datacenter, ServerList(self._random))
            servers.update(_addresses(self._gossip.wan, datacenter))
        self._close_unused()

    def _close_unused(self) -> None:
        """Cuts the links to servers that are gone, so that whoever waits on one is sent to another at once."""
        lists = (self._local_servers, *self._remote_servers.values())
        used = {address for servers in lists for address in servers.in_order()}
        for address in self._links.keys() - used:
            task = asyncio.ensure_future(self._links.pop(address).close())
            if self.dialer is not None:
                self.dialer.forget(address)
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _maybe_rebalance(self) -> None:
        now_s = time.monotonic()
        if now_s >= self._rebalance_at_s:
            self._rebalance_at_s = now_s + self._random.uniform(REBALANCE_MIN_S, REBALANCE_MAX_S)
            self._local_servers.shuffle()


def _headers(answer: forward_pb2.HttpResponse) -> HeaderList:
    return [(header.name.encode("latin-1"), header.value.encode("latin-1")) for header in answer.headers]


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
