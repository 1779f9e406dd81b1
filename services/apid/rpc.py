"""apid's gRPC service `lictor.v1.Forward`: one HTTP request from another apid or from this node's daemons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any

import grpc

from apid.core.dispatcher import Dispatcher
from apid.core.message import Answer, Request, Response, text_response
from apid.core.parameters import unescape_path
from apid.core.routes import clean_path
from apid.web.limits import MAX_HEAD_BYTES
from lictor.pb.lictor.v1 import forward_pb2, forward_pb2_grpc

FULL_NAME = "lictor.v1.Forward"
# Requests of one stream that are being answered or whose answers are not sent yet; then no more are read.
MAX_STREAM_TASKS = 1024
MAX_BATCH_BYTES = 2 << 20
# gRPC messages may have 64 MiB (`lictor.rpc`), headers included.
MAX_WHOLE_BODY_BYTES = 63 << 20
API_PATH = "/v1/"
OWN_PATHS = "/v1/agent"
EVENT_STREAM = b"text/event-stream"


class ForwardServicer(forward_pb2_grpc.ForwardServicer):
    """Answers from the same dispatcher as HTTP does, without what concerns the client's connection."""

    def __init__(self, dispatcher: Dispatcher, for_peers: bool = False, only: str = "") -> None:
        """`for_peers`: on the forward port, which is open to the network; `only`: nothing but this path is served."""
        self._dispatcher = dispatcher
        self._for_peers = for_peers
        self._only = only

    async def Handle(
        self, request: forward_pb2.HttpRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> forward_pb2.HttpResponse:
        return await self._answer(request)

    async def HandleStream(
        self, request_iterator: AsyncIterator[forward_pb2.HttpRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[forward_pb2.HttpResponse]:
        answers: asyncio.Queue[forward_pb2.HttpResponse | None] = asyncio.Queue()
        places = asyncio.Semaphore(MAX_STREAM_TASKS)
        tasks: set[asyncio.Task[None]] = set()

        async def answer(message: forward_pb2.HttpRequest) -> None:
            try:
                await answers.put(await self._answer(message))
            finally:
                places.release()

        async def read() -> None:
            async for message in request_iterator:
                await places.acquire()
                task = asyncio.create_task(answer(message))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
            await answers.put(None)

        reader = asyncio.create_task(read())
        try:
            while (response := await answers.get()) is not None:
                yield response
        finally:
            for task in (reader, *tasks):
                task.cancel()
            await asyncio.gather(reader, *tasks, return_exceptions=True)

    async def HandleBatches(
        self, request_iterator: AsyncIterator[forward_pb2.HttpRequests], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[forward_pb2.HttpResponses]:
        finished: list[forward_pb2.HttpResponse] = []
        wake = asyncio.Event()
        places = asyncio.Semaphore(MAX_STREAM_TASKS)
        tasks: set[asyncio.Task[None]] = set()

        async def answer_later(message: forward_pb2.HttpRequest, answer: Awaitable[Response]) -> None:
            finished.append(await _whole(message, await answer))
            wake.set()

        async def read() -> None:
            async for batch in request_iterator:
                for message in batch.items:
                    await places.acquire()
                    answer = self._dispatch(message)
                    if isinstance(answer, Response) and answer.stream is None:
                        finished.append(_message(message, answer, answer.body))
                        continue
                    task = asyncio.create_task(answer_later(message, _awaited(answer)))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                if finished:
                    wake.set()
            await asyncio.gather(*tasks)

        reader = asyncio.create_task(read())
        reader.add_done_callback(lambda _: wake.set())
        try:
            while finished or not reader.done():
                await wake.wait()
                wake.clear()
                while finished:
                    count = _count_to_send(finished)
                    yield forward_pb2.HttpResponses(items=finished[:count])
                    del finished[:count]
                    for _ in range(count):
                        places.release()
        finally:
            for task in (reader, *tasks):
                task.cancel()
            await asyncio.gather(reader, *tasks, return_exceptions=True)

    async def HandleEndless(
        self, request: forward_pb2.HttpRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[forward_pb2.HttpResponse]:
        response = await _awaited(self._dispatch(request))
        yield _message(request, response, response.body)
        if response.stream is not None:
            async with aclosing(response.stream) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    yield forward_pb2.HttpResponse(id=request.id, body=piece)

    async def _answer(self, message: forward_pb2.HttpRequest) -> forward_pb2.HttpResponse:
        return await _whole(message, await _awaited(self._dispatch(message)))

    def _dispatch(self, message: forward_pb2.HttpRequest) -> Answer:
        """The dispatcher's answer; never raises for anything that the message may hold."""
        if self._only and message.path != self._only:
            return text_response(403, "Only agents with a certificate are served")
        if self._for_peers and (refusal := _refusal(message)) is not None:
            return refusal
        try:
            raw_path, query = message.path.encode("latin-1"), message.query.encode("latin-1")
            headers = [
                (header.name.lower().encode("latin-1"), header.value.encode("latin-1")) for header in message.headers
            ]
        except UnicodeEncodeError:
            return Response(400)
        path = unescape_path(raw_path)
        if path is None:
            return Response(400)
        target = raw_path + (b"?" + query if query else b"")
        # Whoever comes from outside has passed another agent: ours lends its token to its own clients only.
        hops = max(1, message.hops) if self._for_peers else message.hops
        request = Request(message.method, path, query, headers, message.body, message.remote_address, target, hops)
        request.internal = True
        request.calls = min(message.calls, hops)
        return self._dispatcher.dispatch(request)


async def _awaited(answer: Answer) -> Response:
    return answer if isinstance(answer, Response) else await answer


async def _whole(message: forward_pb2.HttpRequest, response: Response) -> forward_pb2.HttpResponse:
    """The answer with all of its body. One that is too large for a message becomes a refusal."""
    if response.stream is None:
        return _message(message, response, response.body)
    if (response.header(b"content-type") or b"").startswith(EVENT_STREAM):
        await response.stream.aclose()  # type: ignore[attr-defined]
        endless = text_response(400, "An answer without end has to be asked for with HandleEndless")
        return _message(message, endless, endless.body)
    pieces: list[bytes] = []
    size = 0
    async with aclosing(response.stream) as stream:  # type: ignore[type-var]
        async for piece in stream:
            pieces.append(piece)
            size += len(piece)
            if size > MAX_WHOLE_BODY_BYTES:
                too_large = text_response(500, f"the answer has more than {MAX_WHOLE_BODY_BYTES} bytes")
                return _message(message, too_large, too_large.body)
    return _message(message, response, b"".join(pieces))


def _refusal(message: forward_pb2.HttpRequest) -> Response | None:
    """Why another agent does not get this answered, None when it does.

    The forward port is open to the network: what arrives there is an ordinary request whose token decides. Only the
    API is served, and nothing of it that is this very agent's.
    """
    path = unescape_path(message.path.encode("latin-1", "replace")) or ""
    if not path.startswith(API_PATH):
        return Response(404, plain=True)
    if clean_path(path).startswith(OWN_PATHS):
        return text_response(403, "This endpoint is served by the agent itself only")
    head_bytes = len(message.path) + len(message.query)
    head_bytes += sum(len(header.name) + len(header.value) for header in message.headers)
    if head_bytes > MAX_HEAD_BYTES:
        return text_response(431, "Request header fields too large")
    return None


def _count_to_send(finished: list[forward_pb2.HttpResponse]) -> int:
    """How many answers go into one message."""
    size = 0
    for count, item in enumerate(finished):
        size += len(item.body)
        if count and size > MAX_BATCH_BYTES:
            return count
    return len(finished)


def _message(request: forward_pb2.HttpRequest, response: Response, body: bytes) -> forward_pb2.HttpResponse:
    return forward_pb2.HttpResponse(
        id=request.id,
        status=response.status,
        headers=[
            forward_pb2.Header(name=name.decode("latin-1"), value=value.decode("latin-1"))
            for name, value in response.headers
        ],
        body=body,
    )


def add_forward(servicer: ForwardServicer, server: grpc.aio.Server) -> None:
    """Serves it on a server that is not started yet."""
    forward_pb2_grpc.add_ForwardServicer_to_server(servicer, server)  # type: ignore[no-untyped-call]
