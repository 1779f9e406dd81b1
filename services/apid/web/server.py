"""Connections from listening sockets to the protocol; no web server's life cycle in between.

With the fast lane a connection's requests go to the dispatcher directly, without it to a FastAPI application that
is generated from the same routes.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from apid.core.dispatcher import Dispatcher
from apid.web.limits import EXPIRY_INTERVAL_S
from apid.web.protocol import Answering, Connection, Lane

log = logging.getLogger("agent.http")

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
        self._expiry_task: asyncio.Task[None] | None = None

    async def listen(
        self,
        sockets: list[socket.socket],
        tls: Callable[[], ssl.SSLContext] | None = None,
        handshake_timeout_s: float = 5.0,
    ) -> None:
        """Accepts connections on listening sockets; over TLS when there is what makes each connection's context."""
        loop = asyncio.get_running_loop()

        def connect() -> asyncio.Protocol:
            return Connection(self.lane, self._config, self._state, loop)

        made = connect if tls is None else _secured(connect, tls, handshake_timeout_s)
        for listener in sockets:
            if listener.family == socket.AF_UNIX:
                self._servers.append(await loop.create_unix_server(made, sock=listener))
            else:
                self._servers.append(await loop.create_server(made, sock=listener))
        if self._expiry_task is None:
            self._expiry_task = loop.create_task(self._expire_slow())

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
        for connection in self.connections():
            connection.shutdown()
        if self._state.connections:
            await asyncio.sleep(STOP_GRACE_S)
        for connection in self.connections():
            connection.transport.abort()
        if self._expiry_task is not None:
            self._expiry_task.cancel()


def _secured(
    connect: Callable[[], asyncio.Protocol], tls: Callable[[], ssl.SSLContext], handshake_timeout_s: float
) -> Callable[[], asyncio.Protocol]:
    """The same over TLS."""
    from lictor.tls.faults import described
    from lictor.tls.layer import TlsLayer

    def ended(error: BaseException | None) -> None:
        if error is not None:
            log.debug("TLS handshake error: error=%s", described(error))

    return lambda: TlsLayer(tls(), connect(), handshake_timeout_s, ended)
