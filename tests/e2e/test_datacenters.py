"""Two datacenters on hosts of their own: loss of a server, of a link, of a whole datacenter, and their return."""

import json
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.e2e.outage import PRODUCTION
from tools.testhosts import Host, NamespaceNetwork

BJ = (
    "consul agent -server -bootstrap-expect=2 -data-dir=/tmp/consul -node={name} -bind={address} -datacenter=bj"
    " -retry-join=192.168.99.128 -retry-interval=1s"
)
SH = "consul agent -server -bootstrap-expect=2 -data-dir=/tmp/consul -node={name} -bind={address} -datacenter=sh"
CLIENT = (
    "consul agent -data-dir=/tmp/consul -node={name} -bind={address} -datacenter=bj"
    " -retry-join=192.168.99.128 -retry-interval=1s"
)
NAMES = ("bj1", "bj2", "sh1", "sh2", "client")
ELECTION_S = 60.0

pytestmark = pytest.mark.netns


def eventually(what: str, check: Callable[[], object], timeout_s: float = 90) -> None:
    """Repeats until the check holds."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout_s} s"
        time.sleep(0.1)


def curl(host: Host, path: str, *options: str) -> str:
    done = host.run("curl", "-s", "--max-time", "20", *options, f"http://127.0.0.1:8500{path}")
    return done.stdout


def reads(host: Host, path: str, text: str) -> bool:
    return curl(host, path) == text


def put(host: Host, path: str, text: str) -> str:
    return curl(host, path, "-X", "PUT", "-d", text)


def has_leader(host: Host, datacenter: str) -> bool:
    return ":8300" in curl(host, f"/v1/status/leader?dc={datacenter}")


def lists_datacenters(host: Host, expected: list[str]) -> bool:
    return bool(json.loads(curl(host, "/v1/catalog/datacenters")) == expected)


@pytest.fixture(scope="module")
def hosts(network: NamespaceNetwork) -> dict[str, Host]:
    """bj1 and bj2 are servers of bj, client its client agent; sh1 and sh2 are servers of sh."""
    found = dict(zip(NAMES, network.hosts, strict=True))
    for name, host in found.items():
        template = CLIENT if name == "client" else BJ if name.startswith("bj") else SH
        host.start(*template.format(name=name, address=host.address).split(), *PRODUCTION)
    sh1, sh2 = found["sh1"], found["sh2"]
    eventually("sh1 answers", lambda: sh1.run("consul", "members").returncode == 0)
    eventually("sh2 joins", lambda: sh2.run("consul", "join", sh1.address).returncode == 0)
    eventually("the WAN pool", lambda: sh1.run("consul", "join", "-wan", found["bj1"].address).returncode == 0)
    for host in found.values():
        for datacenter in ("bj", "sh"):
            eventually("a leader", partial(has_leader, host, datacenter))
    return found


def test_every_agent_knows_both_datacenters_its_own_first(hosts: dict[str, Host]) -> None:
    for name, host in hosts.items():
        expected = ["sh", "bj"] if name.startswith("sh") else ["bj", "sh"]
        eventually("both", partial(lists_datacenters, host, expected))


def test_a_client_agent_reads_and_writes_in_the_other_datacenter(hosts: dict[str, Host]) -> None:
    assert put(hosts["client"], "/v1/kv/a?dc=sh", "1") == "true"
    eventually("both have it", partial(reads, hosts["sh1"], "/v1/kv/a?raw&stale", "1"))
    assert curl(hosts["sh2"], "/v1/kv/a?raw") == "1"
    assert curl(hosts["bj2"], "/v1/kv/a") == ""
    assert hosts["client"].run("consul", "kv", "get", "-datacenter=sh", "a").stdout == "1\n"


def test_a_cut_off_server_of_the_other_datacenter_is_gone_round(
    network: NamespaceNetwork, hosts: dict[str, Host]
) -> None:
    """Reads that need no leader there go on at once: the agent asks the server that is left."""
    network.cut(hosts["sh2"])
    try:
        for _ in range(10):
            begin = time.monotonic()
            assert curl(hosts["client"], "/v1/kv/a?dc=sh&raw&stale") == "1"
            assert time.monotonic() - begin < 8
    finally:
        network.heal(hosts["sh2"])
    eventually("sh has a leader again", lambda: put(hosts["client"], "/v1/kv/b?dc=sh", "2") == "true", ELECTION_S)


def test_a_client_agent_moves_to_the_other_server_when_its_own_is_lost(
    network: NamespaceNetwork, hosts: dict[str, Host]
) -> None:
    assert put(hosts["client"], "/v1/kv/c", "3") == "true"
    for name in ("bj1", "bj2"):
        for server in ("bj1", "bj2"):
            eventually("both have it", partial(reads, hosts[server], "/v1/kv/c?raw&stale", "3"))
        network.cut(hosts[name])
        try:
            for _ in range(5):
                begin = time.monotonic()
                assert curl(hosts["client"], "/v1/kv/c?raw&stale") == "3"
                assert time.monotonic() - begin < 8
        finally:
            network.heal(hosts[name])
        eventually("bj has a leader again", lambda: put(hosts["client"], "/v1/kv/d", "4") == "true", ELECTION_S)


def test_a_query_goes_to_the_other_datacenter_while_its_service_is_away(hosts: dict[str, Host]) -> None:
    service = json.dumps({"Name": "web", "Port": 80, "Check": {"TTL": "1h", "Status": "passing"}})
    for name in ("client", "sh1"):
        assert put(hosts[name], "/v1/agent/service/register", service) == ""
    query = {"Name": "web", "Service": {"Service": "web", "Failover": {"NearestN": 1}}}
    assert "ID" in curl(hosts["client"], "/v1/query", "-X", "POST", "-d", json.dumps(query))

    def served_by() -> tuple[str, str]:
        answer = json.loads(curl(hosts["client"], "/v1/query/web/execute"))
        question = ("dig", "+short", "@127.0.0.1", "-p", "8600", "web.query.consul")
        return answer["Datacenter"], hosts["client"].run(*question).stdout.strip()

    client, far = hosts["client"].address, hosts["sh1"].address
    eventually("both instances are known", lambda: '"sh1"' in curl(hosts["sh2"], "/v1/catalog/service/web"))
    eventually("the own instance answers", lambda: served_by() == ("bj", client))
    assert put(hosts["client"], "/v1/agent/check/fail/service:web", "") == ""
    eventually("the other datacenter's answers", lambda: served_by() == ("sh", far))
    assert put(hosts["client"], "/v1/agent/check/pass/service:web", "") == ""
    eventually("the own instance answers again", lambda: served_by() == ("bj", client))


def test_a_datacenter_that_is_cut_off_is_told_and_comes_back(network: NamespaceNetwork, hosts: dict[str, Host]) -> None:
    for name in ("sh1", "sh2"):
        network.cut(hosts[name])
    try:
        eventually(
            "the loss is told",
            lambda: curl(hosts["client"], "/v1/kv/a?dc=sh").endswith("Remote DC has no server currently reachable"),
        )
        assert put(hosts["client"], "/v1/kv/e", "5") == "true"
    finally:
        for name in ("sh1", "sh2"):
            network.heal(hosts[name])
    eventually("sh answers again", lambda: curl(hosts["client"], "/v1/kv/a?dc=sh&raw") == "1", 60)
