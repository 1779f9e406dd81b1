"""/v1/snapshot: the replicated state as an archive (Consul 1.7: snapshot_endpoint.go)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from apid.core.errors import PERMISSION_DENIED, Forbidden, HttpError, NoLeader
from apid.core.message import CONTACT_NOW, Request, Response
from apid.core.routes import Operation, Route
from apid.node.context import Node
from apid.node.reading import KNOWN_LEADER
from lictor.pb.lictor.v1 import raft_pb2
from lictor.rpc import DaemonNotRunning

ARCHIVE_TYPE = b"application/x-gzip"
MAX_ARCHIVE_BYTES = 1 << 30
CHUNK_BYTES = 1 << 20
TIMEOUT_S = 600.0


class SnapshotEndpoints:
    """Saves and restores."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def routes(self) -> list[Route]:
        return [
            Route(
                "/v1/snapshot",
                {
                    "GET": Operation(
                        self.save,
                        "Save the replicated state",
                        query=("dc", "stale"),
                        result={"type": "string", "contentMediaType": "application/x-gzip"},
                        result_type="application/x-gzip",
                        namespaced=False,
                    ),
                    "PUT": Operation(
                        self.restore,
                        "Replace the replicated state by a saved one",
                        query=("dc",),
                        raw_body=True,
                        namespaced=False,
                    ),
                },
                max_body_bytes=MAX_ARCHIVE_BYTES,
            )
        ]

    async def save(self, request: Request) -> Response:
        self._require_right(request)
        consensus = self._node.consensus
        try:
            call = consensus.stub().SnapshotSave(
                raft_pb2.SnapshotSaveRequest(stale=request.has("stale")),
                metadata=consensus.daemon.metadata,
                timeout=TIMEOUT_S,
            )
            first = await call.read()
        except DaemonNotRunning:
            raise NoLeader() from None
        except grpc.aio.AioRpcError as error:
            raise HttpError(error.details() or error.code().name) from None
        if first is grpc.aio.EOF:
            raise HttpError(await call.details() or "no snapshot")
        headers = [(b"X-Consul-Index", b"%d" % (first.index or 1)), KNOWN_LEADER, CONTACT_NOW]
        return Response(200, b"", ARCHIVE_TYPE, headers, stream=_pieces(first.data, call))

    async def restore(self, request: Request) -> Response:
        self._require_right(request)
        if request.body_bytes > MAX_ARCHIVE_BYTES:
            raise HttpError(f"the archive is larger than {MAX_ARCHIVE_BYTES} bytes", 413)
        consensus = self._node.consensus
        try:
            answer = await consensus.stub().SnapshotRestore(
                _chunks(request.body), metadata=consensus.daemon.metadata, timeout=TIMEOUT_S
            )
        except DaemonNotRunning:
            raise NoLeader() from None
        except grpc.aio.AioRpcError as error:
            raise HttpError(error.details() or error.code().name) from None
        if answer.error:
            raise HttpError(answer.error)
        return Response(200)

    def _require_right(self, request: Request) -> None:
        if not self._node.authorizer(request).snapshot():
            raise Forbidden(PERMISSION_DENIED)


async def _pieces(first: bytes, call: Any) -> AsyncIterator[bytes]:
    """The archive; an error in the middle breaks the connection off, so that nobody takes a part for the whole."""
    yield first
    while (message := await call.read()) is not grpc.aio.EOF:
        yield message.data


async def _chunks(body: bytes) -> AsyncIterator[raft_pb2.SnapshotChunk]:
    for start in range(0, max(len(body), 1), CHUNK_BYTES):
        yield raft_pb2.SnapshotChunk(data=body[start : start + CHUNK_BYTES])
