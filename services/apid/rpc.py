"""apid's gRPC service `lictor.v1.Forward`: one HTTP request from another apid or from this node's daemons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc

from apid.core.dispatcher import Dispatcher
from apid.core.message import Request, Response
from apid.core.parameters import unescape_path
from lictor.pb.lictor.v1 import forward_pb2, forward_pb2_grpc

FULL_NAME = "lictor.v1.Forward"
MAX_STREAM_TASKS = 1024


class ForwardServicer(forward_pb2_grpc.ForwardServicer):
    """Answers from the same dispatcher as HTTP does, without what concerns the client's connection."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher

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

    async def HandleEndless(
        self, request: forward_pb2.HttpRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[forward_pb2.HttpResponse]:
        response = await self._dispatched(request)
        yield _message(request, response, response.body)
        if response.stream is not None:
            async with aclosing(response.stream) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    yield forward_pb2.HttpResponse(id=request.id, body=piece)

    async def _answer(self, message: forward_pb2.HttpRequest) -> forward_pb2.HttpResponse:
        response = await self._dispatched(message)
        body = response.body
        if response.stream is not None:
            body = b"".join([piece async for piece in response.stream])
        return _message(message, response, body)

    async def _dispatched(self, message: forward_pb2.HttpRequest) -> Response:
        path = unescape_path(message.path.encode("latin-1"))
        if path is None:
            return Response(400)
        query = message.query.encode("latin-1")
        target = message.path.encode("latin-1") + (b"?" + query if query else b"")
        headers = [
            (header.name.lower().encode("latin-1"), header.value.encode("latin-1")) for header in message.headers
        ]
        request = Request(
            message.method, path, query, headers, message.body, message.remote_address, target, message.hops
        )
        request.internal = True
        answer = self._dispatcher.dispatch(request)
        return answer if isinstance(answer, Response) else await answer


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
