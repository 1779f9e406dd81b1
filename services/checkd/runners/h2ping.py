"""HTTP/2 ping checks (as later Consul versions have): passing when a PING frame comes back (RFC 9113 6.7)."""

from __future__ import annotations

import asyncio
import os
import struct

from checkd.core.status import CRITICAL, PASSING
from checkd.runners.dialing import DialError, dial_tcp, split_address
from checkd.runners.result import Outgoing, Result, Run, Tls

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS, PING, GOAWAY = 0x4, 0x6, 0x7
ACK = 0x1
FRAME_HEADER = struct.Struct(">HBBBI")
PING_BYTES = 8
MAX_FRAME_BYTES = 16384
MAX_FRAMES = 64
DEFAULT_PORT = 443


class _NoPing(Exception):
    pass


def frame(kind: int, flags: int, payload: bytes) -> bytes:
    """One frame on stream 0."""
    length = len(payload)
    return FRAME_HEADER.pack(length >> 8, length & 0xFF, kind, flags, 0) + payload


async def run_h2ping(run: Run, tls: Tls) -> Result:
    """Open an HTTP/2 connection and ping once."""
    definition = run.definition
    try:
        async with asyncio.timeout(run.timeout_s()):
            await _ping(run, tls(definition.tls_skip_verify) if definition.h2ping_use_tls else (None, ""))
    except TimeoutError:
        return Result(CRITICAL, f"HTTP2 ping of {definition.h2ping} failed: context deadline exceeded")
    except DialError as error:
        return Result(CRITICAL, f"Failed to dial to {definition.h2ping}: {error}")
    except (_NoPing, OSError, asyncio.IncompleteReadError) as error:
        return Result(CRITICAL, f"HTTP2 ping of {definition.h2ping} failed: {error}")
    return Result(PASSING, "HTTP2 ping was successful")


async def _ping(run: Run, tls: Outgoing | tuple[None, str]) -> None:
    context, name = tls
    host, port = split_address(run.definition.h2ping, DEFAULT_PORT)
    connection = await dial_tcp(host, port)
    reader, writer = await asyncio.open_connection(
        sock=connection,
        ssl=context,
        server_hostname=(run.definition.tls_server_name or name or host) if context is not None else None,
    )
    try:
        sent = os.urandom(PING_BYTES)
        writer.write(PREFACE + frame(SETTINGS, 0, b"") + frame(PING, 0, sent))
        await writer.drain()
        for _ in range(MAX_FRAMES):
            high, low, kind, flags, _stream = FRAME_HEADER.unpack(await reader.readexactly(FRAME_HEADER.size))
            length = (high << 8) | low
            if length > MAX_FRAME_BYTES:
                raise _NoPing("the peer does not speak HTTP/2")
            payload = await reader.readexactly(length)
            if kind == PING and flags & ACK and payload == sent:
                return
            if kind == SETTINGS and not flags & ACK:
                writer.write(frame(SETTINGS, ACK, b""))
            elif kind == GOAWAY:
                raise _NoPing("the peer went away")
        raise _NoPing("no answer to the ping")
    finally:
        writer.transport.abort()
