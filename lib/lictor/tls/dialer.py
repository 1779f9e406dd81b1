"""The way out to other agents' ports: gRPC connects to a Unix socket of this process, and from there the connection
goes on to the server, over TLS where that is wanted.

Every connection is made with what is configured then, so a reload needs no new channels; and certificates are checked
as Consul checks them (the authority alone, or the name server.<datacenter>.<domain> as well), which gRPC cannot do by
itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from lictor.tls.configurator import Configurator
from lictor.tls.faults import described
from lictor.tls.quiet import QuietLog
from lictor.tls.relay import Relay
from lictor.tls.sockets import PrivateSockets

CONNECT_TIMEOUT_S = 2.0
HANDSHAKE_TIMEOUT_S = 5.0
SHUTDOWN_TIMEOUT_S = 1.0
BACKLOG = 16
REFUSED = "remote error: tls: bad certificate"
"""A server speaks first. One that ends the connection instead, after TLS 1.3's handshake is over for the client, has
refused the client's certificate; its alert is often lost with the connection."""

log = logging.getLogger("agent.server.rpc")


@dataclass(slots=True)
class _Way:
    """The socket that stands for one server."""

    address: str
    datacenter: str
    listener: socket.socket
    path: str
    failure: str = ""


class Dialer:
    """Sockets that stand for servers."""

    def __init__(
        self,
        configurator: Configurator,
        sockets: PrivateSockets,
        speaks_tls: Callable[[str], bool],
        prefix: bytes = b"",
    ) -> None:
        """`speaks_tls`: whether the server at an address says so in gossip. `prefix` goes out before a handshake."""
        self._configurator = configurator
        self._sockets = sockets
        self._speaks_tls = speaks_tls
        self._prefix = prefix
        self._ways: dict[str, _Way] = {}
        self._relays: set[Relay] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._quiet = QuietLog(log)
        self._closed = False

    def target(self, address: str, datacenter: str) -> str:
        """What gRPC is to connect to for the server at host:port."""
        way = self._ways.get(address)
        if way is None:
            path = self._sockets.new_path()
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(BACKLOG)
            listener.setblocking(False)
            way = self._ways[address] = _Way(address, datacenter, listener, path)
            asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, way)
        return f"unix:{way.path}"

    def failure(self, address: str) -> str:
        """What TLS had against the last connection to a server, "" when it had nothing."""
        way = self._ways.get(address)
        return way.failure if way is not None else ""

    def forget(self, address: str) -> None:
        """Nobody connects to this server any more; open connections go on."""
        way = self._ways.pop(address, None)
        if way is not None:
            asyncio.get_running_loop().remove_reader(way.listener.fileno())
            way.listener.close()
            os.unlink(way.path)

    async def close(self) -> None:
        """Ends everything."""
        self._closed = True
        for address in tuple(self._ways):
            self.forget(address)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for relay in tuple(self._relays):
            relay.abort()

    def _accept(self, way: _Way) -> None:
        while True:
            try:
                connection, _ = way.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("failed to accept conn: error=%s", described(error))
                return
            connection.setblocking(False)
            task = asyncio.get_running_loop().create_task(self._begin(way, connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _begin(self, way: _Way, connection: socket.socket) -> None:
        def ended(failure: Exception | None) -> None:
            self._relays.discard(relay)
            if relay.far.received:
                way.failure = ""
            elif relay.far.secured and not self._closed:
                self._say(way, REFUSED)
            elif failure is not None:
                self._note(way, failure)

        relay = Relay(ended)
        self._relays.add(relay)
        try:
            await self._connect(way, relay)
            if not relay.ended:
                await asyncio.get_running_loop().connect_accepted_socket(lambda: relay.near, connection)
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._note(way, error)
            relay.abort()
        finally:
            if relay.near.transport is None:
                connection.close()

    def _note(self, way: _Way, failure: BaseException) -> None:
        if isinstance(failure, ssl.SSLError):
            self._say(way, described(failure))
        else:
            way.failure = ""

    def _say(self, way: _Way, text: str) -> None:
        way.failure = text
        self._quiet.warn(way.address, text, f'TLS connection failed: address={way.address} error="{text}"')

    async def _connect(self, way: _Way, relay: Relay) -> None:
        loop = asyncio.get_running_loop()
        configurator = self._configurator
        if configurator.awaits_certificate and not self._prefix:
            raise ConnectionRefusedError("no certificate yet")
        host, _, port = way.address.rpartition(":")
        secured = bool(self._prefix) or configurator.forces_tls or self._speaks_tls(way.address)
        outgoing = configurator.outgoing_rpc(way.datacenter) if secured and configurator.dials_tls else None
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await _connected(host.strip("[]"), int(port))
        try:
            if outgoing is None:
                await loop.create_connection(lambda: relay.far, sock=connection)
                return
            if self._prefix:
                await loop.sock_sendall(connection, self._prefix)
            relay.far.secured = True
            await loop.create_connection(
                lambda: relay.far,
                sock=connection,
                ssl=outgoing.context,
                server_hostname=outgoing.server_name,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
                ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            )
        except BaseException:
            relay.far.secured = False
            if relay.far.transport is None:
                connection.close()
            raise


async def _connected(host: str, port: int) -> socket.socket:
    """Errors: OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, address in found:
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(connection, address)
            return connection
        except OSError as error:
            failure = error
            connection.close()
        except BaseException:
            connection.close()
            raise
    raise failure
