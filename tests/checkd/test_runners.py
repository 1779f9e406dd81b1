"""Runners against real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
import os
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from checkd.core.definitions import check_definition
from checkd.runners.h2ping import ACK, FRAME_HEADER, PING, PREFACE, SETTINGS, frame
from checkd.runners.pool import RunnerPool
from checkd.runners.result import Result, Run
from lictor.config.runtime import ChecksConfig, RuntimeConfig, TlsConfig
from lictor.tls.configurator import Configurator
from tests.checkd.waiting import until

Answer = Callable[[bytes], bytes | Awaitable[bytes]]


@pytest.fixture
async def pool() -> AsyncIterator[RunnerPool]:
    made = RunnerPool()
    yield made
    await made.close()


async def run(pool: RunnerPool, limit: int = 4096, **fields: Any) -> Result:
    return await pool.run(Run(check_definition({"Name": "x", "Interval": "10s", **fields}), limit))


def refused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@asynccontextmanager
async def http_server(
    answer: Callable[[str, dict[str, str], bytes], bytes], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server that answers by request line, headers and body; an empty answer hangs."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.rstrip().split("\r\n")
            headers = {name.lower(): value for name, value in (item.split(": ", 1) for item in rest)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            reply = answer(line, headers, body)
            if not reply:
                await reader.read()
            writer.write(reply)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("200 OK", "passing"),
        ("204 No Content", "passing"),
        ("429 Too Many Requests", "warning"),
        ("404 Not Found", "critical"),
        ("503 Service Unavailable", "critical"),
        ("299 Odd", "passing"),
    ],
)
async def test_http_judges_by_status(pool: RunnerPool, line: str, status: str) -> None:
    async with http_server(lambda *_: reply(line, b"hello")) as port:
        url = f"http://127.0.0.1:{port}/health"
        result = await run(pool, HTTP=url)
    assert result == (status, f"HTTP GET {url}: {line} Output: {'' if line[:3] == '204' else 'hello'}")


async def test_http_sends_what_was_asked(pool: RunnerPool) -> None:
    seen: list[Any] = []

    def answer(line: str, headers: dict[str, str], body: bytes) -> bytes:
        seen.append((line, headers, body))
        return reply("200 OK")

    async with http_server(answer) as port:
        await run(pool, HTTP=f"http://user:pw@127.0.0.1:{port}/a%20b?c=d&e")
        given = {"Accept": ["x/y"], "X-Two": ["1", "2"], "Host": ["example.org"]}
        await run(pool, HTTP=f"http://127.0.0.1:{port}", Method="POST", Body="ping", Header=given)
    line, headers, body = seen[0]
    assert (line, body) == ("GET /a%20b?c=d&e HTTP/1.1", b"")
    assert headers["user-agent"] == "Consul Health Check" and headers["accept"] == "text/plain, text/*, */*"
    assert headers["host"] == f"127.0.0.1:{port}" and headers["authorization"] == "Basic dXNlcjpwdw=="
    line, headers, body = seen[1]
    assert (line, body) == ("POST / HTTP/1.1", b"ping")
    assert (headers["accept"], headers["x-two"], headers["host"]) == ("x/y", "2", "example.org")


async def test_http_follows_redirects_as_go_does_and_stops(pool: RunnerPool) -> None:
    seen = []

    def answer(line: str, headers: dict[str, str], body: bytes) -> bytes:
        seen.append((line.rsplit(" ", 1)[0], body))
        if "/loop" in line:
            return reply("302 Found", b"", "Location: /loop")
        if "/see" in line:
            return reply("303 See Other", b"", "Location: ok")
        if "/keep" in line:
            return reply("307 Temporary Redirect", b"", "Location: /ok")
        return reply("200 OK", b"fine")

    async with http_server(answer) as port:
        base = f"http://127.0.0.1:{port}"
        assert (await run(pool, HTTP=f"{base}/see", Method="POST", Body="b")).status == "passing"
        assert (await run(pool, HTTP=f"{base}/keep", Method="POST", Body="b")).status == "passing"
        assert seen == [("POST /see", b"b"), ("GET /ok", b""), ("POST /keep", b"b"), ("POST /ok", b"b")]
        looped = await run(pool, HTTP=f"{base}/loop")
        assert looped == ("critical", f'Get "{base}/loop": stopped after 10 redirects')
        assert (await run(pool, HTTP=f"{base}/loop", DisableRedirects=True)).status == "critical"


async def test_http_keeps_the_end_of_a_long_body(pool: RunnerPool) -> None:
    async with http_server(lambda *_: reply("200 OK", b"a" * 100_000 + b"end")) as port:
        result = await run(pool, limit=10, HTTP=f"http://127.0.0.1:{port}")
    assert result.output.endswith("Output: aaaaaaaend")


async def test_http_reads_chunked_and_unframed_bodies(pool: RunnerPool) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    for raw in (chunked, b"HTTP/1.0 200 OK\r\n\r\nabcde"):
        async with http_server(lambda *_, raw=raw: raw) as port:
            assert (await run(pool, HTTP=f"http://127.0.0.1:{port}")).output.endswith("200 OK Output: abcde")


async def test_http_failures_are_critical_and_say_why(pool: RunnerPool) -> None:
    port = refused_port()
    url = f"http://127.0.0.1:{port}"
    expected = f'Get "{url}": dial tcp 127.0.0.1:{port}: connect: connection refused'
    assert await run(pool, HTTP=url) == ("critical", expected)
    async with http_server(lambda *_: b"") as port:
        url = f"http://127.0.0.1:{port}"
        slow = await run(pool, HTTP=url, Timeout="50ms")
        assert slow.status == "critical" and "Client.Timeout exceeded while awaiting headers" in slow.output
    async with http_server(lambda *_: b"garbage\r\n\r\n") as port:
        assert (await run(pool, HTTP=f"http://127.0.0.1:{port}")).status == "critical"
    assert "unsupported protocol scheme" in (await run(pool, HTTP="ftp://x")).output
    assert "invalid header field value" in (await run(pool, HTTP=url, Header={"A": ["b\r\nC: d"]})).output


@pytest.mark.parametrize(
    ("definition", "output"),
    [
        ({"HTTP": "http://u:p@127.0.0.1:1/a b"}, 'Get "http://u:***@127.0.0.1:1/a%20b": dial tcp'),
        ({"HTTP": "127.0.0.1:80"}, 'parse "127.0.0.1:80": first path segment in URL cannot contain colon'),
        ({"HTTP": "http://127.0.0.1:x/"}, 'parse "http://127.0.0.1:x/": invalid port ":x" after host'),
        ({"HTTP": "http://127.0.0.1:1", "Method": "A B"}, 'net/http: invalid method "A B"'),
        ({"TCP": "127.0.0.1:x"}, "dial tcp: address tcp/x: unknown port"),
        ({"TCP": ":1"}, "dial tcp :1: connect: connection refused"),
        ({"Args": [""]}, "exec: no command"),
    ],
)
async def test_definitions_that_cannot_work_are_critical_in_gos_words(
    pool: RunnerPool, definition: dict[str, object], output: str
) -> None:
    result = await run(pool, **definition)
    assert result.status == "critical" and result.output.startswith(output)


async def test_a_status_line_without_a_reason_is_shown_as_it_came(pool: RunnerPool) -> None:
    async with http_server(lambda *_: b"HTTP/1.1 299 \r\nContent-Length: 2\r\n\r\nok") as port:
        result = await run(pool, HTTP=f"http://127.0.0.1:{port}")
    assert result == ("passing", f"HTTP GET http://127.0.0.1:{port}: 299  Output: ok")


async def test_tcp(pool: RunnerPool) -> None:
    async with http_server(lambda *_: b"") as port:
        address = f"127.0.0.1:{port}"
        assert await run(pool, TCP=address) == ("passing", f"TCP connect {address}: Success")
        assert (await run(pool, TCP=f"localhost:{port}")).status == "passing"
    refused = f"127.0.0.1:{refused_port()}"
    assert await run(pool, TCP=refused) == ("critical", f"dial tcp {refused}: connect: connection refused")
    assert (await run(pool, TCP="nohost.invalid:1")).output == "dial tcp: lookup nohost.invalid: no such host"
    assert (await run(pool, TCP="127.0.0.1")).output == "dial tcp: address 127.0.0.1: missing port in address"


async def test_udp_is_critical_only_when_refused(pool: RunnerPool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert await run(pool, UDP=address, Timeout="50ms") == ("passing", f"UDP connect {address}: Success")
    assert (await run(pool, UDP=address, Timeout="1s")).status == "critical"


@pytest.mark.parametrize(("code", "status"), [(0, "passing"), (1, "warning"), (2, "critical"), (255, "critical")])
async def test_scripts_are_judged_by_their_exit_code(pool: RunnerPool, code: int, status: str) -> None:
    result = await run(pool, Args=["sh", "-c", f"echo out; echo err >&2; exit {code}"])
    assert result == (status, "out\nerr\n")


async def test_a_script_that_is_killed_or_missing_is_critical(pool: RunnerPool) -> None:
    assert (await run(pool, Args=["sh", "-c", "kill -9 $$"])).status == "critical"
    missing = await run(pool, Args=["no-such-program"])
    assert missing == ("critical", 'exec: "no-such-program": executable file not found in $PATH')
    assert (await run(pool, Args=["/etc/passwd"])).output == "fork/exec /etc/passwd: permission denied"


async def test_long_script_output_keeps_its_end_and_says_how_much_it_was(pool: RunnerPool) -> None:
    result = await run(pool, Args=[sys.executable, "-c", "print('a' * 9999 + 'end', end='')"])
    assert result.output.startswith("Captured 4096 of 10002 bytes\n...\naaa")
    assert result.output.endswith("aaaend") and len(result.output) == 4096 + len("Captured 4096 of 10002 bytes\n...\n")


async def test_a_script_out_of_time_is_killed_with_all_it_started(pool: RunnerPool, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"echo begun; sleep 100 & echo $! > {pid_file}; wait"
    started = time.monotonic()
    result = await run(pool, Args=["sh", "-c", script], Timeout="500ms")
    assert result == ("critical", "Timed out (500ms) running check\n\nbegun\n")
    assert time.monotonic() - started < 5
    with pytest.raises(ProcessLookupError):
        for _ in range(200):
            os.kill(int(pid_file.read_text()), 0)
            await asyncio.sleep(0.01)


async def test_a_cancelled_script_is_killed(pool: RunnerPool, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(run(pool, Args=["sh", "-c", f"echo $$ > {pid_file}; exec sleep 100"]))
    await until("the script runs", lambda: pid_file.exists() and pid_file.read_text())
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(ProcessLookupError):
        for _ in range(200):
            os.kill(int(pid_file.read_text()), 0)
            await asyncio.sleep(0.01)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private


def agents_own(ca_file: Path, server_name: str = "localhost") -> Configurator:
    """The agent's TLS, with its use for checks turned on."""
    config = RuntimeConfig(
        tls=TlsConfig(ca_file=str(ca_file), server_name=server_name), checks_config=ChecksConfig(enable_agent_tls=True)
    )
    return Configurator(config)


async def test_https_verifies_unless_told_not_to(pool: RunnerPool, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with http_server(lambda *_: reply("200 OK", b"safe"), context) as port:
        url = f"https://127.0.0.1:{port}"
        refused = await run(pool, HTTP=url)
        assert refused.status == "critical" and refused.output == (
            f'Get "{url}": x509: certificate signed by unknown authority'
        )
        assert (await run(pool, HTTP=url, TLSSkipVerify=True)).status == "passing"
        assert (await run(RunnerPool(agents_own(certificate[0])), HTTP=url)).status == "passing"
        named_otherwise = RunnerPool(agents_own(certificate[0], server_name="web.example"))
        assert (await run(named_otherwise, HTTP=url)).output == (
            f'Get "{url}": x509: certificate is not valid for web.example'
        )


async def test_a_server_that_wants_a_certificate_is_quoted(pool: RunnerPool, certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.load_verify_locations(certificate[0])
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(asyncio.to_thread(serve))
        result = await run(pool, HTTP=url, TLSSkipVerify=True, Timeout="5s")
        await serving
    assert result == ("critical", f'Get "{url}": remote error: tls: handshake failure')


async def test_handshakes_that_hang_or_break_are_only_that_checks_trouble(pool: RunnerPool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1)
        if first and len(broken) % 2:
            writer.write(b"no handshake")
        broken.append(first)
        await reader.read()
        writer.close()

    broken: list[bytes] = []
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    checks: list[dict[str, Any]] = [{"HTTP": f"https://127.0.0.1:{port}"}, {"H2PING": f"127.0.0.1:{port}"}] * 20
    results = await asyncio.gather(*(run(pool, Timeout="200ms", **check) for check in checks))
    assert {result.status for result in results} == {"critical"}
    server.close()


@asynccontextmanager
async def grpc_server(credentials: grpc.ServerCredentials | None = None) -> AsyncIterator[tuple[int, HealthServicer]]:
    server = grpc.aio.server()
    health = HealthServicer()
    add_HealthServicer_to_server(health, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port, health
    finally:
        await server.stop(0)


async def test_grpc_asks_the_health_service(pool: RunnerPool) -> None:
    statuses = health_pb2.HealthCheckResponse
    async with grpc_server() as (port, health):
        await health.set("", statuses.SERVING)
        await health.set("web", statuses.NOT_SERVING)
        address = f"127.0.0.1:{port}"
        assert await run(pool, GRPC=address) == ("passing", f"gRPC check {address}: success")
        unhealthy = await run(pool, GRPC=f"{address}/web")
        assert unhealthy == ("critical", "gRPC application didn't report service healthy")
        unknown = await run(pool, GRPC=f"{address}/zz")
        assert unknown.status == "critical" and "code = NotFound" in unknown.output
    gone = await run(pool, GRPC=f"127.0.0.1:{refused_port()}", Timeout="2s")
    assert gone.status == "critical"
    assert gone.output.startswith("rpc error: code = Unavailable desc = all SubConns are in TransientFailure")
    assert gone.output.endswith('connect: connection refused"')


async def test_grpc_over_tls(certificate: tuple[Path, Path]) -> None:
    pem, key = certificate[0].read_bytes(), certificate[1].read_bytes()
    async with grpc_server(grpc.ssl_server_credentials([(key, pem)])) as (port, health):
        await health.set("", health_pb2.HealthCheckResponse.SERVING)
        address = f"127.0.0.1:{port}"
        for tls, fields, status in (
            (None, {}, "critical"),
            (None, {"TLSSkipVerify": True}, "passing"),
            (agents_own(certificate[0]), {}, "passing"),
            (agents_own(certificate[0], server_name="web.example"), {}, "critical"),
        ):
            pool = RunnerPool(tls)
            assert (await run(pool, GRPC=address, GRPCUseTLS=True, Timeout="3s", **fields)).status == status
            await pool.close()


async def test_an_http2_ping_wants_its_own_bytes_back(pool: RunnerPool) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(len(PREFACE))
            writer.write(frame(SETTINGS, 0, b""))
            while True:
                high, low, kind, flags, _ = FRAME_HEADER.unpack(await reader.readexactly(FRAME_HEADER.size))
                payload = await reader.readexactly((high << 8) | low)
                if kind == PING and not flags & ACK:
                    writer.write(frame(PING, ACK, payload))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    result = await run(pool, H2PING=f"127.0.0.1:{port}", H2PingUseTLS=False)
    assert result == ("passing", "HTTP2 ping was successful")
    server.close()
    async with http_server(lambda *_: reply("400 Bad Request")) as port:
        refused = await run(pool, H2PING=f"127.0.0.1:{port}", H2PingUseTLS=False, Timeout="1s")
        assert refused.status == "critical"


async def test_docker_runs_the_command_in_the_container_through_the_engines_socket(
    pool: RunnerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((int(x.split(": ")[1]) for x in head.split("\r\n") if x.startswith("Content-Length")), 0)
        seen.append((head.split(" HTTP")[0], await reader.readexactly(length)))
        if "/containers/gone/" in head:
            writer.write(reply("404 Not Found", b'{"message":"No such container: gone"}'))
        elif "/containers/" in head:
            writer.write(reply("201 Created", b'{"Id":"e1"}'))
        elif "/start" in head:
            writer.write(reply("200 OK", b"out\r\nerr"))
        else:
            writer.write(reply("200 OK", b'{"ExitCode":1}'))
        writer.close()

    path = str(tmp_path / "d.sock")
    server = await asyncio.start_unix_server(handle, path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    result = await run(pool, DockerContainerID="c1", Args=["/check", "me"])
    assert result == ("warning", "out\r\nerr")
    assert [request for request, _ in seen] == [
        "POST /containers/c1/exec",
        "POST /exec/e1/start",
        "GET /exec/e1/json",
    ]
    assert b'"Cmd":["/check","me"]' in seen[0][1] and b'"Tty":true' in seen[1][1]
    gone = await run(pool, DockerContainerID="gone", Args=["/check"])
    assert gone == ("critical", "create exec failed for unknown container gone")
    server.close()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing")
    away = await run(pool, DockerContainerID="c", Args=["x"])
    assert away.output.startswith("create exec failed for container c: ")
    assert away.output.endswith("no such file or directory")


async def test_an_os_service_is_what_systemd_says(
    pool: RunnerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text('#!/bin/sh\ncase "$5" in up) echo active;; going) echo activating;; *) echo no;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert await run(pool, OSService="up") == ("passing", 'Service "up" is healthy')
    assert (await run(pool, OSService="going")).status == "warning"
    assert await run(pool, OSService="down") == ("critical", 'Service "down" is not running: no')
