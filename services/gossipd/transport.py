"""The sockets of a pool: one port, packets over UDP and streams over TCP."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

from gossipd import metrics
from gossipd.addresses import dial_error, join_host_port
from gossipd.core.effects import Endpoint
from gossipd.wire.errors import ProtocolError
from gossipd.wire.security import Security
from gossipd.wire.stream import StreamReader

RECEIVE_BUFFER_BYTES = 2 * 1024 * 1024
MIN_RECEIVE_BUFFER_BYTES = 64 * 1024
READ_BYTES = 256 * 1024
MAX_STREAMS = 128
PORT_ATTEMPTS = 10

PacketHandler = Callable[[bytes, tuple[str, int]], None]
StreamHandler = Callable[["Stream"], Awaitable[None]]


class BindError(OSError):
    """The pool's port cannot be had; the text says which and why."""


class StreamFailed(Exception):
    """A stream could not be opened or broke; the text says why."""


class Stream:
    """One TCP connection that carries one message each way."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        peer = writer.get_extra_info("peername") or ("?", 0)
        self.peer = Endpoint(peer[0], peer[1])

    async def read_message(self, security: Security) -> bytes | None:
        """The next whole message; None when the peer closed without sending any.

        Raises ProtocolError, also when the peer closes within a message.
        """
        parser = StreamReader(security)
        while chunk := await self._reader.read(READ_BYTES):
            message = parser.feed(chunk)
            if message is not None:
                return message
        if parser.received_bytes:
            raise ProtocolError("the stream ended within a message")
        return None

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        metrics.TCP_SENT.add(len(data))
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


async def open_stream(host: str, port: int) -> Stream:
    """Raises StreamFailed."""
    try:
        stream = Stream(*await asyncio.open_connection(host, port))
    except OSError as error:
        raise StreamFailed(dial_error(host, port, error)) from error
    metrics.TCP_CONNECTED.increment()
    return stream


class _Packets(asyncio.DatagramProtocol):
    def __init__(self, handler: PacketHandler, log: logging.Logger) -> None:
        self._handler = handler
        self._log = log

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        metrics.UDP_RECEIVED.add(len(data))
        self._handler(data, (addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        # An ICMP answer to an earlier packet: failure detection notices by itself.
        self._log.debug("memberlist: UDP error: %s", exc)


class Transport:
    """Listens on bind:port for both kinds; `port` 0 takes a free one."""

    def __init__(
        self, on_packet: PacketHandler, on_stream: StreamHandler, timeout_s: float, log: logging.Logger
    ) -> None:
        self._on_packet = on_packet
        self._on_stream = on_stream
        self._timeout_s = timeout_s
        self._log = log
        self._udp: asyncio.DatagramTransport | None = None
        self._server: asyncio.Server | None = None
        self._streams = 0
        self.port = 0

    async def start(self, bind: str, port: int) -> None:
        """Raises BindError."""
        tcp, udp = _bind(bind, port)
        self.port = tcp.getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Packets(self._on_packet, self._log), sock=udp)
        self._udp = transport
        self._server = await asyncio.start_server(self._serve, sock=tcp, backlog=MAX_STREAMS)

    def send(self, data: bytes, to: tuple[str, int]) -> None:
        if self._udp is not None and not self._udp.is_closing():
            self._udp.sendto(data, to)
            metrics.UDP_SENT.add(len(data))

    async def stop(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = Stream(reader, writer)
        metrics.TCP_ACCEPTED.increment()
        if self._streams >= MAX_STREAMS:
            self._log.error("memberlist: Too many pending push/pull requests")
            stream.close()
            return
        self._streams += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._on_stream(stream)
        except (TimeoutError, OSError) as error:
            self._log.debug("memberlist: stream failed: %s from=%s", error, join_host_port(*stream.peer))
        finally:
            self._streams -= 1
            stream.close()


def _bind(bind: str, port: int) -> tuple[socket.socket, socket.socket]:
    """A listening TCP and a UDP socket of one port number."""
    for attempt in range(PORT_ATTEMPTS):
        tcp = _socket(bind, port, socket.SOCK_STREAM)
        try:
            udp = _socket(bind, tcp.getsockname()[1], socket.SOCK_DGRAM)
        except BindError:
            tcp.close()
            if port or attempt == PORT_ATTEMPTS - 1:
                raise
            continue
        _enlarge_receive_buffer(udp)
        return tcp, udp
    raise AssertionError("the last attempt returns or raises")


def _socket(bind: str, port: int, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    made = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((bind, port))
    except OSError as error:
        made.close()
        name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        why = (error.strerror or str(error)).lower()
        target = join_host_port(bind, port)
        raise BindError(
            f'Failed to start {name} listener on "{bind}" port {port}: listen {name.lower()} {target}: bind: {why}'
        ) from error
    made.setblocking(False)
    return made


def _enlarge_receive_buffer(udp: socket.socket) -> None:
    size = RECEIVE_BUFFER_BYTES
    while size >= MIN_RECEIVE_BUFFER_BYTES:
        try:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            return
        except OSError:
            size //= 2
