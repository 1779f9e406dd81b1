"""Two services that talk through two built-in proxies, an intention that forbids it, a root that is replaced."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lictor.connect import certificates
from lictor.connect.proxy.identity import peer_uri, serial_of
from lictor.connect.proxy.settings import (
    Public,
    Settings,
    SettingsError,
    Upstream,
    host_and_port,
    of_registration,
    upstream_of,
)
from tools.agents import CONSUL, Agent, free_ports, make_agent, running, temporary_folder, wait_until


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("db:8181", Upstream("db", 8181)),
        ("db:127.0.0.2:8181", Upstream("db", 8181, "127.0.0.2")),
        ("db.service:1", Upstream("db", 1)),
        ("db.query:1", Upstream("db", 1, kind="prepared_query")),
    ],
)
def test_an_upstream_flag_names_service_and_place(text: str, upstream: Upstream) -> None:
    assert upstream_of(text) == upstream


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("db", 'Upstream value should be name:addr in "db"'),
        ("db.zz:1", "Upstream type must be blank, 'service', or 'query'. Got: \"zz\""),
        ("db:x", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ],
)
def test_a_wrong_upstream_flag_is_refused(text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as refused:
        upstream_of(text)
    assert str(refused.value) == fault


def test_a_registration_says_what_the_proxy_does() -> None:
    proxy = {
        "DestinationServiceName": "web",
        "LocalServicePort": 80,
        "Config": {"bind_address": "::1", "local_connect_timeout_ms": 200},
        "Upstreams": [{"DestinationName": "db", "LocalBindPort": 9000, "Config": {"connect_timeout_ms": 500}}],
    }
    assert of_registration({"Kind": "connect-proxy", "Port": 20000, "Proxy": proxy}) == Settings(
        "web", Public("::1", 20000, "127.0.0.1:80", 0.2), (Upstream("db", 9000, timeout_s=0.5),)
    )
    with pytest.raises(SettingsError):
        of_registration({"Kind": "", "Port": 1})
    assert host_and_port("[::1]:80") == ("::1", 80)


def test_a_certificate_tells_identity_and_serial_number() -> None:
    certificate = {"subjectAltName": (("DNS", "x"), ("URI", "spiffe://a/b")), "serialNumber": "1AB"}
    assert (peer_uri(certificate), serial_of(certificate)) == ("spiffe://a/b", "01:ab")


@contextmanager
def echo_server() -> Iterator[int]:
    """An application that sends back what it gets."""
    loop = asyncio.new_event_loop()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(echo, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@contextmanager
def proxy(agent: Agent, log: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        command = [str(CONSUL), "connect", "proxy", f"-http-addr={agent.http}", *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0, log.read_text()


def echoed(port: int, data: bytes) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.settimeout(5)
            connection.sendall(data)
            found = b""
            while len(found) < len(data) and (more := connection.recv(65536)):
                found += more
            return found == data
    except OSError:
        return False


def send(agent: Agent, method: str, path: str, body: Any = None) -> None:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{agent.http}{path}", data=content, method=method)
    with urllib.request.urlopen(request, timeout=10):
        pass


def put(agent: Agent, path: str, body: Any) -> None:
    send(agent, "PUT", path, body)


def test_services_talk_through_proxies_as_intentions_allow_and_over_a_new_root() -> None:
    with temporary_folder("lictor-proxy-") as folder, echo_server() as application:
        agent = make_agent(folder / "a", "n1", "-server", "-bootstrap-expect=1", config={"connect": {"enabled": True}})
        local, public = free_ports(2)
        with running(agent):
            agent.wait_leader()
            wait_until("there is a root", lambda: agent.get("/v1/connect/ca/roots")["Roots"])
            sidecar = {"Port": public, "Address": "127.0.0.1", "Checks": [{"TTL": "1h", "Status": "passing"}]}
            put(
                agent,
                "/v1/agent/service/register",
                {"Name": "db", "Port": application, "Connect": {"SidecarService": sidecar}},
            )
            with (
                proxy(agent, folder / "db.log", "-sidecar-for=db"),
                proxy(agent, folder / "web.log", "-service=web", f"-upstream=db:{local}"),
            ):
                wait_until("it is led through", lambda: echoed(local, b"hello"), 30)
                assert echoed(local, bytes(range(256)) * 4096)

                wish = {"SourceName": "web", "DestinationName": "db", "Action": "deny"}
                send(agent, "POST", "/v1/connect/intentions", wish)
                wait_until("the intention forbids it", lambda: not echoed(local, b"no"), 30)
                row = agent.get("/v1/connect/intentions")[0]["ID"]
                send(agent, "DELETE", f"/v1/connect/intentions/{row}")
                wait_until("it is allowed again", lambda: echoed(local, b"yes"), 30)

                before = ssl.get_server_certificate(("127.0.0.1", public))
                config = agent.get("/v1/connect/ca/configuration")["Config"]
                key = certificates.new_private_key("ec", 256)
                put(
                    agent,
                    "/v1/connect/ca/configuration",
                    {"Provider": "consul", "Config": {**config, "PrivateKey": key, "RootCert": ""}},
                )
                wait_until(
                    "a new leaf is shown", lambda: ssl.get_server_certificate(("127.0.0.1", public)) != before, 60
                )
                wait_until("both trust the new root", lambda: echoed(local, b"rotated"), 30)
            with socket.create_connection(("127.0.0.1", application)):
                pass
            assert not echoed(local, b"gone")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("foo",), "==> Should have no non-flag arguments."),
        ((), "==> Error preparing configuration: -service or -proxy-id must be specified"),
        (("-service=a", "-listen=x"), "==> Error preparing configuration: address x: missing port in address"),
        (("-service=a", "-listen=1.1.1.1:1"), "==> Error preparing configuration: -service-addr must be specified"),
        (("-service=a", "-register"), "==> Failed initializing registration: -register may only be specified with"),
        (("-service=a", "-log-level=zz"), "==> Invalid log level: zz."),
    ],
)
def test_wrong_use_is_refused_before_anything_is_served(arguments: tuple[str, ...], text: str) -> None:
    command = [str(CONSUL), "connect", "proxy", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert text in done.stderr
