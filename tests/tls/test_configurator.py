"""Settings and files become contexts, or are refused in Consul's words."""

from __future__ import annotations

import datetime
import logging
import ssl
from pathlib import Path
from typing import Any

import pytest

from lictor.config.runtime import ChecksConfig, ConnectConfig, DnsConfig, RuntimeConfig, TlsConfig
from lictor.tls.configurator import Configurator, checked, warn
from lictor.tls.grant import Grant, GrantFile
from lictor.tls.material import TlsError
from lictor.tls.validity import not_after
from tests.apid.authority import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


def config_of(auto_encrypt: bool = False, **tls: Any) -> RuntimeConfig:
    return RuntimeConfig(
        node_name="n1",
        datacenter="bj",
        dns=DnsConfig(domain="example."),
        tls=TlsConfig(**tls),
        connect=ConnectConfig(auto_encrypt_tls=auto_encrypt),
        checks_config=ChecksConfig(enable_agent_tls=True),
    )


def own(authority: Authority, **tls: Any) -> dict[str, Any]:
    """Settings with a certificate of the authority."""
    cert_file, key_file = authority.issue("server", "server.bj.example")
    return {"ca_file": str(authority.file), "cert_file": str(cert_file), "key_file": str(key_file), **tls}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ca_file": "", "verify_incoming": True}, "VerifyIncoming set, and no CA certificate provided!"),
        ({"ca_file": "", "verify_outgoing": True}, "VerifyOutgoing set, and no CA certificate provided!"),
        ({"cert_file": "", "verify_incoming_rpc": True}, "VerifyIncoming set, and no Cert/Key pair provided!"),
        ({"key_file": "", "verify_incoming_https": True}, "VerifyIncoming set, and no Cert/Key pair provided!"),
        ({"ca_file": "no"}, "Error loading from no: open no: no such file or directory"),
        ({"ca_file": "", "ca_path": "no"}, "lstat no: no such file or directory"),
        ({"ca_file": "", "ca_path": "empty"}, "Error loading from CAPath: no CAs found"),
        ({"ca_file": "garbage"}, "Couldn't parse PEM garbage"),
        ({"cert_file": "no"}, "Failed to load cert/key pair: open no: no such file or directory"),
        (
            {"cert_file": "garbage"},
            "Failed to load cert/key pair: tls: failed to find any PEM data in certificate input",
        ),
        ({"key_file": "garbage"}, "Failed to load cert/key pair: tls: failed to find any PEM data in key input"),
        ({"key_file": "authority.pem"}, "Failed to load cert/key pair: tls: found a certificate rather than a key"),
        ({"key_file": "other.key"}, "Failed to load cert/key pair: tls: private key does not match public key"),
        ({"cert_file": "other.key"}, "PEM inputs may have been switched"),
        (
            {"min_version": "tls14"},
            "TLSMinVersion: value tls14 not supported, please specify one of [tls10, tls11, tls12, tls13]",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_in_consuls_words(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(authority.folder)
    Path("garbage").write_text("garbage")
    Path("empty").mkdir()
    authority.issue("other")
    with pytest.raises(TlsError) as refused:
        checked(config_of(**own(authority) | change))
    assert said in str(refused.value)


def test_an_agent_that_gets_its_certificate_is_told_what_that_is_not_for(authority: Authority) -> None:
    with pytest.raises(TlsError, match="AutoEncrypt only secures the connection between client and server"):
        checked(config_of(auto_encrypt=True, ca_file=str(authority.file), verify_incoming=True))


def test_all_files_below_ca_path_are_trusted(authority: Authority, tmp_path: Path) -> None:
    second = Authority(tmp_path, "second")
    folder = tmp_path / "path" / "below"
    folder.mkdir(parents=True)
    for each in (authority, second):
        (folder / each.file.name).write_bytes(each.file.read_bytes())
    found = Configurator(config_of(ca_path=str(tmp_path / "path")))
    assert len(found.authorities().certificates) == 2


def test_dialling_verifies_as_much_as_is_asked_for(authority: Authority) -> None:
    plain = Configurator(config_of())
    assert not plain.dials_tls
    unverified = Configurator(config_of(ca_file=str(authority.file)))
    assert unverified.dials_tls and not unverified.forces_tls
    assert unverified.outgoing_rpc("bj").context.verify_mode is ssl.CERT_NONE
    by_authority = Configurator(config_of(ca_file=str(authority.file), verify_outgoing=True)).outgoing_rpc("bj")
    assert (by_authority.context.verify_mode, by_authority.server_name) == (ssl.CERT_REQUIRED, "")
    by_name = Configurator(config_of(ca_file=str(authority.file), verify_server_hostname=True)).outgoing_rpc("sh")
    assert by_name.context.check_hostname and by_name.server_name == "server.sh.example"


def test_listening_asks_for_certificates_where_that_is_set(authority: Authority) -> None:
    for setting, rpc, https in (
        ("verify_incoming", True, True),
        ("verify_incoming_rpc", True, False),
        ("verify_incoming_https", False, True),
        ("verify_outgoing", False, False),
    ):
        found = Configurator(config_of(**own(authority, **{setting: True})))
        assert (found.incoming_rpc().verify_mode is ssl.CERT_REQUIRED) is rpc, setting
        assert (found.incoming_raft().verify_mode is ssl.CERT_REQUIRED) is rpc, setting
        assert (found.incoming_https().verify_mode is ssl.CERT_REQUIRED) is https, setting
        assert found.incoming_insecure().verify_mode is ssl.CERT_NONE, setting


def test_versions_and_suites_are_those_that_are_set(authority: Authority) -> None:
    suites = ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_SHA")
    context = Configurator(
        config_of(**own(authority, min_version="tls12", cipher_suites=suites, prefer_server_cipher_suites=True))
    ).incoming_https()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    older = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert older == ["ECDHE-ECDSA-AES128-GCM-SHA256"]
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    assert Configurator(config_of(min_version="tls10")).incoming_rpc().minimum_version is ssl.TLSVersion.TLSv1


def test_contexts_are_new_after_an_update_and_kept_before_it(authority: Authority) -> None:
    config = config_of(**own(authority))
    found = Configurator(config)
    first = found.incoming_rpc()
    assert found.incoming_rpc() is first
    found.update(config)
    assert found.incoming_rpc() is not first


def test_a_failed_update_changes_nothing(authority: Authority) -> None:
    found = Configurator(config_of(**own(authority)))
    first = found.incoming_rpc()
    with pytest.raises(TlsError):
        found.update(config_of(ca_file="/no/such"))
    assert found.incoming_rpc() is first


def test_what_the_servers_gave_is_shown_to_them_and_their_authorities_are_trusted(
    authority: Authority, tmp_path: Path
) -> None:
    cert_file, key_file = authority.issue("agent")
    grants = GrantFile(str(tmp_path))
    found = Configurator(config_of(auto_encrypt=True), grants.latest)
    assert found.forces_tls and not found.verify_outgoing
    assert found.client_pair() is None
    grant = Grant(
        certificate=cert_file.read_text(),
        private_key=key_file.read_text(),
        manual_authorities=[authority.file.read_text()],
        connect_authorities=[Authority(tmp_path, "connect").file.read_text()],
        verify_server_hostname=True,
        root_id="r",
        trust_domain="t",
        not_before_s=0,
        not_after_s=1,
    )
    grants.store(grant)
    assert found.verify_outgoing
    assert found.outgoing_rpc("bj").server_name == "server.bj.example"
    assert len(found.authorities().certificates) == 2
    pair = found.client_pair()
    assert pair is not None and pair.certificate == grant.certificate
    assert (tmp_path / "run" / "auto_encrypt.json").stat().st_mode & 0o777 == 0o600


def test_connects_roots_vouch_for_clients_but_never_for_servers(authority: Authority, tmp_path: Path) -> None:
    connect = Authority(tmp_path, "connect").file.read_text()
    roots: list[str] = []
    found = Configurator(config_of(**own(authority, verify_incoming=True)), connect_roots=lambda: tuple(roots))
    assert len(found.incoming_rpc().get_ca_certs()) == 1
    roots.append(connect)
    assert len(found.incoming_rpc().get_ca_certs()) == 2
    assert len(found.incoming_raft().get_ca_certs()) == 1


def test_a_certificate_that_has_expired_is_logged(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    cert_file, key_file = authority.issue("old", expired=True)
    with caplog.at_level(logging.WARNING, "agent.tlsutil"):
        warn(config_of(cert_file=str(cert_file), key_file=str(key_file)))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["certificate has expired"]
    assert not_after(cert_file.read_text()) < datetime.datetime.now(datetime.UTC)


def test_checks_have_the_name_that_is_set_or_the_nodes(authority: Authority) -> None:
    trusting = {"ca_file": str(authority.file)}
    assert Configurator(config_of(**trusting)).outgoing_check(False).server_name == "n1"
    assert Configurator(config_of(**trusting, server_name="web")).outgoing_check(False).server_name == "web"
    assert Configurator(config_of(**trusting)).outgoing_check(True).context.verify_mode is ssl.CERT_NONE
