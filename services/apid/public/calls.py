"""A gRPC call as the HTTP request that it stands for: there is one implementation of every endpoint.

Statuses become codes as query.proto says; the details are the text that HTTP answers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NoReturn
from urllib.parse import quote, unquote, urlencode

import grpc
import grpc.aio
import msgspec

from apid.core.dispatcher import Dispatcher
from apid.core.errors import CALL_PREFIX, HttpError
from apid.core.message import HeaderList, Request, Response
from apid.core.server_sent_events import decode_event, frames
from lictor.pb.lictor.v1 import query_pb2

Context = grpc.aio.ServicerContext
Pairs = Sequence[tuple[str, str]]
TOKEN_KEY = "x-consul-token"

CODES: Mapping[int, grpc.StatusCode] = {
    301: grpc.StatusCode.INVALID_ARGUMENT,
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    405: grpc.StatusCode.UNIMPLEMENTED,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
}
# HTTP answers 500 to all of these.
UNAVAILABLE_TEXTS = (
    "No cluster leader",
    "No known Consul servers",
    "No path to datacenter",
    "Remote DC has no server currently reachable",
    "leadership lost while committing log",
    "rpc error",
    "i/o timeout",
    "Stream removed",
    "Socket closed",
    "the server gave no answer",
    "timed out enqueuing operation",
    "the server ended the watch",
)
INVALID_TEXTS = ("Failed to create boolean expression evaluator", "strconv.", "Cannot provide tag filter", "Invalid ")
WITHOUT_TEXT = {
    301: "the path that this stands for is not clean: keys and names with //, /./ or /../ cannot be asked for",
    400: "the path that this stands for holds characters that cannot be shown",
}


def code_of(status: int, text: str) -> grpc.StatusCode:
    """The code of an HTTP answer other than 200."""
    found = CODES.get(status)
    if found is not None:
        return found
    if text.startswith(UNAVAILABLE_TEXTS):
        return grpc.StatusCode.UNAVAILABLE
    if text.startswith(INVALID_TEXTS):
        return grpc.StatusCode.INVALID_ARGUMENT
    return grpc.StatusCode.FAILED_PRECONDITION


async def abort(context: Context[Any, Any], status: int, text: str) -> NoReturn:
    """Ends the call with what HTTP would have answered."""
    # Which calls Consul would have made is of interest to those who compare with Consul's HTTP answers only.
    while text.startswith(CALL_PREFIX):
        text = text.removeprefix(CALL_PREFIX)
    await context.abort(code_of(status, text), text or WITHOUT_TEXT.get(status, f"status {status}"))
    raise AssertionError("abort always raises")


def path(prefix: str, tail: str) -> str:
    """The escaped path under which HTTP answers about `tail`."""
    return prefix + quote(tail, safe="/")


def read_parameters(options: query_pb2.QueryOptions) -> list[tuple[str, str]]:
    return _level(options.consistency, options.datacenter)


def watch_parameters(options: query_pb2.WatchOptions) -> list[tuple[str, str]]:
    pairs = _level(options.consistency, options.datacenter)
    if options.resume_index:
        pairs.append(("index", str(options.resume_index)))
    if options.min_interval_ms:
        pairs.append(("min_interval_ms", str(options.min_interval_ms)))
    return pairs


def _level(consistency: int, datacenter: str) -> list[tuple[str, str]]:
    pairs = [("dc", datacenter)] if datacenter else []
    if consistency == query_pb2.CONSISTENCY_STALE:
        pairs.append(("stale", ""))
    elif consistency == query_pb2.CONSISTENCY_CONSISTENT:
        pairs.append(("consistent", ""))
    return pairs


def meta_of(response: Response) -> query_pb2.QueryMeta:
    """The X-Consul-* headers."""
    return query_pb2.QueryMeta(
        index=int(response.header(b"X-Consul-Index") or 0),
        known_leader=response.header(b"X-Consul-KnownLeader") == b"true",
        last_contact_ms=int(response.header(b"X-Consul-LastContact") or 0),
    )


class Calls:
    """Puts calls to the dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

    async def ask(
        self, context: Context[Any, Any], method: str, target: str, pairs: Pairs = (), body: bytes = b""
    ) -> Response:
        """The answer, whatever its status is."""
        query = urlencode(pairs).encode() if pairs else b""
        headers: HeaderList = []
        for key, value in context.invocation_metadata() or ():
            if key == TOKEN_KEY:
                raw = value.encode("latin-1", "replace") if isinstance(value, str) else bytes(value)
                headers.append((TOKEN_KEY.encode(), raw))
        escaped = target.encode()
        request = Request(
            method,
            unquote(target),
            query,
            headers,
            body,
            _address(context.peer()),
            escaped + (b"?" + query if query else b""),
        )
        answer = self._dispatcher.dispatch(request)
        return answer if isinstance(answer, Response) else await answer

    async def get(
        self, context: Context[Any, Any], target: str, pairs: Pairs = (), missing_is_empty: bool = False
    ) -> tuple[Any, Response]:
        """The JSON of a GET's answer, decoded, and the answer; None for a 404 where that is no error."""
        response = await self.ask(context, "GET", target, pairs)
        if response.status == 404 and missing_is_empty:
            return None, response
        return await self._decoded(context, response), response

    async def put(self, context: Context[Any, Any], target: str, pairs: Pairs = (), body: bytes = b"") -> Any:
        """The JSON of a PUT's answer, decoded."""
        return await self._decoded(context, await self.ask(context, "PUT", target, pairs, body))

    async def delete(self, context: Context[Any, Any], target: str, pairs: Pairs = ()) -> Any:
        return await self._decoded(context, await self.ask(context, "DELETE", target, pairs))

    async def _decoded(self, context: Context[Any, Any], response: Response) -> Any:
        if response.status != 200:
            await abort(context, response.status, response.body.decode("utf-8", "replace"))
        return msgspec.json.decode(response.body)

    async def watch(
        self, context: Context[Any, Any], topic: str, options: query_pb2.WatchOptions, message: Callable[..., Any]
    ) -> AsyncIterator[Any]:
        """A topic's changes, each made a message of its index, reset, upserts and deletes."""
        pairs = [("topic", topic), *watch_parameters(options)]
        response = await self.ask(context, "GET", "/v1/watch", pairs)
        if response.status != 200 or response.stream is None:
            await abort(context, response.status, response.body.decode("utf-8", "replace"))
        async with aclosing(response.stream) as pieces:  # type: ignore[type-var]
            try:
                async for frame in frames(pieces):
                    event = decode_event(frame)
                    if event is None:
                        continue
                    data = msgspec.json.decode(event.data)
                    if event.name == "error":
                        raise HttpError(data["Error"], data["Status"])
                    yield message(data["Index"], event.name == "reset", data["Upserts"], data["Deletes"])
            except HttpError as error:
                await abort(context, error.status, str(error))


def _address(peer: str) -> str:
    """The client's IP in gRPC's name for a peer; empty for a Unix socket."""
    family, _, rest = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return ""
    return rest.rpartition(":")[0].strip("[]")
