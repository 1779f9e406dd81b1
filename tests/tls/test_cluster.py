"""Whole agents over TLS: verified both ways, another datacenter, strangers, renewal, the way from plain to TLS."""

from __future__ import annotations

import socket
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tls.clusters import (
    VERIFIED,
    Certificates,
    change,
    client_of,
    serial,
    servers_of,
    voters,
    write_and_read,
)
from tools.agents import Agent, running, wait_until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[list[Agent]]:
    """Three servers and a client agent that verify everything; gossip is encrypted as well."""
    folder = tmp_path_factory.mktemp("cluster")
    gossip = {"encrypt": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}
    servers = servers_of(folder, [{**VERIFIED, **gossip, **certificates.issue("server")} for _ in range(3)])
    client = client_of(folder, "c1", servers, {**VERIFIED, **gossip, **certificates.issue("client")})
    with running(*servers, client):
        wait_until("three servers vote", lambda: voters(client) == 3)
        yield [*servers, client]


def answer_of(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(data)
        try:
            return connection.recv(100)
        except ConnectionError:
            return b""


def test_a_cluster_works_with_certificates_of_consul_tls(cluster: list[Agent]) -> None:
    *servers, client = cluster
    write_and_read(client, servers[2], "over-tls")
    write_and_read(servers[1], client, "back")
    for server in servers:
        tags = next(m["Tags"] for m in client.get("/v1/agent/members") if m["Name"] == server.name)
        assert tags["use_tls"] == "1"


def test_plain_connections_and_those_without_a_certificate_are_refused(cluster: list[Agent]) -> None:
    server = cluster[0]
    for name in ("server", "api"):
        assert answer_of(server.ports[name], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == b""
    assert "Non-TLS connection attempted with VerifyIncoming set" in server.log()


def test_a_renewed_certificate_is_taken_by_a_reload_and_nothing_is_interrupted(
    cluster: list[Agent], certificates: Certificates
) -> None:
    *servers, client = cluster
    leader = client.get("/v1/status/leader")
    own = certificates.issue("server")
    for server in servers:
        before = {name: serial(server.ports[name], own) for name in ("server", "api")}
        change(server, **certificates.issue("server"))
        server.put("/v1/agent/reload")
        for name, old in before.items():
            assert serial(server.ports[name], own) != old
        write_and_read(client, server, f"renewed-{server.name}")
    assert client.get("/v1/status/leader") == leader


def test_an_agent_of_another_authority_is_refused_and_harms_nothing(cluster: list[Agent], tmp_path: Path) -> None:
    *servers, client = cluster
    theirs = Certificates(tmp_path / "ca")
    gossip = {"encrypt": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}
    # It trusts the cluster, but the cluster does not trust it.
    settings = {**gossip, **theirs.issue("client"), "ca_file": str(theirs.folder / "both.pem"), "verify_outgoing": True}
    ours = (client.folder / "own.json").read_text()
    ca_file = ours.split('"ca_file": "')[1].split('"')[0]
    (theirs.folder / "both.pem").write_text(theirs.ca_file.read_text() + Path(ca_file).read_text())
    stranger = client_of(tmp_path, "stranger", servers, settings)
    refusal = "x509: certificate signed by unknown authority"
    before = {server.name: server.log().count(refusal) for server in servers}
    with running(stranger):
        wait_until("the stranger knows the servers", lambda: len(stranger.get("/v1/agent/members")) >= 4)
        for _ in range(3):
            with pytest.raises(urllib.error.HTTPError) as refused:
                stranger.get("/v1/catalog/nodes", timeout_s=30)
            with refused.value as answer:
                assert answer.code == 500
                assert "rpc error getting client: failed to get conn: remote error: tls: " in answer.read().decode()
        write_and_read(client, servers[0], "undisturbed")
    said = {server.name: server.log().count(refusal) - before[server.name] for server in servers}
    # Once a minute at most, however often it tries.
    assert sum(said.values()) >= 1 and max(said.values()) <= 2, said


def test_a_second_datacenter_is_reached_by_its_own_name(
    cluster: list[Agent], certificates: Certificates, tmp_path: Path
) -> None:
    *servers, client = cluster
    gossip = {"encrypt": "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="}
    good = {**VERIFIED, **gossip, **certificates.issue("server", "sh")}
    (other,) = servers_of(tmp_path, [good], datacenter="sh", prefix="sh")
    with running(other):
        other.wait_leader()
        assert other.cli("join", "-wan", f"127.0.0.1:{servers[0].ports['serf_wan']}").returncode == 0
        wait_until("sh is asked through bj", lambda: client.put("/v1/kv/there?dc=sh", b"1") == b"true")
        assert other.get("/v1/kv/there")
        wait_until("bj is asked from sh", lambda: other.get("/v1/kv/over-tls?dc=bj"))
        # With a certificate of another datacenter's servers it is not taken for what it says it is.
        other.stop()
        change(other, **certificates.issue("server", "bj"), verify_server_hostname=False)
        other.start()
        other.wait_leader()

        def refused() -> bool:
            try:
                client.get("/v1/kv/there?dc=sh", timeout_s=30)
            except urllib.error.HTTPError as error:
                with error:
                    return "Remote DC has no server currently reachable" in error.read().decode()
            return False

        wait_until("the wrong name is refused", refused)


def test_a_running_cluster_moves_from_plain_to_tls(certificates: Certificates, tmp_path: Path) -> None:
    servers = servers_of(tmp_path, [{} for _ in range(3)])
    client = client_of(tmp_path, "c1", servers, {})
    steps = ({}, {"verify_outgoing": True}, VERIFIED)
    with running(*servers, client):
        wait_until("three servers vote", lambda: voters(client) == 3)
        for number, step in enumerate(steps):
            for agent in (*servers, client):
                kind = "client" if agent is client else "server"
                agent.stop()
                change(agent, **step, **(certificates.issue(kind) if number == 0 else {}), leave_on_terminate=False)
                agent.start()
                agent.wait_http()
                # Old and new settings work beside each other.
                write_and_read(servers[0], client, f"{number}-{agent.name}")
                write_and_read(client, servers[2], f"{number}-{agent.name}-back")
        assert answer_of(servers[0].ports["server"], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == b""
        assert voters(client) == 3
