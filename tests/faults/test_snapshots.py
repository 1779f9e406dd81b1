"""Archives of the state: taken and restored through any server, and the same on all of them afterwards."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.faults.cluster import leader_of, make_cluster, started
from tests.faults.raftview import terms
from tools.agents import Agent, wait_until

KEYS = 300
VALUE_BYTES = 2000
pytestmark = pytest.mark.slow


def keys_of(agent: Agent) -> list[str]:
    found: list[str] = agent.get("/v1/kv/?keys&stale")
    return sorted(found)


def archive_of(agent: Agent) -> bytes:
    with urllib.request.urlopen(f"http://{agent.http}/v1/snapshot", timeout=30) as answer:
        data: bytes = answer.read()
    return data


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Agent]]:
    with started(make_cluster(tmp_path_factory.mktemp("snapshots"))) as whole:
        yield whole


def test_an_archive_restored_through_a_follower_is_the_state_of_every_server(agents: list[Agent]) -> None:
    leader = leader_of(agents)
    follower = next(agent for agent in agents if agent is not leader)
    for number in range(KEYS):
        leader.put(f"/v1/kv/kept/{number}", bytes([number % 256]) * VALUE_BYTES)
    follower.put("/v1/catalog/register", {"Node": "old", "Address": "10.0.0.1", "Service": {"Service": "web"}})
    wanted = keys_of(leader)
    assert len(wanted) >= KEYS
    archive = archive_of(follower)
    leader.put("/v1/kv/later", b"1")
    leader.put("/v1/catalog/deregister", {"Node": "old"})
    before = max(terms(agents))
    follower.put("/v1/snapshot", archive, 60)
    for agent in agents:
        wait_until("it has the archive's keys", lambda agent=agent: keys_of(agent) == wanted, 20)
        found = agent.get("/v1/catalog/service/web?stale")
        assert [item["Node"] for item in found] == ["old"]
    assert leader.put("/v1/kv/after", b"1").strip() == b"true"
    for agent in agents:
        assert agent.get("/v1/kv/after?consistent")[0]["Value"] == "MQ=="
    assert max(terms(agents)) == before
    follower.stop()
    follower.start()
    follower.wait_http()
    leader_of(agents)
    wait_until("it has all after a restart", lambda: keys_of(follower) == sorted([*wanted, "after"]), 20)


def test_a_damaged_archive_is_refused_and_changes_nothing(agents: list[Agent]) -> None:
    agents[0].put("/v1/kv/kept", b"1")
    before = sorted(agents[0].get("/v1/kv/?keys&consistent"))
    archive = bytearray(archive_of(agents[0]))
    archive[len(archive) // 2] ^= 0xFF
    with pytest.raises(urllib.error.HTTPError) as refusal:
        agents[1].put("/v1/snapshot", bytes(archive), 30)
    refusal.value.close()
    assert refusal.value.code in (400, 500)
    assert sorted(agents[0].get("/v1/kv/?keys&consistent")) == before
    wait_until("all have what was there", lambda: all(keys_of(agent) == before for agent in agents))
