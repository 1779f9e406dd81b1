"""The UDP listener: a tight loop over one socket.

The socket is read until it is empty or a batch is done, all of one batch within one view of the state. What waits is
bounded: unread questions by the socket's buffer and, when that was not found empty for so long, by their age (the
kernel's time stamps); fetched answers by `MAX_WAITING` and `PATIENCE_S`. Beyond a bound a question is dropped: a late
answer helps nobody, and what is asked meanwhile is answered in time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from dnsd.core.message import Transport
from dnsd.core.records import PTR
from dnsd.engine import Engine, Waiting

log = logging.getLogger("agent.dns")

BATCH = 128
"""Questions per turn of the event loop."""
RECEIVE_BUFFER_BYTES = 1 << 20
SEND_BUFFER_BYTES = 1 << 20
MAX_PACKET_BYTES = 65_535
MAX_WAITING = 1024
PATIENCE_S = 5.0
"""After so long a client has asked again or given up (RFC 1035 4.2.1, resolv.conf's default timeout)."""
ID_BYTES = 2
SO_TIMESTAMPNS = 35
"""Linux, asm-generic/socket.h: each packet comes with the time of its arrival. Python has no name for it."""
_timespec = struct.Struct("@qq")
TIMESTAMP_BYTES = socket.CMSG_SPACE(_timespec.size)


class UdpListener:
    """Answers questions on one address."""

    def __init__(self, engine: Engine, host: str, port: int, clock_s: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock_s = clock_s
        self._drained_s = 0.0
        """When the socket was last found empty: whatever is in it came later."""
        self._host, self._port = host, port
        self.port = port
        self._socket: socket.socket | None = None
        self._waiting: set[asyncio.Task[None]] = set()
        self._buffer = bytearray(MAX_PACKET_BYTES)
        self._batch_view = memoryview(self._buffer)
        self.answered = 0
        self.dropped = 0

    def open(self) -> int:
        """Bind; the port, which is of the system's choice when 0 was asked. Raises OSError."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            listener.setblocking(False)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            listener.bind((self._host, self._port))
        except OSError:
            listener.close()
            raise
        self._socket = listener
        self.port = int(listener.getsockname()[1])
        return self.port

    def start(self) -> None:
        """Serve from the running loop."""
        assert self._socket is not None, "started before open"
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Stop serving and drop what waits."""
        for task in tuple(self._waiting):
            task.cancel()
        if self._socket is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _read(self) -> None:
        assert self._socket is not None, "reading a closed socket"
        clock_s = self._clock_s()
        may_be_late = clock_s - self._drained_s > PATIENCE_S
        receive: Callable[[bytearray], tuple[int, Any]]
        receive = self._receive_in_time if may_be_late else self._socket.recvfrom_into
        send = self._socket.sendto
        engine, buffer, data = self._engine, self._buffer, self._batch_view
        find, now_s = engine.cache.find, int(clock_s)
        started_s, kept, kept_reverse = time.perf_counter(), 0, 0
        with engine.source.view() as view:
            get = view.get
            for _ in range(BATCH):
                try:
                    size, client = receive(buffer)
                except BlockingIOError:
                    self._drained_s = clock_s
                    break
                except InterruptedError:
                    break
                except OSError as error:
                    # An ICMP error of an earlier answer; the socket itself is fine.
                    log.debug("udp receive failed: error=%s", error)
                    continue
                entry = find(bytes(data[ID_BYTES:size]), get, now_s)
                response: bytes | Waiting | None
                if entry is not None:
                    response = bytes(data[:ID_BYTES]) + entry.take()
                    kept += 1
                    kept_reverse += entry.question.kind == PTR
                else:
                    response = engine.answer(bytes(data[:size]), Transport.UDP, client[0], view)
                    if response is None:
                        continue
                    if isinstance(response, Waiting):
                        self._wait(response, client)
                        continue
                try:
                    send(response, client)
                    self.answered += 1
                except OSError:
                    # The send buffer is full or the client unreachable: it will ask again.
                    self.dropped += 1
        if kept:
            engine.metrics.kept(kept, kept_reverse, started_s)

    def _receive_in_time(self, buffer: bytearray) -> tuple[int, Any]:
        """The next question whose asker may still be waiting; those before it are dropped. Raises OSError."""
        assert self._socket is not None, "reading a closed socket"
        while True:
            size, ancillary, _, client = self._socket.recvmsg_into([buffer], TIMESTAMP_BYTES)
            if not self._is_late(ancillary):
                return size, client
            self.dropped += 1

    def _is_late(self, ancillary: list[tuple[int, int, bytes]]) -> bool:
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS) and len(content) >= _timespec.size:
                seconds, nanoseconds = _timespec.unpack_from(content)
                arrived_s: float = seconds + nanoseconds / 1e9
                return self._clock_s() - arrived_s > PATIENCE_S
        return False

    def _wait(self, waiting: Waiting, client: Any) -> None:
        if len(self._waiting) >= MAX_WAITING:
            waiting.handling.close()
            self.dropped += 1
            return
        task = asyncio.get_running_loop().create_task(self._finish(waiting, client))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _finish(self, waiting: Waiting, client: Any) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                response = await self._engine.resolve(waiting)
        except TimeoutError:
            self.dropped += 1
            return
        if self._socket is None:
            return
        try:
            self._socket.sendto(response, client)
            self.answered += 1
        except OSError:
            self.dropped += 1
