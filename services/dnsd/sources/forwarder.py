"""HTTP-shaped requests to the node's apid, over one stream that is opened again when it breaks.

apid answers for this datacenter and passes on what is for another one, and on a client agent everything, to a server.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote, urlencode

import msgspec

from dnsd.core.needs import Unavailable
from lictor.pb.lictor.v1 import forward_pb2, forward_pb2_grpc
from lictor.rpc import DaemonChannel
from lictor.rpc.exchange import exchange

log = logging.getLogger("agent.dns")

MAX_OUTSTANDING = 1000
"""Requests waiting on one stream; apid holds at most 1024 of one stream."""
TOKEN_HEADER = "x-consul-token"


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def index(self) -> int:
        """X-Consul-Index, 0 when it is missing."""
        return _number(self.headers.get("x-consul-index", ""))

    @property
    def last_contact_ms(self) -> int:
        """How long ago the answering server had heard its leader."""
        return _number(self.headers.get("x-consul-lastcontact", ""))

    @property
    def has_leader(self) -> bool:
        """Whether the answering server knew a leader."""
        return self.headers.get("x-consul-knownleader", "true") == "true"


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


class Asking(Protocol):
    """Something that answers HTTP-shaped reads."""

    async def get(self, path: str, parameters: Mapping[str, str], timeout_s: float, client_address: str = "") -> Reply:
        """One GET; the path's parts are escaped already. Raises Unavailable."""
        ...


def path_of(*parts: str) -> str:
    """`/v1/…` with each part percent-encoded."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


class Forwarder:
    """One stream to apid's Forward service."""

    def __init__(self, data_dir: str, token: str) -> None:
        self._channel = DaemonChannel(data_dir, "apid")
        self._token = token
        self._next_id = 1
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._outgoing: asyncio.Queue[forward_pb2.HttpRequest] | None = None
        self._pump: asyncio.Task[None] | None = None

    async def get(self, path: str, parameters: Mapping[str, str], timeout_s: float, client_address: str = "") -> Reply:
        """One GET. Raises Unavailable."""
        if len(self._waiting) >= MAX_OUTSTANDING:
            raise Unavailable("too many requests to apid")
        outgoing = self._stream()
        number, self._next_id = self._next_id, self._next_id + 1
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        headers = [forward_pb2.Header(name=TOKEN_HEADER, value=self._token)] if self._token else []
        outgoing.put_nowait(
            forward_pb2.HttpRequest(
                id=number,
                method="GET",
                path=path,
                query=urlencode(parameters),
                headers=headers,
                remote_address=client_address,
            )
        )
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise Unavailable(f"no answer from apid within {timeout_s:g}s: {path}") from None
        finally:
            self._waiting.pop(number, None)

    def _stream(self) -> asyncio.Queue[forward_pb2.HttpRequest]:
        if self._pump is None or self._pump.done() or self._outgoing is None:
            self._outgoing = asyncio.Queue(MAX_OUTSTANDING)
            self._pump = asyncio.get_running_loop().create_task(self._run(self._outgoing))
        return self._outgoing

    async def _run(self, outgoing: asyncio.Queue[forward_pb2.HttpRequest]) -> None:
        """Carry requests and answers until the stream breaks; then everything that waits fails."""
        reason = "apid closed the stream"
        try:
            stub = forward_pb2_grpc.ForwardStub(self._channel.channel())  # type: ignore[no-untyped-call]
            await exchange(stub.HandleStream(metadata=self._channel.metadata), outgoing.get, self._take)
        except ConnectionError as error:
            reason = str(error)
        finally:
            self._outgoing = None
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(Unavailable(f"apid: {reason}"))
                    # Whoever waited may have given up meanwhile.
                    future.exception()

    def _take(self, response: forward_pb2.HttpResponse) -> None:
        future = self._waiting.get(response.id)
        if future is not None and not future.done():
            headers = {header.name.lower(): header.value for header in response.headers}
            future.set_result(Reply(response.status, headers, response.body))

    async def close(self) -> None:
        """End the stream."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        await self._channel.close()
