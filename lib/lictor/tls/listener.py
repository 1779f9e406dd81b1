"""What stands in front of a port between agents: TLS ends here, and what is inside goes on to a server on a Unix
socket.

As on Consul's RPC port the first byte tells what a connection wants to be: a TLS record, plain HTTP/2, or, after a byte
of its own, TLS of a client that has no certificate yet. So servers can be moved to TLS one by one while they run.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from lictor.tls.faults import described
from lictor.tls.layer import TlsLayer
from lictor.tls.quiet import QuietLog
from lictor.tls.relay import Relay

TLS_RECORD = 0x16
"""RFC 8446 5.1: a record of the handshake."""
PLAIN = ord("P")
"""RFC 9113 3.4: the preface of HTTP/2."""
INSECURE_TLS = 0x07
"""Consul 1.7: pool.RPCTLSInsecure."""
BACKLOG = 1024
ACCEPT_BATCH = 64
OUT_OF_DESCRIPTORS_PAUSE_S = 0.2

log = logging.getLogger("agent.server.rpc")


class Refused(Exception):
    """This connection is not served; the text says why."""


class GuardedPort:
    """A port whose connections are handed to a server on a Unix socket."""

    def __init__(
        self,
        inside: str,
        context: Callable[[], ssl.SSLContext],
        plain_allowed: Callable[[], bool],
        handshake_timeout_s: float,
        admits: Callable[[Mapping[str, Any]], str] | None = None,
    ) -> None:
        """`inside`: path of the server's socket. `admits` says what is wrong with a verified certificate, if it is."""
        self._inside = inside
        self._context = context
        self._plain_allowed = plain_allowed
        self._handshake_timeout_s = handshake_timeout_s
        self._admits = admits
        self._insecure: tuple[str, Callable[[], ssl.SSLContext]] | None = None
        self.max_connections_per_client = 0
        """0: no limit."""
        self._listener: socket.socket | None = None
        self._relays: set[Relay] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: Counter[str] = Counter()
        self._quiet = QuietLog(log)

    def serve_insecure(self, inside: str, context: Callable[[], ssl.SSLContext]) -> None:
        """Where clients without a certificate go."""
        self._insecure = (inside, context)

    def listen(self, host: str, port: int) -> int:
        """Opens the port; the port that it became. Errors: OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener.bind((host, port))
            listener.listen(BACKLOG)
        except OSError:
            listener.close()
            raise
        listener.setblocking(False)
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept)
        return int(listener.getsockname()[1])

    async def close(self) -> None:
        """Ends the port and every connection on it."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for relay in tuple(self._relays):
            relay.abort()

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(ACCEPT_BATCH):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("failed to accept RPC conn: error=%s", described(error))
                self._pause()
                return
            connection.setblocking(False)
            host, source = str(address[0]), f"from={address[0]}:{address[1]}"
            if 0 < self.max_connections_per_client <= self._open[host]:
                text = "rejecting RPC conn from because rpc_max_conns_per_client exceeded"
                self._quiet.warn(host, text, f"{text}: conn={source}")
                connection.close()
                continue
            self._open[host] += 1
            task = asyncio.get_running_loop().create_task(self._begin(connection, host, source))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _pause(self) -> None:
        """Out of descriptors: the connection waits until some are free, instead of keeping the loop busy."""
        assert self._listener is not None
        loop, listener = asyncio.get_running_loop(), self._listener

        def again() -> None:
            if listener.fileno() >= 0:
                loop.add_reader(listener.fileno(), self._accept)

        loop.remove_reader(listener.fileno())
        loop.call_later(OUT_OF_DESCRIPTORS_PAUSE_S, again)

    async def _begin(self, connection: socket.socket, host: str, source: str) -> None:
        def ended(_failure: Exception | None) -> None:
            self._relays.discard(relay)
            self._open[host] -= 1
            if self._open[host] <= 0:
                del self._open[host]

        relay = Relay(ended)
        self._relays.add(relay)
        served = False
        try:
            await self._join(relay, connection)
            served = True
        except Refused as error:
            self._quiet.warn(host, str(error), f"{error}: conn={source}")
        except (OSError, ssl.SSLError, TimeoutError) as error:
            text = described(error)
            self._quiet.warn(host, text, f'failed to read byte: conn={source} error="{text}"')
        finally:
            if relay.near.transport is None:
                connection.close()
            if not served:
                relay.abort()

    async def _join(self, relay: Relay, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._handshake_timeout_s
        async with asyncio.timeout(self._handshake_timeout_s):
            first = await _first_byte(connection)
        if first is None:
            relay.end()
            return
        inside, context = self._destination(first)
        if first == INSECURE_TLS:
            connection.recv(1)
        # From here on the loop has the socket.
        connection = socket.socket(fileno=connection.detach())
        if context is None:
            await loop.connect_accepted_socket(lambda: relay.near, connection)
        else:
            left_s = max(deadline_s - loop.time(), 0.1)
            shaken: asyncio.Future[None] = loop.create_future()
            layer = TlsLayer(context, relay.near, left_s, lambda error: _settle(shaken, error))
            await loop.connect_accepted_socket(lambda: layer, connection)
            await shaken
            self._admit(first, relay.near.transport)
        await loop.create_unix_connection(lambda: relay.far, inside)

    def _destination(self, first: int) -> tuple[str, ssl.SSLContext | None]:
        """Where a connection goes, and its context. Errors: Refused."""
        if first == TLS_RECORD:
            return self._inside, self._context()
        if first == INSECURE_TLS and self._insecure is not None:
            inside, context = self._insecure
            return inside, context()
        if not self._plain_allowed():
            raise Refused("Non-TLS connection attempted with VerifyIncoming set")
        if first != PLAIN:
            raise Refused(f"unrecognized RPC byte: byte={first}")
        return self._inside, None

    def _admit(self, first: int, transport: Any) -> None:
        if self._admits is None or first == INSECURE_TLS:
            return
        certificate = transport.get_extra_info("ssl_object").getpeercert()
        if certificate and (fault := self._admits(certificate)):
            raise Refused(fault)


def _settle(future: asyncio.Future[None], error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


async def _first_byte(connection: socket.socket) -> int | None:
    """What a connection begins with, left where it is; None when it ends without anything."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            data = connection.recv(1, socket.MSG_PEEK)
            return data[0] if data else None
        except BlockingIOError:
            pass
        readable = loop.create_future()
        loop.add_reader(connection.fileno(), _set_once, readable)
        try:
            await readable
        finally:
            loop.remove_reader(connection.fileno())


def _set_once(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def alternative_names(certificate: Mapping[str, Any]) -> list[str]:
    """The DNS names of a certificate as `getpeercert` shows it."""
    return [str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"]


def name_fault(certificate: Mapping[str, Any], wanted: str) -> str:
    """What is wrong with a certificate that should have a name, "" when it has it."""
    names = alternative_names(certificate)
    if wanted in names:
        return ""
    return f"x509: certificate is valid for {', '.join(names) or 'no name'}, not {wanted}"
