"""A small stand-in for apid's Forward service: one catalog in memory, with failures to order.

It knows just what checkd asks for, and answers as the HTTP API does; the end-to-end tests use the real one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from lictor.pb.lictor.v1 import forward_pb2, forward_pb2_grpc
from lictor.rpc import DaemonServer

BLOCK_S = 5.0


class FakeApid(forward_pb2_grpc.ForwardServicer):
    """The catalog of one datacenter; `refuse` maps a path prefix to a status and text given instead of an answer."""

    def __init__(self, data_dir: str | Path) -> None:
        self.server = DaemonServer(data_dir, "apid", ("lictor.v1.Forward",))
        forward_pb2_grpc.add_ForwardServicer_to_server(self, self.server.server)  # type: ignore[no-untyped-call]
        self.nodes: dict[str, dict[str, Any]] = {}
        self.services: dict[str, dict[str, dict[str, Any]]] = {}
        self.checks: dict[str, dict[str, dict[str, Any]]] = {}
        self.config: dict[str, list[dict[str, Any]]] = {}
        self.coordinates: list[dict[str, Any]] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.requests: list[tuple[str, str, Any]] = []
        self.tokens: list[str] = []
        self.index = 1
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop(0)

    async def HandleBatches(
        self, request_iterator: AsyncIterator[forward_pb2.HttpRequests], context: Any
    ) -> AsyncIterator[forward_pb2.HttpResponses]:
        answers: asyncio.Queue[forward_pb2.HttpResponse] = asyncio.Queue()
        tasks = set()

        async def handle(request: forward_pb2.HttpRequest) -> None:
            await answers.put(await self.Handle(request, context))

        async def read() -> None:
            async for batch in request_iterator:
                for request in batch.items:
                    tasks.add(asyncio.create_task(handle(request)))

        reader = asyncio.create_task(read())
        try:
            while True:
                yield forward_pb2.HttpResponses(items=[await answers.get()])
        finally:
            reader.cancel()
            for task in tasks:
                task.cancel()

    async def Handle(self, request: forward_pb2.HttpRequest, context: Any) -> forward_pb2.HttpResponse:
        body = json.loads(request.body) if request.body else None
        self.requests.append((request.method, request.path, body))
        self.tokens.append(next((h.value for h in request.headers if h.name == "X-Consul-Token"), ""))
        for prefix, (status, text) in self.refuse.items():
            if request.path.startswith(prefix):
                return forward_pb2.HttpResponse(id=request.id, status=status, body=text.encode())
        answer = await self._answer(request, body)
        response = forward_pb2.HttpResponse(id=request.id, status=200, body=json.dumps(answer).encode())
        response.headers.add(name="X-Consul-Index", value=str(self.index))
        return response

    async def _answer(self, request: forward_pb2.HttpRequest, body: Any) -> Any:
        node = unquote(request.path.rsplit("/", 1)[-1])
        match request.path.split("/")[2:4]:
            case ["catalog", "register"]:
                await self.register(body)
                return True
            case ["catalog", "deregister"]:
                await self.deregister(body)
                return True
            case ["coordinate", "update"]:
                self.coordinates.append(body)
                return None
            case ["config", kind]:
                await self._block(parse_qs(request.query))
                return self.config.get(kind, [])
            case ["catalog", "node-services"]:
                if node not in self.nodes:
                    return None
                return {"Node": self.nodes[node], "Services": list(self.services.get(node, {}).values())}
            case ["health", "node"]:
                await self._block(parse_qs(request.query))
                return list(self.checks.get(node, {}).values())
            case ["acl", "token"]:
                return {"AccessorID": f"accessor of {self.tokens[-1]}"}
        raise AssertionError(f"not expected: {request.method} {request.path}")

    async def _block(self, query: dict[str, list[str]]) -> None:
        if "index" not in query:
            return
        seen = int(query["index"][0])
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: self.index > seen), BLOCK_S)
            except TimeoutError:
                return

    async def register(self, body: dict[str, Any]) -> None:
        """What `PUT /v1/catalog/register` does."""
        name = body["Node"]
        if not body.get("SkipNodeUpdate") or name not in self.nodes:
            self.nodes[name] = {
                "ID": body["ID"],
                "Node": name,
                "Address": body["Address"],
                "TaggedAddresses": body["TaggedAddresses"],
                "Meta": body["NodeMeta"],
            }
        if service := body.get("Service"):
            self.services.setdefault(name, {})[service["ID"]] = service
        for check in [*body.get("Checks", []), *([body["Check"]] if body.get("Check") else [])]:
            self.checks.setdefault(name, {})[check["CheckID"]] = check
        await self._bump()

    async def write_config(self, kind: str, entry: dict[str, Any] | None) -> None:
        """Make an entry the only one of its kind, or remove all."""
        self.config[kind] = [entry] if entry is not None else []
        await self._bump()

    async def deregister(self, body: dict[str, Any]) -> None:
        """What `PUT /v1/catalog/deregister` does."""
        name = body["Node"]
        if service_id := body.get("ServiceID"):
            self.services.get(name, {}).pop(service_id, None)
            for check_id in [k for k, c in self.checks.get(name, {}).items() if c["ServiceID"] == service_id]:
                del self.checks[name][check_id]
        self.checks.get(name, {}).pop(body.get("CheckID", ""), None)
        await self._bump()

    async def _bump(self) -> None:
        self.index += 1
        async with self._changed:
            self._changed.notify_all()
