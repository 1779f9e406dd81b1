"""A front end over a few routes of its own, on a free loopback port, and a client that speaks bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from apid.core.dispatcher import Dispatcher
from apid.core.errors import BadRequest, BodyTooLarge
from apid.core.message import JSON, OCTETS, Request, Response
from apid.core.routes import Operation, Route
from apid.web.server import HttpServer

DEADLINE_S = 10.0
SMALL_BODY_BYTES = 1000
MAX_CONNECTIONS = 20


class World:
    """The routes: `/v1/echo/` shows a request, `/v1/wait` answers when `gate` opens, `/v1/stream` in pieces."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.waiting = 0
        self.changes: list[bytes] = []

    def routes(self) -> list[Route]:
        def both(handler: object) -> dict[str, Operation]:
            operation = Operation(handler, "a test", forwarded=False)  # type: ignore[arg-type]
            return {"GET": operation, "PUT": operation}

        return [
            Route("/v1/echo/", both(self.echo)),
            Route("/v1/small/", both(self.small), max_body_bytes=SMALL_BODY_BYTES),
            Route("/v1/wait", both(self.wait)),
            Route("/v1/stream", both(self.stream)),
            Route("/v1/big", both(self.big)),
            Route("/v1/refuse", both(self.refuse)),
            Route("/v1/break", both(self.break_down)),
        ]

    def echo(self, request: Request) -> Response:
        if request.method == "PUT":
            self.changes.append(request.body)
        return Response(200, request.tail.encode("utf-8", "surrogateescape") + b"|" + request.body, OCTETS)

    def small(self, request: Request) -> Response:
        if request.body_bytes > SMALL_BODY_BYTES:
            raise BodyTooLarge(f"{request.body_bytes} bytes are too many")
        self.changes.append(request.body)
        return Response(200, b"true", JSON)

    async def wait(self, request: Request) -> Response:
        self.waiting += 1
        await self.gate.wait()
        return Response(200, b'"waited"', JSON)

    def stream(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for number in range(3):
                await asyncio.sleep(0)
                yield b"piece %d\n" % number

        return Response(200, content_type=OCTETS, stream=pieces())

    def big(self, request: Request) -> Response:
        return Response(200, b"x" * 1_000_000, OCTETS)

    def refuse(self, request: Request) -> Response:
        raise BadRequest("No!")

    def break_down(self, request: Request) -> Response:
        raise RuntimeError("our mistake")


class Front:
    """A running front end."""

    def __init__(self, world: World, server: HttpServer, listener: socket.socket) -> None:
        self.world = world
        self.server = server
        self.address: tuple[str, int] | str = listener.getsockname()

    async def open(self) -> Client:
        if isinstance(self.address, str):
            return Client(*await asyncio.open_unix_connection(self.address, limit=1 << 24))
        return Client(*await asyncio.open_connection(*self.address, limit=1 << 24))

    async def talk(self, sent: bytes, half_close: bool = False) -> bytes:
        """Everything that comes back until the server closes, without dates."""
        client = await self.open()
        with contextlib.suppress(ConnectionError):
            client.writer.write(sent)
            await client.writer.drain()
            if half_close:
                client.writer.write_eof()
        answer = await client.rest()
        await client.close()
        return answer


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer that says its length."""
        async with asyncio.timeout(DEADLINE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head)
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return status, headers, body

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return without_date(await self.reader.read(-1))

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(": ", 1) for line in lines[1:] if line]
    return int(lines[0].split(" ")[1]), {name.lower(): value for name, value in pairs}


def without_date(answer: bytes) -> bytes:
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"Date: "))


@contextlib.asynccontextmanager
async def running_front(fast_lane: bool = True, socket_path: Path | None = None) -> AsyncIterator[Front]:
    world = World()
    server = HttpServer(Dispatcher(world.routes()), MAX_CONNECTIONS, fast_lane)
    if socket_path is not None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(socket_path))
    else:
        listener = socket.create_server(("127.0.0.1", 0))
    listener.listen(128)
    listener.setblocking(False)
    front = Front(world, server, listener)
    await server.listen([listener])
    try:
        yield front
    finally:
        await server.stop()


async def until(condition: object, what: str) -> None:
    """Waits until `condition()` is true."""
    assert callable(condition)
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 (what is waited for is the server's, which has no event for it)
            await asyncio.sleep(0.005)
    assert condition(), what
