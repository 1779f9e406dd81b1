"""Asking upstream resolvers: names outside our domain, and where a CNAME leads.

Each question goes out with a random ID from a socket of its own, so from a random port, connected to the resolver
(RFC 5452): only its answer to this very question is taken.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import secrets
import struct
from typing import Any

from dnsd.core import names
from dnsd.core.message import Transport
from dnsd.core.names import Name
from dnsd.core.needs import Unavailable
from dnsd.core.question import HEADER_BYTES, QR, TC
from dnsd.core.records import NOERROR, NXDOMAIN, Record

log = logging.getLogger("agent.dns")

DEFAULT_TIMEOUT_S = 2.0
MAX_OUTSTANDING = 512
"""Questions on their way to recursors; more are refused."""
MAX_REPLY_BYTES = 65_535
RCODE_MASK = 0x000F
ID_BYTES = 2

_header = struct.Struct("!HH").unpack_from


class _NoAnswer(Exception):
    """A recursor that failed to answer."""


class _OneReply(asyncio.DatagramProtocol):
    """Waits for the datagram that answers one query."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.reply.done() and is_reply(self._query, data):
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(_NoAnswer(str(exc)))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.reply.done():
            self.reply.cancel()


def is_reply(query: bytes, reply: bytes) -> bool:
    """Whether the reply has the query's ID and question (an error may come without the question)."""
    if len(reply) < HEADER_BYTES or reply[:ID_BYTES] != query[:ID_BYTES]:
        return False
    flags = _header(reply)[1]
    if not flags & QR:
        return False
    if reply[4:6] == b"\0\0":
        return bool(flags & RCODE_MASK)
    end = question_end(query)
    return reply[4:6] == b"\0\1" and reply[HEADER_BYTES:end].lower() == query[HEADER_BYTES:end].lower()


def question_end(packet: bytes) -> int:
    """Where the first question of a well-formed packet ends."""
    offset = HEADER_BYTES
    while packet[offset]:
        offset += packet[offset] + 1 if packet[offset] < 0xC0 else 1
    return offset + 5


class Recursors:
    """The configured upstream resolvers, asked in order."""

    def __init__(self, addresses: tuple[str, ...], timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._addresses = [_split(address) for address in addresses]
        self._timeout_s = timeout_s
        self._outstanding = 0
        if addresses:
            # Needs dnspython, a tenth of the daemon's memory, which it does without as long as there are no recursors.
            importlib.import_module("dnsd.outside")

    async def relay(self, packet: bytes, transport: Transport) -> bytes | None:
        """The packet of the first recursor that says the name exists or does not, asked over the same transport.

        None when all fail. Raises Unavailable when too many questions are on their way.
        """
        for host, port in self._addresses:
            try:
                reply = await self._ask(packet, transport, host, port)
            except _NoAnswer as error:
                log.error("recurse failed: error=%s", error)
                continue
            if _header(reply)[1] & RCODE_MASK in (NOERROR, NXDOMAIN):
                return packet[:ID_BYTES] + reply[ID_BYTES:]
        log.error("all resolvers failed for question from client")
        return None

    async def addresses(self, name: Name) -> list[Record]:
        """The CNAME and address records that the recursors have for the name, asked for A; empty when all fail."""
        from dnsd import outside

        query = outside.question(name)
        for host, port in self._addresses:
            try:
                reply = await self._ask(query, Transport.UDP, host, port)
                if _header(reply)[1] & TC:
                    reply = await self._ask(query, Transport.TCP, host, port)
                return outside.records(reply)
            except (_NoAnswer, outside.Malformed) as error:
                log.error("cname resolve failed for name: name=%s error=%s", names.to_text(name), error)
        return []

    async def _ask(self, packet: bytes, transport: Transport, host: str, port: int) -> bytes:
        if self._outstanding >= MAX_OUTSTANDING:
            raise Unavailable("too many questions to recursors")
        query = secrets.token_bytes(ID_BYTES) + packet[ID_BYTES:]
        self._outstanding += 1
        try:
            async with asyncio.timeout(self._timeout_s):
                if transport is Transport.UDP:
                    return await _ask_udp(query, host, port)
                return await _ask_tcp(query, host, port)
        except TimeoutError:
            raise _NoAnswer(f"no answer from {host}:{port} within {self._timeout_s:g}s") from None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise _NoAnswer(f"{host}:{port}: {error}") from error
        finally:
            self._outstanding -= 1


async def _ask_udp(query: bytes, host: str, port: int) -> bytes:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(lambda: _OneReply(query), remote_addr=(host, port))
    try:
        transport.sendto(query)
        return await protocol.reply
    finally:
        transport.close()


async def _ask_tcp(query: bytes, host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(len(query).to_bytes(2, "big") + query)
        while True:
            length = int.from_bytes(await reader.readexactly(2), "big")
            reply = await reader.readexactly(length)
            if is_reply(query, reply):
                return reply
    finally:
        writer.close()


def _split(address: str) -> tuple[str, int]:
    """`host:port`, IPv6 in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
