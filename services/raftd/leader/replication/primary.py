"""The primary datacenter as the leader of a secondary one asks it: through this node's apid, which knows its servers
and adds the replication token."""

from typing import TypeVar

import grpc
import grpc.aio
import msgspec

from lictor.pb.lictor.v1 import forward_pb2, forward_pb2_grpc
from lictor.rpc import DaemonChannel, DaemonNotRunning
from lictor.state.rows import CARoot

PATH = "/v1/agent/primary/"
CALL_TIMEOUT_S = 60.0
BLOCKING_TIMEOUT_S = 720.0
"""Longer than a blocking query may take in the primary datacenter (its max_query_time is 10 minutes by default)."""
READ_KEYS_MAX = 512
"""Objects asked for in one request."""
INDEX_HEADER = "x-consul-index"
OK, NO_TOKEN, UNREACHABLE = 200, 409, 503

T = TypeVar("T")


class PrimaryError(Exception):
    """The primary datacenter gave no usable answer; the text says why."""

    unreachable = False


class Unreachable(PrimaryError):
    """None of its servers can be reached, or this node's apid is not there."""

    unreachable = True


class NoReplicationToken(PrimaryError):
    """There is no token to ask with."""


class Roots(msgspec.Struct, array_like=True, frozen=True):
    """The primary datacenter's roots and the ID of its certificate authority's cluster; empty: not known yet."""

    cluster_id: str
    roots: list[CARoot]


class Details(msgspec.Struct, array_like=True, frozen=True):
    """Whole rows, encoded; `redacted`: the token may not see the secrets in them."""

    rows: msgspec.Raw
    redacted: bool


class Primary:
    """One request after the other. Every method raises PrimaryError."""

    def __init__(self, data_dir: str) -> None:
        self._daemon = DaemonChannel(data_dir, "apid")

    async def listed(self, kind: str, index: int) -> tuple[bytes, int]:
        """The encoded list of a kind and its index: as it is now; with an index once it has passed that, or after
        minutes, by then perhaps from a server that is behind."""
        query = f"index={index}" if index else ""
        answer = await self._ask("GET", kind, query, timeout_s=BLOCKING_TIMEOUT_S if index else CALL_TIMEOUT_S)
        return answer.body, _index_of(answer)

    async def details(self, kind: str, keys: list[str]) -> list[Details]:
        """Whole rows by key, in pieces; those that are gone meanwhile are left out."""
        found = []
        for begin in range(0, len(keys), READ_KEYS_MAX):
            body = msgspec.msgpack.encode(keys[begin : begin + READ_KEYS_MAX])
            answer = await self._ask("POST", kind, body=body)
            found.append(_decoded(answer.body, Details))
        return found

    async def roots(self, index: int) -> tuple[Roots, int]:
        """Like `listed`, for the certificate authority's roots."""
        body, found_index = await self.listed("roots", index)
        return _decoded(body, Roots), found_index

    async def sign_intermediate(self, signing_request: str) -> str:
        """A certificate for this datacenter's authority, as PEM."""
        answer = await self._ask("POST", "intermediate", body=signing_request.encode())
        return answer.body.decode()

    async def _ask(
        self, method: str, path: str, query: str = "", body: bytes = b"", timeout_s: float = CALL_TIMEOUT_S
    ) -> forward_pb2.HttpResponse:
        message = forward_pb2.HttpRequest(method=method, path=PATH + path, query=query, body=body)
        try:
            stub = forward_pb2_grpc.ForwardStub(self._daemon.channel())  # type: ignore[no-untyped-call]
            answer: forward_pb2.HttpResponse = await stub.Handle(
                message, metadata=self._daemon.metadata, timeout=timeout_s
            )
        except DaemonNotRunning as error:
            raise Unreachable(str(error)) from None
        except grpc.aio.AioRpcError as error:
            raise Unreachable(f"rpc error: {error.details() or error.code().name}") from None
        if answer.status == OK:
            return answer
        text = answer.body.decode("utf-8", "replace")
        if answer.status == UNREACHABLE:
            raise Unreachable(text)
        if answer.status == NO_TOKEN:
            raise NoReplicationToken(text)
        raise PrimaryError(text or f"unexpected response code: {answer.status}")

    async def close(self) -> None:
        """Close the channel."""
        await self._daemon.close()


def _index_of(answer: forward_pb2.HttpResponse) -> int:
    for header in answer.headers:
        if header.name.lower() == INDEX_HEADER and header.value.isdecimal():
            return int(header.value)
    raise PrimaryError("the answer has no index")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise PrimaryError(f"the answer is not understood: {error}") from None
