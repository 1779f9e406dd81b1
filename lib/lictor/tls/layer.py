"""TLS between a TCP connection and a protocol, on the server's side (RFC 8446, RFC 5246).

The event loops' own TLS drops the connection when a handshake fails, and with it the alert that tells the client why.
Here it goes out, and who speaks plain HTTP to an HTTPS port is told so, as Go's server does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

READ_BYTES = 1 << 16
PLAIN_HTTP = (b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO")
TOLD_PLAIN_HTTP = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class TlsTransport(asyncio.Transport):
    """What the protocol inside writes to."""

    def __init__(self, layer: TlsLayer, below: asyncio.Transport, tls: ssl.SSLObject) -> None:
        super().__init__()
        self._layer = layer
        self._below = below
        self._tls = tls

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._tls
        if name == "sslcontext":
            return self._tls.context
        return self._below.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._layer.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview[Any]]) -> None:
        self._layer.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def close(self) -> None:
        self._layer.close()

    def abort(self) -> None:
        self._below.abort()

    def is_reading(self) -> bool:
        return self._below.is_reading()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._layer.inside

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._layer.inside = cast(asyncio.Protocol, protocol)


class TlsLayer(asyncio.Protocol):
    """The protocol of the TCP connection; `inside` has its connection made after the handshake."""

    def __init__(
        self,
        context: ssl.SSLContext,
        inside: asyncio.Protocol,
        handshake_timeout_s: float,
        on_end_of_handshake: Callable[[BaseException | None], None] | None = None,
    ) -> None:
        """`on_end_of_handshake` is called once, before anything of `inside`, with what went wrong if anything did."""
        self.inside = inside
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._timeout_s = handshake_timeout_s
        self._on_end = on_end_of_handshake
        self._below: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._first = True
        self._connected = False
        self._over = False

    # --- from the connection ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._below = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._timeout_s, self._too_late)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._first:
            self._first = False
            if data.startswith(PLAIN_HTTP):
                self._transport().write(TOLD_PLAIN_HTTP)
                self._fail(ConnectionError("Client sent an HTTP request to an HTTPS server."))
                return
        self._incoming.write(data)
        try:
            if self._connected or self._shake():
                self._read()
        except ssl.SSLError as error:
            self._flush()
            self._fail(error)

    def eof_received(self) -> None:
        self._incoming.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._stop_timer()
        if self._connected:
            self.inside.connection_lost(exc)
        else:
            self._end_handshake(exc or ConnectionResetError("EOF"))

    def pause_writing(self) -> None:
        if self._connected:
            self.inside.pause_writing()

    def resume_writing(self) -> None:
        if self._connected:
            self.inside.resume_writing()

    # --- from the protocol inside -----------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Encrypts and sends."""
        if self._over or not data:
            return
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self._flush()

    def close(self) -> None:
        """Says goodbye and closes, after what is written has gone out."""
        if self._over:
            return
        self._over = True
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # The other side's goodbye is not waited for.
            pass
        self._flush()
        self._transport().close()

    # ----------------------------------------------------------------------------------------------------------

    def _transport(self) -> asyncio.Transport:
        assert self._below is not None, "there is a connection"
        return self._below

    def _shake(self) -> bool:
        """Whether the handshake is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        self._flush()
        self._stop_timer()
        self._connected = True
        self._end_handshake(None)
        self.inside.connection_made(TlsTransport(self, self._transport(), self._tls))
        return True

    def _read(self) -> None:
        while not self._over:
            try:
                data = self._tls.read(READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            if not data:
                self.close()
                return
            self.inside.data_received(data)
        self._flush()

    def _flush(self) -> None:
        if self._outgoing.pending and not self._transport().is_closing():
            self._transport().write(self._outgoing.read())

    def _fail(self, error: Exception) -> None:
        self._over = True
        self._stop_timer()
        if not self._connected:
            self._end_handshake(error)
        self._transport().close()

    def _too_late(self) -> None:
        self._fail(TimeoutError("i/o timeout"))

    def _end_handshake(self, error: BaseException | None) -> None:
        told, self._on_end = self._on_end, None
        if told is not None:
            told(error)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
