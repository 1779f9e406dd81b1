"""HTTPS: certificates, client certificates, versions, cipher suites, reload."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from apid.web.listeners import ListenError
from apid.web.tls import server_context
from lictor.config.runtime import TlsConfig
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
    reload()
    wait_until("the refusal is in the log", lambda: "certificates stay as they were" in agent.log())
    assert serial() == kept
    assert get(port, "/v1/status/leader", context)


def test_wrong_settings_are_named(authority: Authority, tmp_path: Path) -> None:
    cert_file, key_file = (str(path) for path in authority.issue("other"))
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("garbage")
    good = {"cert_file": cert_file, "key_file": key_file}
    for settings, said in (
        (
            {"verify_incoming": True, "ca_file": str(authority.file)},
            "VerifyIncoming set, and no Cert/Key pair provided!",
        ),
        ({**good, "cert_file": "/no/such"}, "/no/such"),
        ({**good, "key_file": str(garbage)}, str(garbage)),
        ({**good, "ca_file": str(garbage)}, str(garbage)),
        ({**good, "verify_incoming": True}, "VerifyIncoming set, and no CA certificate provided!"),
        ({**good, "min_version": "tls14"}, "tls_min_version tls14"),
        ({**good, "cipher_suites": ("ODD",)}, "unsupported cipher 'ODD'"),
    ):
        with pytest.raises(ListenError, match="Error starting agent: ") as refusal:
            server_context(TlsConfig(**settings))
        assert said in str(refusal.value)


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
