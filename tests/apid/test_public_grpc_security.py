"""The public gRPC port over TLS, and the token that a call brings."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from apid.core.dispatcher import Dispatcher
from apid.core.errors import Forbidden
from apid.core.message import JSON, Request, Response
from apid.core.routes import Operation, Route
from apid.public.server import PublicServer
from lictor.pb.lictor.v1 import kv_pb2, kv_pb2_grpc
from tests.apid.authority import Authority
from tools.agents import Agent, free_ports, make_agent, running, wait_until

DEADLINE_S = 10


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "authority")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[Agent, str]]:
    """An agent that wants client certificates, and where its gRPC port is."""
    cert_file, key_file = authority.issue("server")
    (port,) = free_ports(1)
    config = {
        "ports": {"grpc": port},
        "performance": {"raft_multiplier": 1},
        "cert_file": str(cert_file),
        "key_file": str(key_file),
        "ca_file": str(authority.file),
        "verify_incoming_https": True,
    }
    agent = make_agent(tmp_path_factory.mktemp("grpc"), "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(agent):
        agent.wait_leader()
        yield agent, f"127.0.0.1:{port}"


def asked(channel: grpc.Channel) -> bytes:
    with channel:
        value: bytes = kv_pb2_grpc.KVStub(channel).Get(kv_pb2.KVGetRequest(key="a"), timeout=DEADLINE_S).entry.value
        return value


def credentials(authority: Authority, client: bool) -> grpc.ChannelCredentials:
    root = authority.file.read_bytes()
    if not client:
        return grpc.ssl_channel_credentials(root)
    cert_file, key_file = authority.issue("client")
    return grpc.ssl_channel_credentials(root, key_file.read_bytes(), cert_file.read_bytes())


def test_clients_with_a_certificate_of_the_authority_are_served(
    secure: tuple[Agent, str], authority: Authority
) -> None:
    agent, target = secure
    agent.put("/v1/kv/a", b"1")
    assert asked(grpc.secure_channel(target, credentials(authority, client=True))) == b"1"
    for channel in (
        grpc.secure_channel(target, credentials(authority, client=False)),
        grpc.insecure_channel(target),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            asked(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_reload_takes_the_new_certificate(secure: tuple[Agent, str], authority: Authority) -> None:
    agent, target = secure
    host, port = target.split(":")

    def serial() -> int:
        pem = ssl.get_server_certificate((host, int(port)))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    before = serial()
    authority.issue("server")
    agent.put("/v1/agent/reload")
    wait_until("the new certificate is shown", lambda: serial() != before)
    assert asked(grpc.secure_channel(target, credentials(authority, client=True))) == b"1"


async def test_the_token_of_a_call_is_that_of_its_request(tmp_path: Path) -> None:
    def guarded(request: Request) -> Response:
        if request.header(b"x-consul-token") != "sesame":
            raise Forbidden("Permission denied")
        return Response(
            200, b'[{"Key":"a","Value":"MQ==","Flags":0,"LockIndex":0,"CreateIndex":1,"ModifyIndex":1}]', JSON
        )

    operation = Operation(guarded, "a test", forwarded=False)
    server = PublicServer(Dispatcher([Route("/v1/kv/", {"GET": operation})]))
    await server.start([f"unix://{tmp_path}/grpc.sock"], 0)
    try:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/grpc.sock") as channel:
            stub = kv_pb2_grpc.KVStub(channel)  # type: ignore[no-untyped-call]
            answer = await stub.Get(kv_pb2.KVGetRequest(key="a"), metadata=(("x-consul-token", "sesame"),))
            assert answer.entry.value == b"1"
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.Get(kv_pb2.KVGetRequest(key="a"))
            assert (refused.value.code(), refused.value.details()) == (
                grpc.StatusCode.PERMISSION_DENIED,
                "Permission denied",
            )
    finally:
        await server.stop(0)
