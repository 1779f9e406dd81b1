"""Connections from listening sockets to the protocol; no web server's life cycle in between.

With the fast lane a connection's requests go to the dispatcher directly, without it to a FastAPI application that
is generated from the same routes.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from apid.core.dispatcher import Dispatcher
from apid.web.limits import EXPIRY_INTERVAL_S
from apid.web.protocol import Answering, Connection, Lane

# Go's server keeps idle connections for ever; so long is as good.
KEEP_ALIVE_S = 24 * 3600
STOP_GRACE_S = 0.1


async def _no_application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("connections answer through their lane")


class HttpServer:
    """Serves one dispatcher on any number of sockets."""

    def __init__(self, dispatcher: Dispatcher, max_connections_per_client: int, fast_lane: bool) -> None:
        answer: Answering | None = None
        if not fast_lane:
            from apid.web.asgi import AsgiBridge
            from apid.web.openapi import build_application

            answer = AsgiBridge(build_application(dispatcher)).answer
        self.lane = Lane(dispatcher, max_connections_per_client, answer)
        self._config = Config(
            _no_application,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []
        self._secured: list[tuple[socket.socket, asyncio.Server]] = []
        """Those over TLS, each with a socket that keeps its port open while it is replaced."""
        self._handshake_timeout_s = 5.0
        self._expiry_task: asyncio.Task[None] | None = None

    async def listen(
        self, sockets: list[socket.socket], tls: ssl.SSLContext | None = None, handshake_timeout_s: float = 5.0
    ) -> None:
        """Accepts connections on listening sockets, over TLS when a context is given."""
        self._handshake_timeout_s = handshake_timeout_s
        for listener in sockets:
            if tls is None:
                self._servers.append(await self._serve(listener, {}))
            else:
                self._secured.append((listener, await self._serve_secured(listener, tls)))
        if self._expiry_task is None:
            self._expiry_task = asyncio.get_running_loop().create_task(self._expire_slow())

    async def renew(self, tls: ssl.SSLContext) -> None:
        """New connections on the secured ports use this context from now on; open ones stay as they are."""
        for number, (listener, server) in enumerate(self._secured):
            self._secured[number] = (listener, await self._serve_secured(listener, tls))
            server.close()

    async def _serve_secured(self, listener: socket.socket, tls: ssl.SSLContext) -> asyncio.Server:
        # A server closes its socket when it ends, but the port is to stay open.
        secured = {"ssl": tls, "ssl_handshake_timeout": self._handshake_timeout_s}
        return await self._serve(listener.dup(), secured)

    async def _serve(self, listener: socket.socket, secured: dict[str, Any]) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def connect() -> asyncio.Protocol:
            return Connection(self.lane, self._config, self._state, loop)

        if listener.family == socket.AF_UNIX:
            return await loop.create_unix_server(connect, sock=listener, **secured)
        return await loop.create_server(connect, sock=listener, **secured)

    async def _expire_slow(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(EXPIRY_INTERVAL_S)
            now_s = loop.time()
            for connection in self.connections():
                connection.expire(now_s)

    def connections(self) -> list[Connection]:
        """The connections that are open now."""
        return [connection for connection in self._state.connections if isinstance(connection, Connection)]

    async def stop(self) -> None:
        """Closes the sockets, gives answers that are due a moment to go out, then closes what is left."""
        for server in self._servers:
            server.close()
        for listener, server in self._secured:
            server.close()
            listener.close()
        for connection in self.connections():
            connection.shutdown()
        if self._state.connections:
            await asyncio.sleep(STOP_GRACE_S)
        for connection in self.connections():
            connection.transport.abort()
        if self._expiry_task is not None:
            self._expiry_task.cancel()
