"""The TCP listener: length-prefixed messages, pipelined (RFC 7766).

Limits: connections in all, questions waiting per connection, an idle timeout, and reading stops while a client does
not take its answers. Beyond the number of connections the newest is closed at once, with a line in the log.
"""

from __future__ import annotations

import asyncio
import logging
from typing import cast

from dnsd.core.message import Transport
from dnsd.engine import Engine, Waiting

log = logging.getLogger("agent.dns")

MAX_CONNECTIONS = 1024
MAX_WAITING_PER_CONNECTION = 32
IDLE_TIMEOUT_S = 8.0
PATIENCE_S = 10.0
BACKLOG = 256
LENGTH_BYTES = 2
TURNS_TO_CLOSE = 3


class TcpListener:
    """Answers questions on one address."""

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        self.engine = engine
        self._host, self._port = host, port
        self._server: asyncio.Server | None = None
        self.connections: set[Connection] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self.answered = 0
        self.refused = 0

    async def start(self) -> int:
        """Listen; the port. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), self._host, self._port, backlog=BACKLOG, reuse_address=True
        )
        self._sweeper = loop.create_task(self._sweep())
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.abort()
        # An aborted transport closes its socket in the loop's next turns.
        for _ in range(TURNS_TO_CLOSE):
            await asyncio.sleep(0)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(IDLE_TIMEOUT_S / 4)
            oldest = loop.time() - IDLE_TIMEOUT_S
            for connection in tuple(self.connections):
                if connection.last_s < oldest and not connection.waiting:
                    connection.abort()


class Connection(asyncio.Protocol):
    """One client's stream of questions."""

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._client_address = ""
        self._is_writable = True
        self.waiting: set[asyncio.Task[None]] = set()
        self.last_s = asyncio.get_running_loop().time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._client_address = str(peer[0]) if peer else ""
        listener = self._listener
        if len(listener.connections) >= MAX_CONNECTIONS:
            listener.refused += 1
            log.warning("too many TCP connections, closing the newest: client=%s", self._client_address)
            self.abort()
            return
        listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.connections.discard(self)
        for task in tuple(self.waiting):
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self.last_s = asyncio.get_running_loop().time()
        self._buffer += data
        self._answer_buffered()

    def eof_received(self) -> bool:
        """The client sends no more; stay open while answers are due."""
        return bool(self.waiting)

    def pause_writing(self) -> None:
        self._is_writable = False
        self._gate()

    def resume_writing(self) -> None:
        self._is_writable = True
        self._gate()
        self._answer_buffered()

    def abort(self) -> None:
        """Close without waiting for anything."""
        if self._transport is not None:
            self._transport.abort()

    def _may_answer(self) -> bool:
        return self._is_writable and len(self.waiting) < MAX_WAITING_PER_CONNECTION

    def _gate(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._may_answer():
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _answer_buffered(self) -> None:
        buffer = self._buffer
        transport = self._transport
        if transport is None or len(buffer) < LENGTH_BYTES:
            return
        engine = self._listener.engine
        offset = 0
        with engine.source.view() as view:
            while self._may_answer() and len(buffer) - offset >= LENGTH_BYTES:
                length = int.from_bytes(buffer[offset : offset + LENGTH_BYTES], "big")
                end = offset + LENGTH_BYTES + length
                if len(buffer) < end:
                    break
                response = engine.answer(
                    bytes(buffer[offset + LENGTH_BYTES : end]), Transport.TCP, self._client_address, view
                )
                offset = end
                if isinstance(response, Waiting):
                    self._wait(response)
                elif response is not None:
                    self._send(response)
        del buffer[:offset]

    def _send(self, response: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(len(response).to_bytes(LENGTH_BYTES, "big") + response)
            self._listener.answered += 1

    def _wait(self, waiting: Waiting) -> None:
        task = asyncio.get_running_loop().create_task(self._finish(waiting))
        self.waiting.add(task)
        task.add_done_callback(self._finished)
        self._gate()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self.waiting.discard(task)
        self.last_s = asyncio.get_running_loop().time()
        self._gate()
        self._answer_buffered()

    async def _finish(self, waiting: Waiting) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                response = await self._listener.engine.resolve(waiting)
        except TimeoutError:
            response = self._listener.engine.failed(waiting)
        self._send(response)
