"""HTTPS: certificates, client certificates, versions, cipher suites, reload."""

import datetime
import ipaddress
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apid.web.listeners import ListenError
from apid.web.tls import server_context
from lictor.config.runtime import TlsConfig
from tools.agents import Agent, free_ports, make_agent, running, wait_until

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority of this test."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )

    def issue(self, name: str) -> tuple[Path, Path]:
        """Files of a certificate for 127.0.0.1 and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._builder(subject, key.public_key()).add_extension(names, critical=False)
        cert_file, key_file = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        signed = certificate.sign(self._key, hashes.SHA256())
        cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cert_file, key_file


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


def client_context(authority: Authority, name: str = "client") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if name:
        context.load_cert_chain(*authority.issue(name))
    return context


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
        ({}, "ports.https needs cert_file and key_file"),
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
