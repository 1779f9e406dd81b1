"""TLS of the command line: the files that are named, and what is said of certificates."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lictor.cli.secure import TlsSettings, name_fault
from lictor.tls.material import TlsError
from tests.apid.authority import Authority
from tests.cli.conftest import Consul

TIMEOUT_S = 5.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@contextmanager
def serving(cert_file: Path, key_file: Path, client_ca: Path | None = None) -> Iterator[int]:
    """A port whose connections end after the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                connection.settimeout(TIMEOUT_S)
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(TIMEOUT_S)


def test_names_that_do_not_match_are_shown(authority: Authority) -> None:
    context = TlsSettings().context(verify=False)
    with serving(*authority.issue("server", "server.bj.consul", "*.example")) as port:
        for wanted, said in (
            ("127.0.0.1", ""),
            ("a.example", ""),
            ("127.0.0.2", "x509: certificate is valid for 127.0.0.1, not 127.0.0.2"),
            ("wrong", "x509: certificate is valid for server.bj.consul, *.example, not wrong"),
        ):
            assert name_fault(context, "127.0.0.1", port, wanted, TIMEOUT_S) == said


def test_a_command_says_what_is_wrong_with_a_certificate(authority: Authority, consul: Consul, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    own = authority.issue("server", "server.bj.consul")
    for client_ca, arguments, said in (
        (None, [f"-ca-file={stranger.file}"], "x509: certificate signed by unknown authority"),
        (
            None,
            [f"-ca-file={authority.file}", "-tls-server-name=wrong"],
            "x509: certificate is valid for server.bj.consul, not wrong",
        ),
        (stranger.file, [f"-ca-file={authority.file}"], "remote error: tls: "),
    ):
        with serving(*own, client_ca=client_ca) as port:
            status, _, error = consul("kv", "get", f"-http-addr=https://127.0.0.1:{port}", *arguments, "x")
        assert (status, error.partition('"')[0]) == (1, "Error querying Consul agent: Get ")
        assert f'/v1/kv/x": {said}' in error


def test_files_that_hold_nothing_useful_are_refused(authority: Authority, tmp_path: Path) -> None:
    garbage = tmp_path / "folder" / "garbage.pem"
    garbage.parent.mkdir()
    garbage.write_text("garbage")
    cert_file, key_file = authority.issue("one")
    _, other_key = authority.issue("two")
    for arguments, said in (
        ((str(garbage),), f"Error loading CA File: Couldn't parse PEM in: {garbage}"),
        (("", str(garbage.parent)), f"Error loading CA Path: Couldn't parse PEM in: {garbage}"),
        (("", "", str(cert_file), str(other_key)), "tls: private key does not match public key"),
        (("", "", str(garbage), str(key_file)), "tls: failed to find any PEM data in certificate input"),
    ):
        with pytest.raises(TlsError) as refused:
            TlsSettings(*arguments)
        assert str(refused.value) == said


def test_a_certificate_is_not_made_with_a_key_that_is_not_the_authoritys(
    consul: Consul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert consul("tls", "ca", "create")[0] == 0
    assert consul("tls", "ca", "create", "-domain=other")[0] == 0
    status, _, error = consul("tls", "cert", "create", "-client", "-key=other-agent-ca-key.pem")
    assert (status, error) == (1, "x509: provided PrivateKey doesn't match parent's PublicKey\n")
    assert not list(tmp_path.glob("dc1-*"))
