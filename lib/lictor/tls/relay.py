"""Two connections joined: what comes in on one goes out on the other, no faster than it is taken there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

FLUSH_TIMEOUT_S = 5.0
"""How long what is written already may take to go out after the other side has ended."""


class End(asyncio.Protocol):
    """One of the two."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.transport: asyncio.Transport | None = None
        self.received = False
        """Whether anything has come in."""
        self.secured = False
        """Whether it is over TLS."""
        self._early: list[bytes] = []
        """Arrived before the other side was there."""

    @property
    def _other(self) -> End:
        return self._relay.far if self is self._relay.near else self._relay.near

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        other = self._other
        if self._relay.ended:
            self.transport.abort()
        elif other.transport is None:
            self.transport.pause_reading()
        else:
            for data in other._early:
                self.transport.write(data)
            other._early.clear()
            other.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.received = True
        other = self._other.transport
        if other is None:
            self._early.append(data)
        else:
            other.write(data)

    def pause_writing(self) -> None:
        if (other := self._other.transport) is not None:
            other.pause_reading()

    def resume_writing(self) -> None:
        if (other := self._other.transport) is not None and not other.is_closing():
            other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relay.end(exc)


class Relay:
    """`near` and `far` are the protocols of the two connections. `on_end` is called once, with the failure if any."""

    def __init__(self, on_end: Callable[[Exception | None], None]) -> None:
        self.near, self.far = End(self), End(self)
        self.ended = False
        self._on_end = on_end

    def end(self, failure: Exception | None = None) -> None:
        """Closes both, after what is on its way has gone out."""
        if self.ended:
            return
        self.ended = True
        loop = asyncio.get_running_loop()
        for end in (self.near, self.far):
            if end.transport is not None:
                end.transport.close()
                loop.call_later(FLUSH_TIMEOUT_S, end.transport.abort)
        self._on_end(failure)

    def abort(self) -> None:
        """Cuts both at once."""
        self.end()
        for end in (self.near, self.far):
            if end.transport is not None:
                end.transport.abort()
