"""Configuration entries, intentions and Connect on a real server and a client agent beside it."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509

from lictor.connect import certificates
from tools.agents import Agent, make_agent, running, temporary_folder, wait_until

SPIFFE = "spiffe://11111111-2222-3333-4444-555555555555.consul/ns/default/dc/bj/svc/"


@pytest.fixture(scope="module")
def agents() -> Iterator[tuple[Agent, Agent]]:
    with temporary_folder("lictor-connect-") as folder:
        server = make_agent(folder / "s", "s1", "-server", "-bootstrap-expect=1", config={"connect": {"enabled": True}})
        client = make_agent(folder / "c", "c1", f"-retry-join={server.lan}")
        with running(server, client):
            server.wait_leader()
            wait_until(
                "the authority is there", lambda: '"Active":true' in ask(server, "GET", "/v1/connect/ca/roots")[1]
            )
            wait_until("the client is in", lambda: ask(client, "GET", "/v1/catalog/nodes")[0] == 200)
            yield server, client


CALL = "rpc error making call: "
"""Before what the server refuses when the client agent is asked."""


def ask(agent: Agent, method: str, path: str, body: Any = None) -> tuple[int, str, dict[str, str]]:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{agent.http}{path}", data=content, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode(), dict(refused.headers)


def pem(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def test_leaves_are_signed_for_both_kinds_of_agents_and_kept(agents: tuple[Agent, Agent]) -> None:
    serials = set()
    for agent in agents:
        roots = agent.get("/v1/agent/connect/ca/roots")
        active = next(root for root in roots["Roots"] if root["Active"])
        _, body, headers = ask(agent, "GET", "/v1/agent/connect/ca/leaf/web")
        leaf = json.loads(body)
        assert headers["X-Cache"] == "MISS"
        pem(leaf["CertPEM"]).verify_directly_issued_by(pem(active["RootCert"]))
        assert leaf["ServiceURI"] == f"spiffe://{roots['TrustDomain']}/ns/default/dc/bj/svc/web"
        assert certificates.parse_private_key(leaf["PrivateKeyPEM"]).public_key() == pem(leaf["CertPEM"]).public_key()
        _, again, headers = ask(agent, "GET", "/v1/agent/connect/ca/leaf/web")
        assert (headers["X-Cache"], again) == ("HIT", body)
        serials.add(leaf["SerialNumber"])
        # Nothing changes: the same again when the time is over.
        _, waited, _ = ask(agent, "GET", f"/v1/agent/connect/ca/leaf/web?index={leaf['ModifyIndex']}&wait=50ms")
        assert waited == body
    assert len(serials) == 2


def test_a_leaf_needs_a_service(agents: tuple[Agent, Agent]) -> None:
    for agent in agents:
        status, text, _ = ask(agent, "GET", "/v1/agent/connect/ca/leaf/")
        assert (status, text) == (500, "URI must be either service or agent")


def test_clients_cannot_have_requests_signed_directly(agents: tuple[Agent, Agent]) -> None:
    status, _, _ = ask(agents[0], "POST", "/v1/internal/connect/ca/sign", {"CSR": "x"})
    assert status == 404


def test_authorization_follows_the_intentions_on_both_agents(agents: tuple[Agent, Agent]) -> None:
    server, client = agents
    wish = {"Target": "db", "ClientCertURI": SPIFFE + "web", "ClientCertSerial": "1"}
    for agent in agents:
        assert json.loads(ask(agent, "POST", "/v1/agent/connect/authorize", wish)[1])["Authorized"] is True
    _, body, _ = ask(
        client, "POST", "/v1/connect/intentions", {"SourceName": "*", "DestinationName": "db", "Action": "deny"}
    )
    wide = json.loads(body)["ID"]
    for agent in agents:
        decision = json.loads(ask(agent, "POST", "/v1/agent/connect/authorize", wish)[1])
        assert decision == {
            "Authorized": False,
            "Reason": f"Matched intention: DENY default/* => default/db (ID: {wide}, Precedence: 8)",
        }
    exact = json.loads(
        ask(
            server, "POST", "/v1/connect/intentions", {"SourceName": "web", "DestinationName": "db", "Action": "allow"}
        )[1]
    )["ID"]
    for agent in agents:
        assert json.loads(ask(agent, "POST", "/v1/agent/connect/authorize", wish)[1])["Authorized"] is True
        found = agent.get("/v1/connect/intentions/match?by=destination&name=db")
        assert [row["ID"] for row in found["db"]] == [exact, wide]
        assert agent.get("/v1/connect/intentions/check?source=default/web&destination=default/db") == {"Allowed": True}
        assert agent.get("/v1/connect/intentions/check?source=other&destination=db") == {"Allowed": False}
    for row in (exact, wide):
        assert ask(client, "DELETE", f"/v1/connect/intentions/{row}")[1] == "true"
    assert server.get("/v1/connect/intentions") == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"ID": "x", "SourceName": "a"}, "ID must be empty when creating a new intention"),
        ({"SourceName": 1}, "Failed to decode request body: json: cannot unmarshal number into Go"),
        ({"Bogus": 1}, 'Failed to decode request body: json: unknown field "Bogus"'),
        (
            {"SourceName": "a", "DestinationName": "b", "Action": "allow", "SourceType": "x"},
            "1 error occurred:\n\t* SourceType must be set to 'consul'\n\n",
        ),
        (
            {"SourceNS": "*", "SourceName": "a", "DestinationName": "b", "Action": "allow"},
            "1 error occurred:\n\t* SourceName: exact value cannot follow wildcard namespace\n\n",
        ),
    ],
)
def test_a_wrong_intention_is_refused_and_not_kept(agents: tuple[Agent, Agent], body: Any, text: str) -> None:
    status, refusal, _ = ask(agents[0], "POST", "/v1/connect/intentions", body)
    assert status == 500
    assert refusal.startswith(text)
    assert agents[0].get("/v1/connect/intentions") == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("match?by=source&name=a/b/c", "name \"a/b/c\" is invalid: input can contain at most one '/'"),
        ("match?by=source&by=source&name=a", "required query parameter 'by' not set"),
        ("check?source=a&destination=b&source-type=x", 'unsupported SourceType: "x"'),
        ("check?source=a/b/c&destination=b", "source \"a/b/c\" is invalid: input can contain at most one '/'"),
    ],
)
def test_questions_about_intentions_are_refused_when_malformed(
    agents: tuple[Agent, Agent], path: str, text: str
) -> None:
    for agent, call in zip(agents, ("", CALL if text.startswith("unsupported") else ""), strict=True):
        assert ask(agent, "GET", f"/v1/connect/intentions/{path}")[:2] == (500, call + text)


def test_an_update_keeps_the_creation_time_and_frees_the_old_pair(agents: tuple[Agent, Agent]) -> None:
    server, _ = agents
    wish = {"SourceName": "u1", "DestinationName": "u2", "Action": "allow"}
    row = json.loads(ask(server, "POST", "/v1/connect/intentions", wish)[1])["ID"]
    before = server.get(f"/v1/connect/intentions/{row}")
    assert ask(server, "PUT", f"/v1/connect/intentions/{row}", {**wish, "SourceName": "u3"})[0] == 200
    after = server.get(f"/v1/connect/intentions/{row}")
    assert after["CreatedAt"] == before["CreatedAt"]
    assert after["CreateIndex"] == before["CreateIndex"] < after["ModifyIndex"]
    other = json.loads(ask(server, "POST", "/v1/connect/intentions", wish)[1])["ID"]
    for known in (row, other):
        ask(server, "DELETE", f"/v1/connect/intentions/{known}")
    missing = "00000000-0000-0000-0000-000000000000"
    status, text, _ = ask(server, "PUT", f"/v1/connect/intentions/{missing}", wish)
    assert (status, text) == (500, f"Cannot modify non-existent intention: '{missing}'")


def test_configuration_entries_are_written_and_read_through_a_client(agents: tuple[Agent, Agent]) -> None:
    server, client = agents
    entry = {"kind": "service-resolver", "name": "api", "default_subset": "v1", "subsets": {"v1": {"filter": "true"}}}
    # The subset exists from the same write on, and the datacenter asked for is not looked at.
    assert ask(client, "PUT", "/v1/config?dc=mars", entry)[:2] == (200, "true")
    for agent in agents:
        assert agent.get("/v1/config/service-resolver/api")["DefaultSubset"] == "v1"
    index = server.get("/v1/config/service-resolver/api")["ModifyIndex"]
    assert ask(client, "PUT", f"/v1/config?cas={index - 1}", entry)[1] == "false"
    assert ask(client, "PUT", f"/v1/config?cas={index}", entry)[1] == "true"
    assert ask(client, "DELETE", "/v1/config/service-resolver/api")[1] == "{}"
    assert ask(server, "GET", "/v1/config/service-resolver/api")[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (None, 400, "Bad request: Request decoding failed: Payload does not contain a kind/Kind key at the top level"),
        ({"Kind": 1}, 400, "Bad request: Request decoding failed: Kind value in payload is not a string"),
        ([1], 400, "Bad request: Request decoding failed: '' expected a map, got 'slice'"),
        ({"Kind": "service-resolver"}, 500, "Name is required"),
    ],
)
def test_a_wrong_entry_is_refused(agents: tuple[Agent, Agent], body: Any, status: int, text: str) -> None:
    content = b"null" if body is None else json.dumps(body).encode()
    found = ask(agents[1], "PUT", "/v1/config", json.loads(content)) if body is not None else None
    if found is None:
        with pytest.raises(urllib.error.HTTPError) as refused:
            agents[1].put("/v1/config", content)
        with refused.value as answer:
            found = answer.code, answer.read().decode(), {}
    assert found[0] == status
    assert found[1].startswith(CALL + text if status == 500 else text)


def test_a_discovery_chain_shows_overrides_and_moves_when_an_entry_goes(agents: tuple[Agent, Agent]) -> None:
    server, _ = agents
    ask(server, "PUT", "/v1/config", {"Kind": "service-resolver", "Name": "dc1", "ConnectTimeout": "9s"})
    for agent in agents:
        chain = agent.get("/v1/discovery-chain/dc1")["Chain"]
        assert chain["Nodes"]["resolver:dc1.default.bj"]["Resolver"]["ConnectTimeout"] == "9s"
        assert agent.get("/v1/discovery-chain/dc1?compile-dc=sh")["Chain"]["Datacenter"] == "sh"
        wish = {"override_connect_timeout": "7s", "OverrideProtocol": "http", "OverrideMeshGateway": {"Mode": "local"}}
        _, body, headers = ask(agent, "POST", "/v1/discovery-chain/dc1", wish)
        changed = json.loads(body)["Chain"]
        assert changed["Protocol"] == "http"
        assert changed["Nodes"]["resolver:dc1.default.bj"]["Resolver"]["ConnectTimeout"] == "7s"
        # A gateway is for targets in other datacenters.
        assert changed["Targets"]["dc1.default.bj"]["MeshGateway"] == {}
        assert changed["CustomizationHash"]
        status, text, _ = ask(agent, "POST", "/v1/discovery-chain/dc1", {"OverrideMeshGateway": {"Mode": "x"}})
        assert (status, text) == (400, "Invalid OverrideMeshGateway.Mode parameter")
    index = int(headers["X-Consul-Index"])
    ask(server, "DELETE", "/v1/config/service-resolver/dc1")
    _, body, headers = ask(server, "GET", f"/v1/discovery-chain/dc1?index={index}&wait=10s")
    assert int(headers["X-Consul-Index"]) > index
    assert json.loads(body)["Chain"]["Nodes"]["resolver:dc1.default.bj"]["Resolver"]["Default"] is True


def test_the_command_line_works_with_these_endpoints(agents: tuple[Agent, Agent]) -> None:
    server, _ = agents
    text = 'kind = "service-defaults"\nname = "cli"\nprotocol = "http"\n'
    assert server.cli("config", "write", "-", stdin=text).returncode == 0
    assert server.cli("config", "list", "-kind", "service-defaults").stdout == "cli\n"
    shown = json.loads(server.cli("config", "read", "-kind", "service-defaults", "-name", "cli").stdout)
    assert shown["Protocol"] == "http"
    assert server.cli("config", "delete", "-kind", "service-defaults", "-name", "cli").returncode == 0
    assert server.cli("intention", "create", "-deny", "a", "b").stdout == "Created: a => b (deny)\n"
    assert server.cli("intention", "check", "a", "b").stdout == "Denied\n"
    assert server.cli("intention", "create", "-replace", "-allow", "a", "b").returncode == 0
    assert server.cli("intention", "match", "b").stdout == "a => b (allow)\n"
    assert server.cli("intention", "delete", "a", "b").stdout == "Intention deleted.\n"
    assert json.loads(server.cli("connect", "ca", "get-config").stdout)["Provider"] == "consul"


def test_another_key_rotates_the_root_and_old_trust_reaches_new_leaves(agents: tuple[Agent, Agent]) -> None:
    server, client = agents
    before = server.get("/v1/connect/ca/roots")
    old_root = pem(before["Roots"][0]["RootCert"])
    old_leaf = client.get("/v1/agent/connect/ca/leaf/rotated")
    config = server.get("/v1/connect/ca/configuration")["Config"]
    key = certificates.new_private_key("ec", 384)
    bogus = {"Provider": "consul", "Config": {**config, "PrivateKey": "rubbish"}}
    status, text, _ = ask(client, "PUT", "/v1/connect/ca/configuration", bogus)
    assert status == 500
    assert text.startswith(f"{CALL}error generating CA root certificate: ")
    own_state = {"Provider": "consul", "Config": config, "State": {"a": "b"}}
    assert ask(server, "PUT", "/v1/connect/ca/configuration", own_state)[0] == 400
    assert ask(client, "PUT", "/v1/connect/ca/configuration", own_state)[0] == 500
    assert server.get("/v1/connect/ca/roots") == before
    wish = {"Provider": "consul", "Config": {**config, "PrivateKey": key, "LeafCertTTL": "24h"}}
    assert ask(client, "PUT", "/v1/connect/ca/configuration", wish)[:2] == (200, "")
    after = server.get("/v1/connect/ca/roots")
    assert after["TrustDomain"] == before["TrustDomain"]
    assert [root["Active"] for root in after["Roots"]] == [False, True]
    new = after["Roots"][1]
    assert (new["PrivateKeyType"], new["PrivateKeyBits"]) == ("ec", 384)
    crossed = pem(new["IntermediateCerts"][0])
    crossed.verify_directly_issued_by(old_root)
    leaf = client.get("/v1/agent/connect/ca/leaf/rotated")
    assert leaf["SerialNumber"] != old_leaf["SerialNumber"]
    chain = x509.load_pem_x509_certificates(leaf["CertPEM"].encode())
    chain[0].verify_directly_issued_by(crossed)
    chain[0].verify_directly_issued_by(pem(new["RootCert"]))
    assert chain[1] == crossed
    lifetime = chain[0].not_valid_after_utc - chain[0].not_valid_before_utc
    assert lifetime.total_seconds() == 24 * 3600
    # The same again changes nothing.
    index = server.get("/v1/connect/ca/configuration")["ModifyIndex"]
    assert ask(server, "PUT", "/v1/connect/ca/configuration", wish)[0] == 200
    assert server.get("/v1/connect/ca/configuration")["ModifyIndex"] == index


def test_the_authority_survives_a_restart(agents: tuple[Agent, Agent]) -> None:
    server, _ = agents
    before = server.get("/v1/connect/ca/roots")
    server.kill()
    server.start()
    server.wait_http()
    path = "/v1/connect/ca/roots"
    wait_until("the roots are back", lambda: ask(server, "GET", path)[0] == 200)
    assert server.get(path) == before
    leaf = server.get("/v1/agent/connect/ca/leaf/after")
    active = next(root for root in before["Roots"] if root["Active"])
    pem(leaf["CertPEM"]).verify_directly_issued_by(pem(active["RootCert"]))
    assert "failed to initialize the CA" not in server.log()
