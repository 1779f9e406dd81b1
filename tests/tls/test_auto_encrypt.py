"""Client agents get their certificates from the servers, and new ones when Connect's root changes."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from lictor.connect.certificates import new_private_key
from tests.tls.clusters import FAST, VERIFIED, Certificates, client_of, servers_of, write_and_read
from tools.agents import Agent, free_ports, make_agent, running, wait_until


def grant(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((agent.data_dir / "run" / "auto_encrypt.json").read_bytes())
    return found


def test_a_client_agent_is_given_a_certificate_and_later_another(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "ca")
    allowing = {**VERIFIED, "auto_encrypt": {"allow_tls": True}, **certificates.issue("server")}
    (server,) = servers_of(tmp_path, [allowing])
    (https,) = free_ports(1)
    wanted = {"tls": True, "dns_san": ["c1.example"], "ip_san": ["10.1.2.3"]}
    client = client_of(
        tmp_path,
        "c1",
        [server],
        {"auto_encrypt": wanted, "ca_file": str(certificates.ca_file), "ports": {"https": https}},
    )
    with running(server):
        server.wait_leader()
        with running(client):
            assert "automatically upgraded to TLS" in client.log()
            write_and_read(client, server, "a")
            given = x509.load_pem_x509_certificate(grant(client)["certificate"].encode())
            names = given.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert names.get_values_for_type(x509.DNSName) == ["localhost", "c1.example"]
            assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.1.2.3"]
            (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
            assert uri == "spiffe://dummy.trustdomain/agent/client/dc/bj/id/c1"
            assert grant(client)["verify_server_hostname"] is True
            # HTTPS without a certificate of its own shows that one.
            assert x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", https)).encode()) == given

            config = server.get("/v1/connect/ca/configuration")
            config["Config"] |= {"PrivateKeyBits": 384, "PrivateKey": new_private_key("ec", 384)}
            server.put("/v1/connect/ca/configuration", config)
            roots = server.get("/v1/connect/ca/roots")
            wait_until("the new root has signed", lambda: grant(client)["root_id"] == roots["ActiveRootID"], 90)
            renewed = x509.load_pem_x509_certificate(grant(client)["certificate"].encode())
            assert renewed.issuer.rfc4514_string() != given.issuer.rfc4514_string()
            trust_domain = roots["TrustDomain"]
            renewed_names = renewed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert renewed_names.get_values_for_type(x509.UniformResourceIdentifier) == [
                f"spiffe://{trust_domain}/agent/client/dc/bj/id/c1"
            ]
            write_and_read(client, server, "b")
            leaf = client.get("/v1/agent/connect/ca/leaf/web")
            assert leaf["Service"] == "web"


@pytest.mark.parametrize(
    ("servers_side", "said"),
    [
        ({}, "AutoEncrypt.AllowTLS must be enabled in order to use this endpoint"),
        ({"connect": {"enabled": False}}, "Connect must be enabled in order to use this endpoint"),
    ],
)
def test_servers_that_do_not_give_certificates_say_so(tmp_path: Path, servers_side: dict[str, Any], said: str) -> None:
    certificates = Certificates(tmp_path / "ca")
    (server,) = servers_of(tmp_path, [{"connect": {"enabled": True}, **certificates.issue("server"), **servers_side}])
    with running(server):
        server.wait_leader()
        client = client_of(tmp_path, "c1", [server], {"auto_encrypt": {"tls": True}})
        try:
            client.start()
            wait_until("the refusal is in the log", lambda: said in client.log())
            assert "Started HTTP server" not in client.log()
        finally:
            client.kill()


def test_an_agent_without_servers_to_ask_does_not_start(tmp_path: Path) -> None:
    agent = make_agent(tmp_path / "c1", "c1", config={**FAST, "auto_encrypt": {"tls": True}})
    agent.start()
    assert agent.process is not None and agent.process.wait(60) == 1
    assert 'Error starting agent: error="AutoEncrypt failed: No servers to request AutoEncrypt.Sign"' in agent.log()
