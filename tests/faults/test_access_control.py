"""Access control in a cluster: three servers and a client agent, everything denied that no token allows.

The tests follow each other; the last ones take the servers away.
"""

import threading
import time
import urllib.request
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.faults.asking import MASTER, ask, made
from tests.faults.cluster import leader_of, make_cluster, started
from tools.agents import Agent, make_agent, wait_until

TTL_S = 2
TTLS = {f"{kind}_ttl": f"{TTL_S}s" for kind in ("token", "policy", "role")}
RULES = """
agent_prefix "" { policy = "read" }
key_prefix "" { policy = "write" }
node_prefix "" { policy = "read" }
service_prefix "" { policy = "write" }
"""
NOT_FOUND = (403, "ACL not found")
DENIED = (403, "Permission denied")

pytestmark = pytest.mark.slow


def token(agent: Agent, **fields: Any) -> tuple[str, str]:
    """Secret and accessor ID of a new token."""
    row = made(agent, "/v1/acl/token", **fields)
    return row["SecretID"], row["AccessorID"]


def reads_self(agent: Agent, secret: str) -> Any:
    """200, or what the agent says instead."""
    status, answer = ask(agent, "GET", "/v1/agent/self", secret)
    return status if status == 200 else (status, answer)


def lookup(agent: Agent, name: str) -> str:
    query = dns.message.make_query(name, "A")
    answer = dns.query.udp(query, agent.host, port=agent.ports["dns"], timeout=10)
    return dns.rcode.to_text(answer.rcode())


class Cluster:
    def __init__(self, folder: Path) -> None:
        acl = {"enabled": True, "default_policy": "deny", **TTLS, "tokens": {"master": MASTER, "agent": MASTER}}
        self.servers = make_cluster(folder, config={"acl": acl})
        self.clients = {
            down: self._client(folder / down, down) for down in ("extend-cache", "async-cache", "deny", "allow")
        }

    def _client(self, folder: Path, down_policy: str) -> Agent:
        tokens = {"agent": MASTER, "agent_master": "own"}
        acl = {"enabled": True, "default_policy": "deny", **TTLS, "down_policy": down_policy, "tokens": tokens}
        agent = make_agent(folder, down_policy, config={"acl": acl, "retry_interval": "1s"})
        agent.argv += [f"-retry-join={server.lan}" for server in self.servers]
        return agent

    @property
    def client(self) -> Agent:
        return self.clients["extend-cache"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("access-control"))
    try:
        with started(cluster.servers):
            leader = leader_of(cluster.servers)
            wait_until("the first records", lambda: ask(leader, "GET", "/v1/acl/token/self")[0] == 200)
            made(leader, "/v1/acl/policy", Name="user", Rules=RULES)
            for agent in cluster.clients.values():
                agent.start()
            for agent in cluster.clients.values():
                wait_until(f"{agent.name} knows its servers", lambda at=agent: reads_self(at, MASTER) == 200)
            yield cluster
    finally:
        for agent in cluster.clients.values():
            agent.kill()


def test_what_one_server_is_told_counts_on_the_others_at_once(cluster: Cluster) -> None:
    for one, other in permutations(cluster.servers, 2):
        secret, accessor = token(one, Policies=[{"Name": "user"}])
        assert ask(other, "PUT", "/v1/kv/x", secret, b"value") == (200, True)
        made(one, f"/v1/acl/token/{accessor}", Policies=[])
        assert ask(other, "PUT", "/v1/kv/x", secret, b"value") == DENIED
        assert ask(other, "GET", "/v1/kv/x", secret) == DENIED
        assert ask(one, "DELETE", f"/v1/acl/token/{accessor}") == (200, True)
        assert ask(other, "GET", "/v1/kv/x?consistent", secret) == NOT_FOUND


def test_a_client_agent_passes_on_whose_request_it_is(cluster: Cluster) -> None:
    client = cluster.client
    secret, accessor = token(client, Policies=[{"Name": "user"}])
    assert ask(client, "PUT", "/v1/kv/x", secret, b"value") == (200, True)
    assert ask(client, "GET", "/v1/kv/x?raw", "") == DENIED
    assert ask(client, "PUT", "/v1/agent/token/default", body={"Token": secret}) == (200, "")
    assert ask(client, "GET", "/v1/kv/x?raw", "") == (200, "value")
    assert reads_self(client, "") == 200
    assert ask(client, "DELETE", f"/v1/acl/token/{accessor}") == (200, True)
    assert ask(client, "GET", "/v1/kv/x?raw", "") == NOT_FOUND
    assert ask(client, "PUT", "/v1/agent/token/default", body={"Token": ""}) == (200, "")


def test_a_client_agent_believes_an_answer_for_its_time(cluster: Cluster) -> None:
    client = cluster.client
    secret, accessor = token(client, Policies=[{"Name": "user"}])
    started_s = time.monotonic()
    assert reads_self(client, secret) == 200
    assert ask(client, "DELETE", f"/v1/acl/token/{accessor}") == (200, True)
    if time.monotonic() - started_s < TTL_S / 2:
        assert reads_self(client, secret) == 200
    wait_until("the answer is too old", lambda: reads_self(client, secret) == NOT_FOUND, TTL_S + 10)


def test_dns_shows_what_the_agents_default_token_may_see(cluster: Cluster) -> None:
    client = cluster.client
    secret, accessor = token(client, Policies=[{"Name": "user"}])
    registration = {"Node": "n", "Address": "10.1.2.3", "Service": {"Service": "web"}}
    assert ask(client, "PUT", "/v1/catalog/register", body=registration) == (200, True)
    for agent in (client, *cluster.servers):
        assert lookup(agent, "web.service.consul") == "NXDOMAIN"
        assert ask(agent, "PUT", "/v1/agent/token/default", body={"Token": secret}) == (200, "")
        wait_until("the service is seen", lambda at=agent: lookup(at, "web.service.consul") == "NOERROR")
    assert ask(client, "DELETE", f"/v1/acl/token/{accessor}") == (200, True)
    for agent in (client, *cluster.servers):
        wait_until("the token is unknown", lambda at=agent: lookup(at, "web.service.consul") == "SERVFAIL")
        assert ask(agent, "PUT", "/v1/agent/token/default", body={"Token": ""}) == (200, "")
        wait_until("it is nobody", lambda at=agent: lookup(at, "web.service.consul") == "NXDOMAIN")


def test_a_watch_through_a_client_agent_ends_with_its_token(cluster: Cluster) -> None:
    client = cluster.client
    secret, accessor = token(client, Policies=[{"Name": "user"}])
    request = urllib.request.Request(f"http://{client.http}/v1/watch?topic=kv/x", headers={"X-Consul-Token": secret})
    with urllib.request.urlopen(request, timeout=30) as stream:
        lines = iter(stream)
        assert any(line.startswith(b"event: reset") for line in lines)
        assert ask(client, "DELETE", f"/v1/acl/token/{accessor}") == (200, True)
        assert any(line.startswith(b"event: error") for line in lines)
        assert b"ACL not found" in next(line for line in lines if line.startswith(b"data: "))


def test_who_waits_for_events_sees_them_by_the_rights_of_then(cluster: Cluster) -> None:
    server = cluster.servers[0]
    secret, accessor = token(server, Policies=[{"Name": "user"}])
    answers: list[tuple[int, Any]] = []
    waiting = threading.Thread(
        target=lambda: answers.append(ask(server, "GET", "/v1/event/list?index=1&wait=20s", secret))
    )
    waiting.start()
    assert ask(server, "DELETE", f"/v1/acl/token/{accessor}") == (200, True)
    while waiting.is_alive():
        assert ask(server, "PUT", "/v1/event/fire/deploy", body=b"x")[0] == 200
        waiting.join(0.5)
    assert answers == [NOT_FOUND]


def test_without_servers_the_down_policy_decides(cluster: Cluster) -> None:
    secret, _ = token(cluster.client, Policies=[{"Name": "user"}])
    for client in cluster.clients.values():
        assert reads_self(client, secret) == 200
    for server in cluster.servers:
        server.kill()
    time.sleep(TTL_S)
    for name, expected in (("extend-cache", 200), ("async-cache", 200), ("allow", 200), ("deny", DENIED)):
        assert reads_self(cluster.clients[name], secret) == expected, name
    for name, expected in (("extend-cache", DENIED), ("async-cache", DENIED), ("allow", 200), ("deny", DENIED)):
        assert reads_self(cluster.clients[name], "unknown-until-now") == expected, name
    for client in cluster.clients.values():
        assert reads_self(client, "own") == 200
        assert ask(client, "GET", "/v1/agent/members", "own")[0] == 200


def test_when_the_servers_are_back_they_decide_again(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.start()
    leader = leader_of(cluster.servers)
    secret, _ = token(leader, Policies=[{"Name": "user"}])
    for client in cluster.clients.values():
        wait_until("servers are asked", lambda at=client: reads_self(at, secret) == 200)
        wait_until("and believed", lambda at=client: reads_self(at, "nobody") == NOT_FOUND, TTL_S + 10)
