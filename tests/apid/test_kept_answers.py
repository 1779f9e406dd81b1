"""Kept answers are as good as new ones: after any change, a repeated request gets what the same request gets that was
never asked before (another header makes it another request)."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tools.agents import Agent, make_agent, running

SEED = 20
CHANGES = 150
READS = (
    "/v1/catalog/nodes",
    "/v1/catalog/nodes?near=n1",
    "/v1/catalog/nodes?node-meta=zone:z1",
    "/v1/catalog/services",
    "/v1/catalog/services?node-meta=zone:z1",
    "/v1/catalog/service/s0",
    "/v1/catalog/service/s0?tag=t1",
    "/v1/catalog/service/s0?filter=ServicePort==1",
    "/v1/catalog/connect/s0",
    "/v1/catalog/node/n1",
    "/v1/catalog/node-services/n0",
    "/v1/health/node/n0",
    "/v1/health/checks/s0",
    "/v1/health/checks/s0?node-meta=zone:z1",
    "/v1/health/state/any",
    "/v1/health/state/passing?node-meta=zone:z1",
    "/v1/health/service/s0",
    "/v1/health/service/s1?passing",
    "/v1/health/service/s1?tag=t1&passing",
    "/v1/health/service/nobody",
    "/v1/internal/ui/services",
    "/v1/internal/ui/nodes",
    "/v1/kv/?recurse",
    "/v1/kv/a/?recurse",
    "/v1/kv/a/?keys&separator=/",
    "/v1/kv/none?recurse",
    "/v1/kv/a/1",
)


class Client:
    def __init__(self, agent: Agent) -> None:
        self._connection = http.client.HTTPConnection(agent.host, agent.ports["http"], timeout=10)
        self._unique = 0

    def close(self) -> None:
        self._connection.close()

    def ask(self, method: str, path: str, body: object = None, never_asked: bool = False) -> tuple[int, str, bytes]:
        """Status, index and body."""
        self._unique += never_asked
        headers = {"X-Unique": str(self._unique)} if never_asked else {}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        return answer.status, answer.headers.get("X-Consul-Index", ""), answer.read()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    config = {"performance": {"raft_multiplier": 1}}
    agent = make_agent(tmp_path / "a", "a", "-server", "-bootstrap-expect=1", config=config)
    with running(agent):
        agent.wait_leader()
        made = Client(agent)
        yield made
        made.close()


def change(random: Random) -> tuple[str, str, object]:
    """Method, path and body of a random change."""
    node, service, instance = (f"{kind}{random.randrange(3)}" for kind in ("n", "s", "i"))
    status = random.choice(("passing", "warning", "critical"))
    registration = {
        "Node": node,
        "Address": f"10.0.0.{random.randrange(3)}",
        "NodeMeta": {"zone": f"z{random.randrange(2)}"},
        "Service": {
            "ID": instance,
            "Service": random.choice((service, service.upper())),
            "Port": random.randrange(3),
            "Tags": random.choice(([], ["t1"], ["t2", "t1"])),
            "Connect": {"Native": random.random() < 0.2},
        },
        "Check": {"CheckID": f"c{random.randrange(3)}", "ServiceID": instance, "Status": status},
    }
    key = "/v1/kv/" + random.choice(("a/1", "a/2", "a/b/3", "c"))
    return random.choice(
        (
            ("PUT", "/v1/catalog/register", registration),
            ("PUT", "/v1/catalog/register", {**registration, "Service": None, "Check": None}),
            ("PUT", "/v1/catalog/register", {"Node": node, "Address": "10.0.0.9", "Check": {"CheckID": "n"}}),
            ("PUT", "/v1/catalog/deregister", {"Node": node, "ServiceID": instance}),
            ("PUT", "/v1/catalog/deregister", {"Node": node, "CheckID": "n"}),
            ("PUT", "/v1/catalog/deregister", {"Node": node}),
            ("PUT", key, random.randbytes(3)),
            ("DELETE", key, None),
            ("DELETE", "/v1/kv/a/?recurse", None),
        )
    )


def test_kept_answers_equal_new_ones_after_any_change(client: Client) -> None:
    random = Random(SEED)
    print(f"seed {SEED}")
    for number in range(CHANGES):
        asked = change(random)
        client.ask(*asked)
        for path in READS:
            before, kept, after = None, None, client.ask("GET", path, never_asked=True)
            # The agent, too, changes the catalog now and then.
            while before != after:
                before = after
                kept = [client.ask("GET", path) for _ in range(2)]
                after = client.ask("GET", path, never_asked=True)
            assert kept == [after, after], f"{path} after change {number}: {asked}"
