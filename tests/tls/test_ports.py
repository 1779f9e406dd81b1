"""A guarded port and a dialer back to back, with an echo server inside."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from lictor.config.runtime import RuntimeConfig, TlsConfig
from lictor.tls.configurator import Configurator
from lictor.tls.dialer import Dialer
from lictor.tls.listener import INSECURE_TLS, GuardedPort, name_fault
from lictor.tls.sockets import PrivateSockets
from tests.apid.authority import Authority

PLAIN_GREETING = b"PRI * hello"
TIMEOUT_S = 10.0
HOST = "127.0.0.1"
WRONG_NAME = "x509: certificate is not valid for server.bj.consul"


class World:
    """One authority, one port, and as many dialers as wanted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder, "authority")
        self.sockets = PrivateSockets(str(folder), "test")
        self.inside = self.sockets.new_path()
        self.guard: GuardedPort | None = None
        self.port = 0
        self.dialers: list[Dialer] = []

    def settings(self, *names: str, authority: Authority | None = None, **tls: Any) -> RuntimeConfig:
        issuer = authority or self.authority
        cert_file, key_file = issuer.issue(f"cert{len(list(self.folder.iterdir()))}", *names)
        files = {"ca_file": str(self.authority.file), "cert_file": str(cert_file), "key_file": str(key_file)}
        return RuntimeConfig(datacenter="bj", tls=TlsConfig(**files | tls))

    def open(
        self, config: RuntimeConfig, admits: Callable[[Any], str] | None = None, timeout_s: float = 5.0
    ) -> Configurator:
        configurator = Configurator(config)
        self.guard = GuardedPort(
            self.inside, configurator.incoming_rpc, lambda: not configurator.verify_incoming_rpc, timeout_s, admits
        )
        self.port = self.guard.listen(HOST, 0)
        return configurator

    def dialer(self, config: RuntimeConfig, speaks_tls: bool = True, prefix: bytes = b"") -> Dialer:
        made = Dialer(Configurator(config), self.sockets, lambda _: speaks_tls, prefix)
        self.dialers.append(made)
        return made

    async def echoed(self, dialer: Dialer, data: bytes = PLAIN_GREETING) -> bytes:
        """What comes back; as much as was sent, or less when the connection ends."""
        target = dialer.target(f"{HOST}:{self.port}", "bj").removeprefix("unix:")
        return await exchanged(*await asyncio.open_unix_connection(target), data)

    async def sent_plainly(self, data: bytes) -> bytes:
        return await exchanged(*await asyncio.open_connection(HOST, self.port), data)


async def exchanged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        async with asyncio.timeout(TIMEOUT_S):
            writer.write(data)
            await writer.drain()
            while len(received) < max(len(data), 1) and (part := await reader.read(1 << 16)):
                received += part
    await closed(writer)
    return received


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        await closed(writer)

    async with await asyncio.start_unix_server(echo, made.inside):
        yield made
        for dialer in made.dialers:
            await dialer.close()
        if made.guard is not None:
            await made.guard.close()
        # What was cut is told of in the next rounds of the loop.
        for _ in range(10):
            await asyncio.sleep(0)
    made.sockets.close()


async def test_both_sides_verified_everything_goes_through(world: World) -> None:
    config = world.settings("server.bj.consul", verify_incoming=True, verify_server_hostname=True, verify_outgoing=True)
    world.open(config)
    data = bytes(range(256)) * 40_000
    assert await world.echoed(world.dialer(config), data) == data


async def test_without_verification_tls_and_plain_are_both_taken(world: World) -> None:
    config = world.settings()
    world.open(config)
    assert await world.sent_plainly(PLAIN_GREETING) == PLAIN_GREETING
    assert await world.echoed(world.dialer(config)) == PLAIN_GREETING
    assert await world.echoed(world.dialer(config, speaks_tls=False)) == PLAIN_GREETING


async def test_plain_connections_are_refused_where_certificates_are_wanted(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    config = world.settings(verify_incoming=True)
    world.open(config)
    for _ in range(5):
        assert await world.sent_plainly(PLAIN_GREETING) == b""
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1 and lines[0].startswith("Non-TLS connection attempted with VerifyIncoming set: conn=from=")


async def test_a_certificate_of_another_authority_is_refused_with_one_line(
    world: World, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    world.open(world.settings(verify_incoming=True))
    stranger = Authority(tmp_path, "stranger")
    theirs = world.settings(authority=stranger)
    dialer = world.dialer(theirs)
    for _ in range(5):
        assert await world.echoed(dialer) == b""
    refusals = [record.getMessage() for record in caplog.records if "failed to read byte" in record.getMessage()]
    assert len(refusals) == 1
    assert refusals[0].endswith('error="x509: certificate signed by unknown authority"')
    assert dialer.failure(f"{HOST}:{world.port}") == "remote error: tls: bad certificate"


@pytest.mark.parametrize(
    ("names", "settings", "said"),
    [
        (
            ("client.bj.consul",),
            {"verify_server_hostname": True},
            WRONG_NAME,
        ),
        (
            ("server.sh.consul",),
            {"verify_server_hostname": True},
            WRONG_NAME,
        ),
        (("client.bj.consul",), {"verify_outgoing": True}, ""),
    ],
)
async def test_who_dials_by_name_takes_only_a_server_of_that_datacenter(
    world: World, names: tuple[str, ...], settings: dict[str, bool], said: str
) -> None:
    world.open(world.settings(*names))
    dialer = world.dialer(world.settings(**settings))
    assert await world.echoed(dialer) == (b"" if said else PLAIN_GREETING)
    assert dialer.failure(f"{HOST}:{world.port}") == said


async def test_a_server_that_expired_is_refused_and_named_so(world: World) -> None:
    cert_file, key_file = world.authority.issue("old", "server.bj.consul", expired=True)
    files = {"cert_file": str(cert_file), "key_file": str(key_file)}
    world.open(RuntimeConfig(datacenter="bj", tls=TlsConfig(ca_file=str(world.authority.file), **files)))
    dialer = world.dialer(world.settings(verify_outgoing=True))
    assert await world.echoed(dialer) == b""
    assert dialer.failure(f"{HOST}:{world.port}") == "x509: certificate has expired or is not yet valid"


async def test_a_port_for_servers_alone_refuses_clients_by_name(world: World, caplog: pytest.LogCaptureFixture) -> None:
    config = world.settings("server.bj.consul", verify_incoming=True, verify_outgoing=True)
    world.open(config, lambda certificate: name_fault(certificate, "server.bj.consul"))
    assert await world.echoed(world.dialer(config)) == PLAIN_GREETING
    client = world.settings("client.bj.consul", verify_outgoing=True)
    assert await world.echoed(world.dialer(client)) == b""
    assert "certificate is valid for client.bj.consul, not server.bj.consul" in caplog.text


async def test_agents_without_a_certificate_come_to_what_is_meant_for_them_only(world: World) -> None:
    config = world.settings("server.bj.consul", verify_incoming=True)
    configurator = world.open(config)

    async def tell(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"for strangers")
        await closed(writer)

    assert world.guard is not None
    path = world.sockets.new_path()
    world.guard.serve_insecure(path, configurator.incoming_insecure)
    bare = RuntimeConfig(datacenter="bj", tls=TlsConfig(ca_file=str(world.authority.file), verify_outgoing=True))
    async with await asyncio.start_unix_server(tell, path):
        first = world.dialer(bare, prefix=bytes((INSECURE_TLS,)))
        assert await world.echoed(first, b"x" * 13) == b"for strangers"
        assert await world.echoed(world.dialer(bare)) == b""


async def test_a_reload_is_for_new_connections_and_open_ones_go_on(world: World) -> None:
    old = world.settings("server.bj.consul", verify_incoming=True, verify_outgoing=True)
    configurator = world.open(old)
    dialer = world.dialer(old)
    target = dialer.target(f"{HOST}:{world.port}", "bj").removeprefix("unix:")
    reader, writer = await asyncio.open_unix_connection(target)
    writer.write(b"before")
    assert await reader.readexactly(6) == b"before"
    second = Authority(world.folder, "second")
    cert_file, key_file = second.issue("renewed", "server.bj.consul")
    files = {"ca_file": str(second.file), "cert_file": str(cert_file), "key_file": str(key_file)}
    renewed = RuntimeConfig(datacenter="bj", tls=TlsConfig(**files, verify_incoming=True, verify_outgoing=True))
    configurator.update(renewed)
    assert await world.echoed(dialer) == b""
    assert await world.echoed(world.dialer(renewed)) == PLAIN_GREETING
    writer.write(b"after")
    assert await reader.readexactly(5) == b"after"
    await closed(writer)


@pytest.mark.parametrize("begin", [b"", b"\x16\x03\x01", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_who_does_not_finish_a_handshake_is_let_go(world: World, begin: bytes) -> None:
    world.open(world.settings(verify_incoming=True), timeout_s=0.3)
    started_s = time.monotonic()
    assert await world.sent_plainly(begin) == b""
    assert 0.2 < time.monotonic() - started_s < TIMEOUT_S


@pytest.mark.parametrize(
    "garbage",
    [b"\x00" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16" + b"\xff" * 5000, b"\x07" * 100],
    ids=["zeros", "http", "record", "no-certificate"],
)
async def test_garbage_ends_its_own_connection_only(world: World, garbage: bytes) -> None:
    config = world.settings("server.bj.consul", verify_incoming=True, verify_outgoing=True)
    world.open(config)
    assert PLAIN_GREETING not in await world.sent_plainly(garbage)
    assert await world.echoed(world.dialer(config)) == PLAIN_GREETING


async def test_one_client_gets_so_many_connections(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.open(world.settings())
    assert world.guard is not None
    world.guard.max_connections_per_client = 2
    held = [await asyncio.open_connection(HOST, world.port) for _ in range(2)]
    for reader, writer in held:
        writer.write(PLAIN_GREETING)
        assert await reader.readexactly(len(PLAIN_GREETING)) == PLAIN_GREETING
    assert await world.sent_plainly(PLAIN_GREETING) == b""
    assert "rpc_max_conns_per_client exceeded" in caplog.text
    for _, writer in held:
        await closed(writer)
    async with asyncio.timeout(TIMEOUT_S):
        while await world.sent_plainly(PLAIN_GREETING) != PLAIN_GREETING:  # noqa: ASYNC110 - seen from outside only
            await asyncio.sleep(0.01)


async def test_other_suites_are_refused(world: World) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
    world.open(world.settings("server.bj.consul", min_version="tls12", cipher_suites=(suite,)))
    for version, cipher, good in (
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256", True),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384", False),
    ):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers(cipher)
        context.maximum_version = version
        try:
            reader, writer = await asyncio.open_connection(HOST, world.port, ssl=context)
        except (ssl.SSLError, ConnectionError):
            assert not good, (version, cipher)
            continue
        assert good, (version, cipher)
        assert await exchanged(reader, writer, PLAIN_GREETING) == PLAIN_GREETING


async def test_who_is_refused_is_told_why_in_the_handshake(world: World) -> None:
    world.open(world.settings("server.bj.consul", verify_incoming=True))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="ALERT"):
        await asyncio.open_connection(HOST, world.port, ssl=context)
