"""The proxy's listeners: connections of other proxies to the application, and of the application to upstreams."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from lictor import logs
from lictor.connect.proxy.agent import Agent, AgentError
from lictor.connect.proxy.identity import Identity, peer_uri, serial_of
from lictor.connect.proxy.settings import DEFAULT_BIND, Public, Settings, Upstream, host_and_port

HANDSHAKE_TIMEOUT_S = 10.0
CHUNK_BYTES = 64 << 10
MAX_CONNECTIONS = 10_000
INDEX = ("index", "X-Consul-Index")

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
log = logging.getLogger("proxy")


class Refused(Exception):
    """A connection that is not made, or not let in."""


class Proxy:
    """Serves one service's settings, which may change."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._identity = Identity()
        self._service = ""
        self._wanted: Settings | None = None
        self._listeners: dict[Public | Upstream, asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, settings: Settings) -> None:
        """Serve this from now on; what is unchanged goes on undisturbed."""
        self._wanted = settings
        if not self._service:
            self._service = settings.service
            leaf = f"/v1/agent/connect/ca/leaf/{quote(settings.service, safe='')}"
            self._agent.follow(leaf, INDEX, lambda found: self._renew(self._identity.take_leaf, found), _failed)
            roots = "/v1/agent/connect/ca/roots"
            self._agent.follow(roots, INDEX, lambda found: self._renew(self._identity.take_roots, found), _failed)
        self._apply_soon()

    async def close(self) -> None:
        """End listeners and connections."""
        self._agent.stop()
        for server in self._listeners.values():
            server.close()
        for task in (*self._tasks, *self._connections):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._connections, return_exceptions=True)

    def _renew(self, take: Callable[[Any], None], found: Any) -> None:
        was_ready = self._identity.ready
        try:
            take(found)
        except (ssl.SSLError, OSError, KeyError) as error:
            log.error("Failed to use certificates", extra=logs.fields(error=error))
            return
        if self._identity.ready and not was_ready:
            log.info("Proxy loaded config and ready to serve")
            log.info("Parsed TLS identity", extra=logs.fields(uri=self._identity.uri))
            self._apply_soon()

    def _apply_soon(self) -> None:
        task = asyncio.get_running_loop().create_task(self._apply())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _apply(self) -> None:
        async with self._changing:
            settings = self._wanted
            if settings is None or not self._identity.ready:
                return
            wanted: list[Public | Upstream] = [*settings.upstreams, *([settings.public] if settings.public else [])]
            for gone in self._listeners.keys() - set(wanted):
                self._listeners.pop(gone).close()
                log.info("listener stopped", extra=logs.fields(listener=_name(gone)))
            for place in wanted:
                if place not in self._listeners:
                    await self._listen(place)

    async def _listen(self, place: Public | Upstream) -> None:
        name = _name(place)
        if place.port < 1:
            log.error("upstream has no local_bind_port. Can't start upstream.", extra=logs.fields(upstream=name))
            return
        log.info(
            "Starting listener",
            extra=logs.fields(listener=name, bind_addr=f"{place.bind or DEFAULT_BIND}:{place.port}"),
        )

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            if len(self._connections) >= MAX_CONNECTIONS:
                writer.close()
                return
            self._connections.add(task)
            try:
                if isinstance(place, Public):
                    await self._take_in((reader, writer), place)
                else:
                    await self._lead_out((reader, writer), place)
            except asyncio.CancelledError:
                return  # The proxy ends.
            finally:
                self._connections.discard(task)
                writer.close()

        try:
            self._listeners[place] = await asyncio.start_server(accepted, place.bind or DEFAULT_BIND, place.port)
        except OSError as error:
            log.error("failed to start listener", extra=logs.fields(listener=name, error=error))

    async def _take_in(self, outside: Stream, public: Public) -> None:
        """From another proxy to the application, when its certificate and the intentions say so."""
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await outside[1].start_tls(self._identity.server_context())
                certificate = outside[1].get_extra_info("peercert") or {}
                uri, serial = peer_uri(certificate), serial_of(certificate)
                allowed, reason = await self._agent.authorized(self._service, uri, serial)
            if not allowed:
                raise Refused(f"connection refused: {reason}")
            async with asyncio.timeout(public.timeout_s):
                application = await asyncio.open_connection(*host_and_port(public.application))
        except (OSError, TimeoutError, AgentError, Refused, ValueError) as error:
            log.error("failed to take in a connection", extra=logs.fields(error=str(error) or type(error).__name__))
            return
        await join(outside, application)

    async def _lead_out(self, application: Stream, upstream: Upstream) -> None:
        """From the application to a proxy of the upstream that shows the right identity."""
        try:
            async with asyncio.timeout(upstream.timeout_s):
                target = await self._agent.resolve(upstream, self._identity.trust_domain)
                outside = await asyncio.open_connection(
                    target.host, target.port, ssl=self._identity.client_context(), server_hostname=""
                )
        except (OSError, TimeoutError, AgentError) as error:
            log.error("failed to dial", extra=logs.fields(error=str(error) or type(error).__name__))
            return
        shown = peer_uri(outside[1].get_extra_info("peercert") or {})
        if shown != target.uri:
            mismatch = f"peer certificate mismatch got {shown}, want {target.uri}"
            log.error("failed to dial", extra=logs.fields(error=mismatch))
            outside[1].close()
            return
        await join(application, outside)


async def join(one: Stream, other: Stream) -> None:
    """Copy both ways until either side ends, then end both."""
    both: list[Awaitable[None]] = [_copy(one[0], other[1]), _copy(other[0], one[1])]
    tasks = [asyncio.ensure_future(each) for each in both]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _, writer in (one, other):
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError) as error:
        log.debug("connection failed", extra=logs.fields(error=error))


def _name(place: Public | Upstream) -> str:
    return "public listener" if isinstance(place, Public) else str(place)


def _failed(error: str) -> None:
    log.error("watch failed, will be tried again", extra=logs.fields(error=error))
