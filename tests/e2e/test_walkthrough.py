"""The introduction's walk-through, typed as a reader would type it, on four hosts with its addresses.

One story in order: each test leaves the cluster as the next one finds it.
"""

import json
import re
import time
from collections.abc import Callable

import pytest

from tools.testhosts import Host, NamespaceNetwork

AGENT = (
    "consul agent -server -bootstrap-expect=3 -data-dir=/tmp/consul -node={address} -bind={address} "
    "-client=0.0.0.0 -datacenter=BJ -ui"
)
AGENT_SH = (
    "consul agent -server -bootstrap-expect 3 -data-dir /tmp/consul -node={address} -bind={address} -datacenter SH -ui"
)
CLIENT = "consul agent -data-dir=/tmp/consul -node=client1 -bind={address} -datacenter=BJ -retry-join=192.168.99.129"
MEMBER = "192.168.99.{0} 192.168.99.{0}:8301 alive server 1.7.2 2 bj <all>"

pytestmark = pytest.mark.netns


def words(output: str) -> list[str]:
    """The lines of a table with runs of blanks as one."""
    return [re.sub(r" +", " ", line).strip() for line in output.splitlines()]


def eventually(what: str, check: Callable[[], object], timeout_s: float = 90) -> None:
    """Repeats until the check holds; fails with what it last raised."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            assert check()
            return
        except AssertionError as error:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come true within {timeout_s} s: {error}") from error
        time.sleep(0.2)


@pytest.fixture(scope="module")
def hosts(network: NamespaceNetwork) -> list[Host]:
    for host in network.hosts[:3]:
        host.start(*AGENT.format(address=host.address).split())
    network.hosts[3].start(*AGENT_SH.format(address=network.hosts[3].address).split())
    return network.hosts


def test_agents_start_and_say_that_there_is_no_leader_until_joined(hosts: list[Host]) -> None:
    for host in hosts[:3]:
        eventually(
            "the agent answers",
            lambda host=host: host.run("consul", "members").returncode == 0,
        )
        eventually("it misses a leader", lambda host=host: "No cluster leader" in host.log())
        assert "==> Consul agent running!" in host.log()
    done = hosts[0].run("consul", "kv", "get", "x", timeout_s=20)
    assert (done.returncode, done.stderr) == (1, "Error querying Consul agent: Unexpected response code: 500\n")


def test_join_prints_what_the_walk_through_shows(hosts: list[Host]) -> None:
    for host in hosts[1:3]:
        done = host.run("consul", "join", "192.168.99.128")
        assert (done.stdout, done.returncode) == ("Successfully joined cluster by contacting 1 nodes.\n", 0)


def test_members_shows_three_alive_servers(hosts: list[Host]) -> None:
    expected = [
        "Node Address Status Type Build Protocol DC Segment",
        *(MEMBER.format(last) for last in (128, 129, 130)),
    ]
    for host in hosts[:3]:
        eventually(
            "all members",
            lambda host=host: words(host.run("consul", "members").stdout) == expected,
        )


def test_list_peers_shows_one_leader_and_three_voters(hosts: list[Host]) -> None:
    def check() -> bool:
        lines = words(hosts[0].run("consul", "operator", "raft", "list-peers").stdout)
        assert lines and lines[0] == "Node ID Address State Voter RaftProtocol"
        rows = [line.split() for line in lines[1:]]
        assert sorted(row[0] for row in rows) == ["192.168.99.128", "192.168.99.129", "192.168.99.130"]
        assert sorted(row[3] for row in rows) == ["follower", "follower", "leader"]
        assert all(row[4:] == ["true", "3"] and row[2] == f"{row[0]}:8300" for row in rows)
        return True

    eventually("three voters with a leader", check)


def test_join_wan_shows_four_servers_of_two_datacenters(hosts: list[Host]) -> None:
    done = hosts[3].run("consul", "join", "-wan", "192.168.99.128")
    assert done.stdout == "Successfully joined cluster by contacting 1 nodes.\n"
    expected = [
        "Node Address Status Type Build Protocol DC Segment",
        *(f"192.168.99.{n}.bj 192.168.99.{n}:8302 alive server 1.7.2 2 bj <all>" for n in (128, 129, 130)),
        "192.168.99.131.sh 192.168.99.131:8302 alive server 1.7.2 2 sh <all>",
    ]
    eventually("the WAN pool", lambda: words(hosts[3].run("consul", "members", "-wan").stdout) == expected)


def test_a_key_written_on_one_node_is_read_on_another_and_from_the_other_datacenter(hosts: list[Host]) -> None:
    done = hosts[0].run("consul", "kv", "put", "app/color", "红色")
    assert done.stdout == "Success! Data written to: app/color\n"
    assert hosts[2].run("consul", "kv", "get", "app/color").stdout == "红色\n"
    assert hosts[3].run("consul", "kv", "get", "-datacenter=bj", "app/color").stdout == "红色\n"


def test_a_service_registered_on_one_node_is_found_by_dns_on_another(hosts: list[Host]) -> None:
    definition = json.dumps({"Name": "web", "Port": 8080, "Check": {"TTL": "1h", "Status": "passing"}})
    done = hosts[0].run("curl", "-sf", "-X", "PUT", "-d", definition, "http://127.0.0.1:8500/v1/agent/service/register")
    assert done.returncode == 0, done.stderr
    question = ("dig", "+short", "@127.0.0.1", "-p", "8600", "web.service.consul", "SRV")
    eventually(
        "DNS finds it",
        lambda: hosts[1].run(*question).stdout == "1 1 8080 192.168.99.128.node.bj.consul.\n",
    )
    remote = ("dig", "+short", "@127.0.0.1", "-p", "8600", "web.service.bj.consul")
    eventually("and from SH", lambda: hosts[3].run(*remote).stdout == "192.168.99.128\n")


def test_a_client_agent_joins_and_serves_the_same_answers(hosts: list[Host]) -> None:
    client = hosts[4]
    client.start(*CLIENT.format(address=client.address).split())
    expected = "client1 192.168.99.132:8301 alive client 1.7.2 2 bj <default>"
    eventually("the client is a member", lambda: expected in words(client.run("consul", "members").stdout))
    eventually("it reads keys", lambda: client.run("consul", "kv", "get", "app/color").stdout == "红色\n")
    url = "http://127.0.0.1:8500/v1/health/service/web?passing"
    answers = [host.run("curl", "-s", url).stdout for host in (hosts[0], hosts[2], client)]
    assert len(set(answers)) == 1 and len(json.loads(answers[0])) == 1
    eventually(
        "it answers DNS",
        lambda: (
            client.run("dig", "+short", "@127.0.0.1", "-p", "8600", "web.service.consul").stdout == "192.168.99.128\n"
        ),
    )
    assert client.run("consul", "catalog", "nodes").stdout == hosts[0].run("consul", "catalog", "nodes").stdout


def test_stopping_a_service_takes_it_out_of_discovery_on_every_node(hosts: list[Host]) -> None:
    done = hosts[0].run("curl", "-sf", "-X", "PUT", "http://127.0.0.1:8500/v1/agent/service/deregister/web")
    assert done.returncode == 0
    question = ("dig", "+short", "@127.0.0.1", "-p", "8600", "web.service.consul")
    for host in (hosts[1], hosts[4]):
        eventually("it is gone", lambda host=host: host.run(*question).stdout == "")


def test_a_host_that_is_cut_off_and_healed_catches_up_and_the_leader_stays(
    hosts: list[Host], network: NamespaceNetwork
) -> None:
    def leader() -> str:
        return str(hosts[0].run("curl", "-s", "http://127.0.0.1:8500/v1/status/leader").stdout)

    # On a busy machine answers take longer than the 200 ms after which a server counts as unhealthy.
    patience = ("-last-contact-threshold=5s", "-server-stabilization-time=2s")
    assert hosts[0].run("consul", "operator", "autopilot", "set-config", *patience).returncode == 0
    before = leader()
    victim = next(host for host in hosts[:3] if host.address not in before)
    writer = next(host for host in hosts[:3] if host is not victim)
    network.cut(victim)

    def gone() -> bool:
        # Autopilot makes a failed server leave when the others have a quorum without it.
        members = " ".join(words(writer.run("consul", "members").stdout))
        return any(f"{victim.address}:8301 {state}" in members for state in ("failed", "left"))

    eventually("it is seen as gone", gone, 60)
    assert writer.run("consul", "kv", "put", "while/cut", "1", timeout_s=60).returncode == 0
    network.heal(victim)
    alive = f"{victim.address}:8301 alive"
    eventually("it is alive again", lambda: alive in " ".join(words(writer.run("consul", "members").stdout)), 90)
    eventually("it caught up", lambda: victim.run("consul", "kv", "get", "-stale", "while/cut").stdout == "1\n", 60)
    assert leader() == before
    eventually("it votes again", lambda: voters(writer) == 3, 120)


def voters(host: Host) -> int:
    """How many servers have a vote."""
    return sum(
        line.split()[4] == "true" for line in words(host.run("consul", "operator", "raft", "list-peers").stdout)[1:]
    )
