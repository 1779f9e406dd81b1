"""HTTPS: certificates, client certificates, versions, cipher suites, reload."""

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.apid.authority import Authority, client_context
from tools.agents import Agent, free_ports, make_agent, running, wait_until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "authority")


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[tuple[Agent, int]]:
    """An agent that wants client certificates, and its HTTPS port."""
    cert_file, key_file = authority.issue("server")
    (port,) = free_ports(1)
    config = {
        "ports": {"https": port},
        "performance": {"raft_multiplier": 1},
        "cert_file": str(cert_file),
        "key_file": str(key_file),
        "ca_file": str(authority.file),
        "verify_incoming_https": True,
        "tls_min_version": "tls12",
        "tls_cipher_suites": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    }
    agent = make_agent(tmp_path_factory.mktemp("https"), "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(agent):
        agent.wait_leader()
        yield agent, port


def get(port: int, path: str, context: ssl.SSLContext) -> bytes:
    with urllib.request.urlopen(f"https://127.0.0.1:{port}{path}", context=context, timeout=10) as answer:
        body: bytes = answer.read()
    return body


def test_https_answers_as_http_does(secure: tuple[Agent, int], authority: Authority) -> None:
    agent, port = secure
    context = client_context(authority)
    agent.put("/v1/kv/a", b"x" * 300_000)
    assert get(port, "/v1/kv/a?raw", context) == b"x" * 300_000
    assert json.loads(get(port, "/v1/status/leader", context)) == agent.get("/v1/status/leader")


def test_only_clients_with_a_certificate_of_the_authority_are_served(
    secure: tuple[Agent, int], authority: Authority, tmp_path: Path
) -> None:
    _, port = secure
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        get(port, "/v1/status/leader", client_context(authority, ""))
    stranger = client_context(authority, "")
    stranger.load_cert_chain(*Authority(tmp_path, "stranger").issue("client"))
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        get(port, "/v1/status/leader", stranger)
    assert get(port, "/v1/status/leader", client_context(authority))


def test_versions_and_ciphers_are_those_that_are_set(secure: tuple[Agent, int], authority: Authority) -> None:
    _, port = secure
    context = client_context(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert get(port, "/v1/status/leader", context)
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        get(port, "/v1/status/leader", context)


def test_a_reload_takes_the_new_certificate(secure: tuple[Agent, int], authority: Authority) -> None:
    agent, port = secure
    context = client_context(authority)

    def serial() -> int:
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        return x509.load_pem_x509_certificate(pem.encode()).serial_number

    def reload() -> None:
        agent.put("/v1/agent/reload")

    before = serial()
    authority.issue("server")
    reload()
    wait_until("the new certificate is shown", lambda: serial() != before)
    assert get(port, "/v1/status/leader", context)
    (authority.folder / "server.key").write_text("no key")
    kept = serial()
    with pytest.raises(urllib.error.HTTPError) as refused:
        reload()
    fault = "Failed to load cert/key pair: tls: failed to find any PEM data in key input"
    with refused.value as answer:
        assert (answer.code, answer.read().decode()) == (
            500,
            f"Failed to reload configs: Failed reloading tls configuration: {fault}",
        )
    assert serial() == kept
    assert get(port, "/v1/status/leader", context)


def test_an_agent_with_an_https_port_and_no_certificate_runs_and_refuses_handshakes(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    config = {"ports": {"https": port}, "performance": {"raft_multiplier": 1}}
    agent = make_agent(tmp_path / "n1", "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(agent):
        agent.wait_leader()
        with pytest.raises(urllib.error.URLError) as refusal:
            get(port, "/v1/status/leader", ssl._create_unverified_context())
        assert isinstance(refusal.value.reason, ssl.SSLError)
        assert agent.get("/v1/status/leader")


def test_plain_http_on_the_https_port_is_told_so(secure: tuple[Agent, int]) -> None:
    _, port = secure
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET /v1/status/leader HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        while part := connection.recv(1000):
            received += part
    assert received == b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
