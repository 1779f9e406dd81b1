"""What a secondary datacenter takes over, while servers of both datacenters come, die and go back in time.

The tests follow each other: the secondary datacenter is there before the primary one.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from lictor.connect import certificates
from tests.faults.cluster import leader_of
from tools.agents import Agent, make_agent, wait_until

CONFIG = {
    "performance": {"raft_multiplier": 1},
    "retry_interval": "1s",
    "retry_interval_wan": "1s",
    "primary_datacenter": "bj",
    "connect": {"enabled": True},
    "log_level": "debug",
}
ROUND_DONE = "agent.server.replication.config_entry: replication completed"
CONFIG_PATH, INTENTIONS, ROOTS = "/v1/config/service-defaults", "/v1/connect/intentions", "/v1/connect/ca/roots"

pytestmark = pytest.mark.slow


def make_servers(folder: Path, datacenter: str, count: int) -> list[Agent]:
    names = [f"{datacenter}{number}" for number in range(1, count + 1)]
    agents = [
        make_agent(folder / n, n, "-server", f"-bootstrap-expect={count}", datacenter=datacenter, config=CONFIG)
        for n in names
    ]
    for agent in agents:
        agent.argv += [f"-retry-join={other.lan}" for other in agents if other is not agent]
    return agents


class Federation:
    """Both datacenters. `bj` is the primary one."""

    def __init__(self, folder: Path) -> None:
        self.bj = make_servers(folder, "bj", 3)
        self.sh = make_servers(folder, "sh", 3)
        for agent in self.sh:
            agent.argv += [f"-retry-join-wan=127.0.0.1:{other.ports['serf_wan']}" for other in self.bj]

    def put_entry(self, name: str, protocol: str, at: Agent | None = None) -> None:
        body = {"Kind": "service-defaults", "Name": name, "Protocol": protocol}
        assert (at or self.alive(self.bj)).put("/v1/config", body) == b"true"

    def alive(self, agents: list[Agent]) -> Agent:
        return next(agent for agent in agents if agent.process is not None)

    def same(self, what: str, path: str, at: list[Agent] | None = None) -> Any:
        """Waits until the servers of the secondary datacenter show what the primary one does."""
        wanted = shown(self.alive(self.bj), path)
        for agent in at or [agent for agent in self.sh if agent.process is not None]:
            wait_until(f"{what} at {agent.name}", lambda agent=agent: shown(agent, path + "?stale") == wanted, 90)
        return wanted


def shown(agent: Agent, path: str) -> list[dict[str, Any]]:
    """The objects without the indexes, which each datacenter has of its own."""
    rows: list[dict[str, Any]] = agent.get(path)
    return [{key: value for key, value in row.items() if not key.endswith("Index")} for row in rows]


def active_root(agent: Agent) -> dict[str, Any]:
    roots = agent.get(ROOTS)
    (active,) = [root for root in roots["Roots"] if root["Active"]]
    assert active["ID"] == roots["ActiveRootID"]
    return {**active, "TrustDomain": roots["TrustDomain"]}


def leaf_chain(agent: Agent, service: str) -> list[x509.Certificate]:
    pem: str = agent.get(f"/v1/agent/connect/ca/leaf/{service}")["CertPEM"]
    return x509.load_pem_x509_certificates(pem.encode())


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    federation = Federation(tmp_path_factory.mktemp("replication"))
    agents = [*federation.sh, *federation.bj]
    try:
        for agent in federation.sh:
            agent.start()
        yield federation
    finally:
        for agent in agents:
            agent.kill()


def test_without_the_primary_datacenter_the_secondary_one_leads_and_answers(federation: Federation) -> None:
    for agent in federation.sh:
        agent.wait_http()
    leader = leader_of(federation.sh)
    assert shown(leader, CONFIG_PATH) == [] == shown(leader, INTENTIONS)
    wait_until("a trust domain of its own", lambda: leader.get(ROOTS)["TrustDomain"])
    assert leader.get(ROOTS)["Roots"] == []
    answer = leader.cli("config", "read", "-kind", "service-defaults", "-name", "x")
    assert answer.returncode == 1


def test_once_the_primary_datacenter_is_there_everything_is_taken_over(federation: Federation) -> None:
    for agent in federation.bj:
        agent.start()
    for agent in federation.bj:
        agent.wait_http()
    primary = leader_of(federation.bj)
    federation.put_entry("first", "http")
    primary.put("/v1/config", {"Kind": "service-router", "Name": "first", "Routes": []})
    # Written in the secondary datacenter, stored in the primary one.
    wait_until(
        "the way to the primary one", lambda: sorted(federation.sh[0].get("/v1/catalog/datacenters")) == ["bj", "sh"]
    )
    federation.put_entry("second", "grpc", at=federation.sh[0])
    assert [row["Name"] for row in federation.same("the entries", CONFIG_PATH)] == ["first", "second"]
    federation.same("the router", "/v1/config/service-router")
    answer = federation.sh[1].cli("intention", "create", "-deny", "a", "b")
    assert answer.returncode == 0, answer.stderr
    assert [row["Action"] for row in federation.same("the intention", INTENTIONS)] == ["deny"]


def test_changes_and_removals_follow(federation: Federation) -> None:
    federation.put_entry("second", "http")
    assert (
        federation.alive(federation.bj).cli("config", "delete", "-kind", "service-router", "-name", "first").returncode
        == 0
    )
    assert federation.sh[2].cli("config", "delete", "-kind", "service-defaults", "-name", "first").returncode == 0
    assert [row["Protocol"] for row in federation.same("the entries", CONFIG_PATH)] == ["http"]
    assert federation.same("the router", "/v1/config/service-router") == []
    assert federation.sh[1].cli("intention", "create", "-replace", "-allow", "a", "b").returncode == 0
    assert [row["Action"] for row in federation.same("the intention", INTENTIONS)] == ["allow"]
    assert federation.sh[1].cli("intention", "delete", "a", "b").returncode == 0
    assert federation.same("no intention", INTENTIONS) == []


def test_leaves_of_the_secondary_datacenter_lead_to_the_primary_ones_root(federation: Federation) -> None:
    primary, secondary = federation.bj[0], federation.sh[0]
    wait_until("the root", lambda: secondary.get(ROOTS)["ActiveRootID"] == active_root(primary)["ID"])
    own, root = active_root(secondary), active_root(primary)
    assert own["TrustDomain"] == root["TrustDomain"]
    assert own["RootCert"] == root["RootCert"]
    leaf, intermediate = leaf_chain(secondary, "web")
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(x509.load_pem_x509_certificate(root["RootCert"].encode()))
    assert own["IntermediateCerts"] == [certificates.to_pem(intermediate)]


def test_a_rotation_in_the_primary_datacenter_gives_the_secondary_one_a_new_intermediate(
    federation: Federation,
) -> None:
    primary, secondary = federation.bj[0], federation.sh[0]
    before = active_root(secondary)
    primary.put(
        "/v1/connect/ca/configuration",
        {
            "Provider": "consul",
            "Config": {
                **primary.get("/v1/connect/ca/configuration")["Config"],
                "PrivateKey": certificates.new_private_key(),
            },
        },
    )
    root = active_root(primary)
    assert root["ID"] != before["ID"]
    wait_until("the new root", lambda: secondary.get(ROOTS)["ActiveRootID"] == root["ID"])
    leaf, intermediate, crossed = leaf_chain(secondary, "web")
    leaf.verify_directly_issued_by(intermediate)
    intermediate.verify_directly_issued_by(x509.load_pem_x509_certificate(root["RootCert"].encode()))
    crossed.verify_directly_issued_by(x509.load_pem_x509_certificate(before["RootCert"].encode()))
    assert {item["ID"]: item["Active"] for item in secondary.get(ROOTS)["Roots"]} == {
        before["ID"]: False,
        root["ID"]: True,
    }


def test_the_loss_of_the_primary_ones_leader_is_got_over(federation: Federation) -> None:
    lost = leader_of(federation.bj)
    lost.kill()
    rest = [agent for agent in federation.bj if agent is not lost]
    leader_of(rest)
    wait_until("a write", lambda: rest[0].put("/v1/config", {"Kind": "service-defaults", "Name": "third"}))
    federation.same("the entry", CONFIG_PATH)
    lost.start()
    lost.wait_http()


def test_the_loss_of_the_secondary_ones_leader_is_got_over(federation: Federation) -> None:
    lost = leader_of(federation.sh)
    lost.kill()
    federation.put_entry("fourth", "http")
    leader_of([agent for agent in federation.sh if agent is not lost])
    assert "fourth" in [row["Name"] for row in federation.same("the entry", CONFIG_PATH)]
    lost.start()
    lost.wait_http()
    federation.same("the entry at the one that was lost", CONFIG_PATH, [lost])


def test_a_restarted_secondary_datacenter_keeps_what_it_had_and_gets_what_it_missed(federation: Federation) -> None:
    intermediate = active_root(federation.sh[0])["IntermediateCerts"]
    for agent in federation.sh:
        agent.stop(signal.SIGTERM)
    federation.put_entry("fifth", "http")
    federation.put_entry("fourth", "grpc")
    assert federation.bj[0].cli("config", "delete", "-kind", "service-defaults", "-name", "third").returncode == 0
    for agent in federation.sh:
        agent.start()
    for agent in federation.sh:
        agent.wait_http()
    leader_of(federation.sh)
    federation.same("the entries", CONFIG_PATH)
    assert active_root(federation.sh[0])["IntermediateCerts"] == intermediate


def test_a_primary_datacenter_that_goes_back_in_time_is_followed(federation: Federation, tmp_path: Path) -> None:
    primary = federation.bj[0]
    before = shown(primary, CONFIG_PATH)
    archive = tmp_path / "older.snap"
    assert primary.cli("snapshot", "save", str(archive)).returncode == 0
    federation.put_entry("fifth", "grpc")
    federation.put_entry("sixth", "http")
    federation.same("the newer entries", CONFIG_PATH)
    assert primary.cli("snapshot", "restore", str(archive)).returncode == 0
    wait_until("the older entries in the primary one", lambda: shown(primary, CONFIG_PATH) == before)
    assert federation.same("the older entries", CONFIG_PATH) == before
    federation.put_entry("sixth", "grpc")
    federation.same("a change after it", CONFIG_PATH)


def test_a_secondary_datacenter_that_goes_back_in_time_is_brought_forward(
    federation: Federation, tmp_path: Path
) -> None:
    secondary = federation.sh[0]
    archive = tmp_path / "older.snap"
    assert secondary.cli("snapshot", "save", str(archive)).returncode == 0
    federation.put_entry("seventh", "http")
    assert federation.bj[0].cli("config", "delete", "-kind", "service-defaults", "-name", "fifth").returncode == 0
    now = federation.same("the changes", CONFIG_PATH)
    assert secondary.cli("snapshot", "restore", str(archive)).returncode == 0
    assert federation.same("the changes again", CONFIG_PATH) == now
    leaf, intermediate, *_ = leaf_chain(secondary, "after-restore")
    leaf.verify_directly_issued_by(intermediate)


def test_another_leader_in_the_secondary_one_changes_nothing_that_is_the_same(federation: Federation) -> None:
    lost = leader_of(federation.sh)
    before = {row["Name"]: row["ModifyIndex"] for row in lost.get(CONFIG_PATH)}
    assert before
    lost.kill()
    rest = [agent for agent in federation.sh if agent is not lost]
    rounds = {agent.name: agent.log().count(ROUND_DONE) for agent in rest}
    leader = leader_of(rest)
    wait_until("a round of the new leader", lambda: leader.log().count(ROUND_DONE) > rounds[leader.name])
    assert {row["Name"]: row["ModifyIndex"] for row in leader.get(CONFIG_PATH)} == before
