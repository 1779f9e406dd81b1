"""Connections from listening sockets to the protocol; no web server's life cycle in between.

With the fast lane a connection's requests go to the dispatcher directly, without it to a FastAPI application that
is generated from the same routes.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from apid.core.dispatcher import Dispatcher
from apid.web.protocol import FastLaneProtocol, Lane, LimitedProtocol

# Go's server keeps idle connections for ever; so long is as good.
KEEP_ALIVE_S = 24 * 3600
DATE_INTERVAL_S = 1.0
STOP_GRACE_S = 0.1


async def _no_application(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the fast lane answers every request itself")


class HttpServer:
    """Serves one dispatcher on any number of sockets."""

    def __init__(self, dispatcher: Dispatcher, max_connections_per_client: int, fast_lane: bool) -> None:
        self.lane = Lane(dispatcher, max_connections_per_client)
        self._fast_lane = fast_lane
        application: Any = _no_application
        if not fast_lane:
            from apid.web.openapi import build_application

            application = build_application(dispatcher)
        self._config = Config(
            application,
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
        self._date_task: asyncio.Task[None] | None = None

    async def listen(self, sockets: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        protocol = FastLaneProtocol if self._fast_lane else LimitedProtocol

        def connect() -> asyncio.Protocol:
            return protocol(self.lane, self._config, self._state, loop)

        for listener in sockets:
            if listener.family == socket.AF_UNIX:
                self._servers.append(await loop.create_unix_server(connect, sock=listener))
            else:
                self._servers.append(await loop.create_server(connect, sock=listener))
        if not self._fast_lane and self._date_task is None:
            self._date_task = loop.create_task(self._keep_date())

    async def _keep_date(self) -> None:
        while True:
            name, _, value = self.lane.date.get().strip().partition(b": ")
            self._state.default_headers = [(name, value)]
            await asyncio.sleep(DATE_INTERVAL_S)

    async def stop(self) -> None:
        """Closes the sockets, gives answers that are due a moment to go out, then closes what is left."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.connections:
            await asyncio.sleep(STOP_GRACE_S)
        for connection in list(self._state.connections):
            connection.transport.abort()
        if self._date_task is not None:
            self._date_task.cancel()
