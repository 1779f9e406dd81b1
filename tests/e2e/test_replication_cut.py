"""A secondary datacenter whose link to the primary one is cut: it lives on what it has, and catches up afterwards."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.test_datacenters import ELECTION_S, curl, eventually, has_leader, lists_datacenters, put
from tools.testhosts import Host, NamespaceNetwork

SERVER = (
    "consul agent -server -bootstrap-expect=1 -data-dir=/tmp/consul -node={name} -bind={address}"
    " -datacenter={datacenter} -config-file={config}"
)
CONFIG = {"primary_datacenter": "bj", "connect": {"enabled": True}, "performance": {"raft_multiplier": 1}}
ENTRIES, INTENTIONS, ROOTS = "/v1/config/service-defaults", "/v1/connect/intentions", "/v1/connect/ca/roots"

pytestmark = pytest.mark.netns


def entry(name: str) -> str:
    return json.dumps({"Kind": "service-defaults", "Name": name, "Protocol": "http"})


def entry_names(host: Host) -> list[str]:
    return [row["Name"] for row in json.loads(curl(host, ENTRIES))]


def active_root(host: Host) -> str:
    root: str = json.loads(curl(host, ROOTS))["ActiveRootID"]
    return root


@pytest.fixture(scope="module")
def hosts(network: NamespaceNetwork) -> Iterator[tuple[Host, Host]]:
    """One server of bj, the primary datacenter, and one of sh."""
    bj, sh = network.hosts[:2]
    for host, datacenter in ((bj, "bj"), (sh, "sh")):
        config = host.folder / "federation.json"
        config.write_text(json.dumps(CONFIG))
        command = SERVER.format(name=f"{datacenter}1", address=host.address, datacenter=datacenter, config=config)
        host.start(*command.split())
        eventually("a leader", lambda host=host, datacenter=datacenter: has_leader(host, datacenter), ELECTION_S)  # type: ignore[misc]
    eventually("the WAN pool", lambda: sh.run("consul", "join", "-wan", bj.address).returncode == 0)
    eventually("both know both", lambda: lists_datacenters(sh, ["sh", "bj"]) and lists_datacenters(bj, ["bj", "sh"]))
    yield bj, sh


def test_what_changed_during_a_cut_arrives_after_it(network: NamespaceNetwork, hosts: tuple[Host, Host]) -> None:
    bj, sh = hosts
    assert put(bj, "/v1/config", entry("before")) == "true"
    eventually("the entry", lambda: entry_names(sh) == ["before"])
    eventually("the intermediate", lambda: active_root(sh) == active_root(bj) != "")
    network.cut(sh)
    try:
        assert put(bj, "/v1/config", entry("during")) == "true"
        assert curl(bj, f"{ENTRIES}/before", "-X", "DELETE") == "{}"
        intention = json.dumps({"SourceName": "a", "DestinationName": "b", "Action": "deny"})
        assert '"ID"' in curl(bj, INTENTIONS, "-X", "POST", "-d", intention)
        # The secondary datacenter reads and signs on its own, and says why it cannot write.
        assert entry_names(sh) == ["before"]
        assert json.loads(curl(sh, "/v1/agent/connect/ca/leaf/web"))["CertPEM"].count("BEGIN CERTIFICATE") == 2
        eventually(
            "a refused write",
            lambda: put(sh, "/v1/config", entry("x")) == "Remote DC has no server currently reachable",
        )
        assert lists_datacenters(sh, ["sh", "bj"])
    finally:
        network.heal(sh)
    eventually("the entries", lambda: entry_names(sh) == ["during"])
    eventually("the intention", lambda: [row["Action"] for row in json.loads(curl(sh, INTENTIONS))] == ["deny"])
    eventually("a write from there", lambda: put(sh, "/v1/config", entry("after")) == "true")
    eventually("the entries", lambda: entry_names(sh) == ["after", "during"])
