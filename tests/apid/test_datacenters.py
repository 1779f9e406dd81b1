"""Two real datacenters joined over the WAN pool: every kind of request, from a leader, a follower and a client agent.

Some tests change what the later ones see; the last one takes the second datacenter away.
"""

import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import dns.message
import dns.query
import pytest

from tools.agents import Agent, make_agent, running, wait_until

GOSSIP_KEY = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
NEW_GOSSIP_KEY = "HS5lJ+XuTlYKWaeGYyG+/A=="
CONFIG = {"performance": {"raft_multiplier": 1}, "translate_wan_addrs": True, "encrypt": GOSSIP_KEY}
ASKERS = ("b1", "b2", "c1")
REMOTE_SERVICE = {
    "Node": "ext",
    "Address": "10.0.0.1",
    "TaggedAddresses": {"wan": "198.51.100.1"},
    "Service": {
        "Service": "web",
        "Port": 80,
        "Address": "10.0.0.2",
        "TaggedAddresses": {"wan": {"Address": "198.51.100.2", "Port": 8080}},
    },
}

pytestmark = pytest.mark.slow


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    agent: Agent, path: str, method: str = "GET", body: object = None, headers: dict[str, str] | None = None
) -> Answer:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{agent.http}{path}", data=data, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Answer(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read())


def sees(agent: Agent, datacenters: list[str]) -> bool:
    return bool(agent.get("/v1/catalog/datacenters") == datacenters)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Agent]]:
    """bj: servers b1 and b2, client c1; sh: server s1."""
    folder = tmp_path_factory.mktemp("datacenters")
    b1, b2 = (make_agent(folder / n, n, "-server", "-bootstrap-expect=2", config=CONFIG) for n in ("b1", "b2"))
    s1 = make_agent(folder / "s1", "s1", "-server", "-bootstrap-expect=1", datacenter="sh", config=CONFIG)
    c1 = make_agent(folder / "c1", "c1", f"-retry-join={b1.lan}", config=CONFIG)
    with running(b1, b2, s1, c1):
        assert b1.cli("join", b2.lan).returncode == 0
        assert s1.cli("join", "-wan", f"127.0.0.1:{b1.ports['serf_wan']}").returncode == 0
        b1.wait_leader()
        s1.wait_leader()
        for agent in (b1, b2, c1):
            wait_until("both datacenters", partial(sees, agent, ["bj", "sh"]))
            wait_until("an answer of sh", partial(agent.get, "/v1/status/leader?dc=sh"))
        wait_until("both datacenters", partial(sees, s1, ["sh", "bj"]))
        assert ask(s1, "/v1/catalog/register", "PUT", REMOTE_SERVICE).body == b"true"
        yield {agent.name: agent for agent in (b1, b2, s1, c1)}


@pytest.fixture(params=ASKERS)
def asker(request: pytest.FixtureRequest, agents: dict[str, Agent]) -> Agent:
    return agents[request.param]


def test_every_kind_of_read_is_answered_by_the_datacenter_asked(asker: Agent, agents: dict[str, Agent]) -> None:
    there = agents["s1"]
    for path in (
        "/v1/catalog/services",
        "/v1/catalog/node/s1",
        "/v1/health/state/any",
        "/v1/health/node/s1",
        "/v1/session/list",
        "/v1/query",
        "/v1/coordinate/nodes",
        "/v1/operator/raft/configuration",
        "/v1/operator/autopilot/configuration",
        "/v1/status/leader",
        "/v1/status/peers",
        "/v1/internal/ui/nodes",
    ):

        def same(path: str = path) -> bool:
            """Coordinates and checks may move between the two questions, so they are asked again."""
            elsewhere, local = ask(asker, f"{path}?dc=sh"), ask(there, path)
            return (elsewhere.status, elsewhere.json) == (local.status, local.json)

        wait_until(f"{path} is the same", same, 10)
        # The agent's own datacenter by name is no other one.
        assert ask(asker, f"{path}?dc=bj").status == ask(asker, path).status, path


def test_writes_reach_the_datacenter_asked_and_no_other(asker: Agent, agents: dict[str, Agent]) -> None:
    key = f"/v1/kv/from/{asker.name}"
    assert ask(asker, f"{key}?dc=sh", "PUT", b"value").body == b"true"
    assert ask(agents["s1"], f"{key}?raw").body == b"value"
    assert ask(asker, f"{key}?dc=sh&raw").body == b"value"
    assert ask(asker, key).status == 404
    operations = [{"KV": {"Verb": "get", "Key": f"from/{asker.name}"}}]
    assert ask(asker, "/v1/txn?dc=sh", "PUT", operations).json["Results"][0]["KV"]["Value"] == "dmFsdWU="
    assert ask(asker, f"{key}?dc=sh", "DELETE").body == b"true"
    assert ask(agents["s1"], key).status == 404


def test_sessions_and_locks_work_across(asker: Agent, agents: dict[str, Agent]) -> None:
    made = ask(asker, "/v1/session/create?dc=sh", "PUT", {"Node": "s1", "TTL": "60s"})
    assert made.status == 200, made.body
    session = made.json["ID"]
    assert ask(asker, f"/v1/session/info/{session}?dc=sh").json[0]["Node"] == "s1"
    assert ask(asker, f"/v1/kv/lock?dc=sh&acquire={session}", "PUT", b"mine").body == b"true"
    assert ask(agents["s1"], "/v1/kv/lock").json[0]["Session"] == session
    assert ask(asker, f"/v1/session/renew/{session}?dc=sh", "PUT").json[0]["ID"] == session
    assert ask(asker, f"/v1/kv/lock?dc=sh&release={session}", "PUT", b"").body == b"true"
    assert ask(asker, f"/v1/session/destroy/{session}?dc=sh", "PUT").body == b"true"
    # The node that a session gets when none is named is the agent's own, which the other datacenter does not have.
    refused = ask(asker, "/v1/session/create?dc=sh", "PUT")
    assert refused.body.endswith(b"rpc error making call: Missing node registration")
    assert ask(asker, "/v1/session/create", "PUT").status == 200


def test_a_blocking_query_across_wakes_on_a_change_there(asker: Agent, agents: dict[str, Agent]) -> None:
    path = f"/v1/kv/watched/{asker.name}"
    assert ask(agents["s1"], path, "PUT", b"1").body == b"true"
    index = ask(asker, f"{path}?dc=sh").headers["X-Consul-Index"]
    answers: list[Answer] = []
    waiting = threading.Thread(target=lambda: answers.append(ask(asker, f"{path}?dc=sh&index={index}&wait=15s&raw")))
    begin = time.monotonic()
    waiting.start()
    # Other requests are not held up by the one that waits.
    assert ask(asker, f"{path}?dc=sh&raw").body == b"1"
    assert ask(asker, f"{path}?dc=sh", "PUT", b"2").body == b"true"
    waiting.join(20)
    assert answers[0].body == b"2"
    assert time.monotonic() - begin < 10
    late = ask(asker, f"{path}?dc=sh&index={answers[0].headers['X-Consul-Index']}&wait=100ms&raw")
    assert late.body == b"2"


def test_a_snapshot_of_the_other_datacenter_is_fetched(asker: Agent) -> None:
    answer = ask(asker, "/v1/snapshot?dc=sh")
    assert answer.status == 200
    assert answer.body[:2] == b"\x1f\x8b"


def test_an_unknown_datacenter_has_no_path(asker: Agent) -> None:
    answer = ask(asker, "/v1/catalog/nodes?dc=mars")
    call = b"rpc error making call: " if asker.name == "c1" else b""
    assert (answer.status, answer.body) == (500, call + b"No path to datacenter")
    assert answer.headers["X-Consul-Knownleader"] == "false"
    assert ask(asker, "/v1/kv/x?dc=mars", "PUT", b"1").body == call + b"No path to datacenter"


def test_addresses_of_the_other_datacenter_are_translated(asker: Agent, agents: dict[str, Agent]) -> None:
    found = ask(asker, "/v1/catalog/service/web?dc=sh").json[0]
    expected = ("198.51.100.1", "198.51.100.2", 8080)
    assert (found["Address"], found["ServiceAddress"], found["ServicePort"]) == expected
    found = ask(asker, "/v1/health/service/web?dc=sh").json[0]
    assert (found["Node"]["Address"], found["Service"]["Address"], found["Service"]["Port"]) == expected
    found = ask(asker, "/v1/catalog/node/ext?dc=sh").json
    service = found["Services"]["web"]
    assert (found["Node"]["Address"], service["Address"], service["Port"]) == expected
    found = ask(asker, "/v1/catalog/node-services/ext?dc=sh").json
    (service,) = found["Services"]
    assert (found["Node"]["Address"], service["Address"], service["Port"]) == expected
    assert expected[0] in {node["Address"] for node in ask(asker, "/v1/catalog/nodes?dc=sh").json}
    here = ask(agents["s1"], "/v1/catalog/service/web?dc=sh").json[0]
    assert (here["Address"], here["ServiceAddress"], here["ServicePort"]) == ("10.0.0.1", "10.0.0.2", 80)


def test_dns_translates_addresses_of_the_other_datacenter(asker: Agent, agents: dict[str, Agent]) -> None:
    def addresses(agent: Agent, name: str) -> list[str]:
        question = dns.message.make_query(name, "A")
        answer = dns.query.udp(question, agent.host, port=agent.ports["dns"], timeout=10)
        return [item.to_text() for rrset in answer.answer for item in rrset]

    assert addresses(asker, "web.service.sh.consul.") == ["198.51.100.2"]
    assert addresses(asker, "ext.node.sh.consul.") == ["198.51.100.1"]
    assert addresses(agents["s1"], "web.service.consul.") == ["10.0.0.2"]


@pytest.fixture(scope="module")
def failover(agents: dict[str, Agent]) -> str:
    body = {
        "Name": "far",
        "Service": {"Service": "web", "Near": "_agent", "Failover": {"NearestN": 1, "Datacenters": ["mars", "sh"]}},
        "DNS": {"TTL": "7s"},
    }
    query_id: str = ask(agents["b1"], "/v1/query", "POST", body).json["ID"]
    return query_id


def test_a_query_fails_over_to_the_other_datacenter(asker: Agent, failover: str) -> None:
    for name in ("far", failover):
        answer = ask(asker, f"/v1/query/{name}/execute")
        assert answer.status == 200, answer.body
        assert (answer.json["Datacenter"], answer.json["Failovers"], answer.json["DNS"]) == ("sh", 1, {"TTL": "7s"})
        found = answer.json["Nodes"][0]
        addresses = (found["Node"]["Address"], found["Service"]["Address"], found["Service"]["Port"])
        assert addresses == ("198.51.100.1", "198.51.100.2", 8080)


def test_dns_answers_a_query_that_failed_over(asker: Agent, failover: str) -> None:
    question = dns.message.make_query("far.query.consul.", "SRV")
    answer = dns.query.udp(question, asker.host, port=asker.ports["dns"], timeout=10)
    assert answer.answer[0].ttl == 7
    assert " 8080 " in answer.answer[0].to_text()


def test_a_query_unknown_here_is_not_found_and_asked_elsewhere_with_dc(agents: dict[str, Agent], failover: str) -> None:
    there = ask(agents["s1"], "/v1/query/far/execute")
    assert (there.status, there.body) == (404, b"Query not found")
    asked = ask(agents["s1"], "/v1/query/far/execute?dc=bj")
    assert (asked.status, asked.json["Datacenter"]) == (200, "sh")
    # It is the asking agent that translates, and these instances are its own datacenter's.
    assert asked.json["Nodes"][0]["Node"]["Address"] == "10.0.0.1"


def test_the_remote_part_of_queries_is_no_endpoint_for_clients(asker: Agent) -> None:
    body = {"Query": {"Service": {"Service": "web"}}, "Limit": 0, "Connect": False}
    assert ask(asker, "/v1/internal/query/execute", "POST", body).status == 404


def test_a_gossip_key_is_installed_and_removed_in_all_pools_of_all_datacenters(agents: dict[str, Agent]) -> None:
    asked, other = agents["b2"], agents["s1"]

    def pools(agent: Agent) -> list[tuple[bool, str, dict[str, int], int]]:
        rows = ask(agent, "/v1/operator/keyring").json
        return [(row["WAN"], row["Datacenter"], row["Keys"], row["NumNodes"]) for row in rows]

    def everywhere(*keys: str) -> list[tuple[bool, str, dict[str, int], int]]:
        sizes = ((True, "bj", 3), (False, "bj", 3), (False, "sh", 1))
        return [(wan, name, dict.fromkeys(keys, size), size) for wan, name, size in sizes]

    assert pools(asked) == everywhere(GOSSIP_KEY)
    assert ask(asked, "/v1/operator/keyring?relay-factor=1", "POST", {"Key": NEW_GOSSIP_KEY}).status == 200
    assert pools(asked) == everywhere(GOSSIP_KEY, NEW_GOSSIP_KEY)
    assert [row[1] for row in pools(other)] == ["sh", "sh", "bj"]
    assert ask(other, "/v1/operator/keyring", "DELETE", {"Key": NEW_GOSSIP_KEY}).status == 200
    assert pools(asked) == everywhere(GOSSIP_KEY)
    refused = ask(asked, "/v1/operator/keyring", "DELETE", {"Key": GOSSIP_KEY})
    assert refused.status == 500
    for pool in (b"WAN error: ", b"bj (LAN) error: ", b"sh (LAN) error: "):
        assert pool in refused.body
    assert ask(asked, "/v1/internal/keyring", "POST", {"Method": "GET"}).status == 404


def test_registrations_go_to_the_datacenter_that_their_body_names(asker: Agent, agents: dict[str, Agent]) -> None:
    here = {"Node": f"stays-{asker.name}", "Address": "10.8.0.1"}
    assert ask(asker, "/v1/catalog/register?dc=sh", "PUT", here).body == b"true"
    assert ask(asker, "/v1/catalog/register?dc=nowhere", "PUT", {**here, "Datacenter": "sh"}).body == b"true"
    for datacenter in ("bj", "sh"):
        node = ask(asker, f"/v1/catalog/node/{here['Node']}?dc={datacenter}").json["Node"]
        assert node["Datacenter"] == datacenter
    assert ask(asker, "/v1/catalog/deregister?dc=sh", "PUT", here).body == b"true"
    assert ask(asker, f"/v1/catalog/node/{here['Node']}").json is None
    assert ask(asker, f"/v1/catalog/node/{here['Node']}?dc=sh").json is not None
    assert ask(asker, "/v1/catalog/deregister", "PUT", {**here, "Datacenter": "sh"}).body == b"true"


SPREAD = ["near-1", "near-2", "near-3"]
PLACES_S = {"near-1": 0.0, "near-2": 0.01, "near-3": 0.02, "b1": 0.02, "c1": 0.02}


@pytest.fixture(scope="module")
def spread(agents: dict[str, Agent]) -> Callable[[], bool]:
    """Three nodes on a line, 10 ms apart; b1 and c1 are near the last. What is given puts all of them in place again.

    The agents tell their own coordinates, too, now and then.
    """
    leader = agents["b1"]
    for number, name in enumerate(SPREAD, 1):
        node = {"Node": name, "Address": f"10.9.0.{number}", "Service": {"Service": "spread", "Port": 1}}
        assert ask(leader, "/v1/catalog/register", "PUT", node).body == b"true"
    wait_until("c1 is in the catalog", lambda: leader.get("/v1/catalog/node/c1"))
    for name, near in (("spread", "_agent"), ("by-ip", "_ip")):
        ask(leader, "/v1/query", "POST", {"Name": name, "Service": {"Service": "spread", "Near": near}})

    def place() -> bool:
        for name, place_s in PLACES_S.items():
            coordinate = {"Vec": [place_s] + [0.0] * 7, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5}
            assert ask(leader, "/v1/coordinate/update", "PUT", {"Node": name, "Coord": coordinate}).status == 200
        return True

    return place


def nearest(agent: Agent, path: str, headers: dict[str, str] | None = None) -> list[str]:
    """The nodes of the service, in order: as the catalog lists them, or as a query gives them."""
    found = ask(agent, path, headers=headers).json
    return [item["Node"]["Node"] for item in found["Nodes"]] if "Nodes" in found else [item["Node"] for item in found]


@pytest.mark.parametrize("name", ["b1", "c1"])
def test_near_agent_is_the_agent_that_was_asked(
    agents: dict[str, Agent], spread: Callable[[], bool], name: str
) -> None:
    for path in ("/v1/catalog/service/spread?near=_agent", "/v1/query/spread/execute"):
        wait_until(path, lambda path=path: spread() and nearest(agents[name], path) == SPREAD[::-1])  # type: ignore[misc]
    # What the request says wins over the query's own.
    path = "/v1/query/spread/execute?near=near-1&limit=2"
    wait_until(path, lambda: spread() and nearest(agents[name], path) == SPREAD[:2])


@pytest.mark.parametrize("name", ["b1", "c1"])
def test_near_ip_is_the_node_of_the_client(agents: dict[str, Agent], spread: Callable[[], bool], name: str) -> None:
    headers = {"X-Forwarded-For": "10.9.0.1, 203.0.113.9"}
    for path in ("/v1/catalog/service/spread?near=_ip", "/v1/query/by-ip/execute"):
        wait_until(path, lambda path=path: spread() and nearest(agents[name], path, headers) == SPREAD)  # type: ignore[misc]


def test_garbage_on_the_forward_port_harms_nothing(agents: dict[str, Agent]) -> None:
    server = agents["b1"]
    for garbage in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x00" * 4096,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 999,
    ):
        with socket.create_connection((server.host, server.ports["api"]), timeout=5) as connection:
            connection.sendall(garbage)
    assert ask(agents["c1"], "/v1/kv/after/garbage", "PUT", b"1").body == b"true"


def test_a_lost_datacenter_is_told_and_queries_go_on_without_it(agents: dict[str, Agent], failover: str) -> None:
    agents["s1"].kill()
    for name in ASKERS:
        asker = agents[name]

        def told(asker: Agent = asker) -> bool:
            texts = (b"Remote DC has no server currently reachable", b"No path to datacenter")
            answer = ask(asker, "/v1/catalog/nodes?dc=sh")
            return answer.status == 500 and answer.body.removeprefix(b"rpc error making call: ") in texts

        wait_until("the loss is told", told)
        answer = ask(asker, "/v1/query/far/execute").json
        assert (answer["Nodes"], answer["Datacenter"], answer["Failovers"]) == ([], "bj", 1)
        assert ask(asker, "/v1/kv/still/here", "PUT", b"1").body == b"true"
