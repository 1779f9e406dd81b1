"""Bodies that Consul reads in ways of its own: sessions' defaults, coordinates, removals of servers."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tools.agents import Agent, make_agent, running, wait_until

COORDINATE = {"Vec": [0.1] * 8, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-05}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    config = {"performance": {"raft_multiplier": 1}}
    made = make_agent(tmp_path_factory.mktemp("odd"), "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(made):
        made.wait_leader()
        checks = [{"CheckID": name, "Name": name, "Status": "passing"} for name in ("serfHealth", "c1", "c2")]
        made.put("/v1/catalog/register", {"Node": "other", "Address": "10.0.0.9", "Checks": checks})
        yield made


def refused(agent: Agent, method: str, path: str, body: object = None) -> tuple[int, str]:
    """Status and text of an answer that is an error."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{agent.http}{path}", data=data, method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10).close()
    with caught.value as answer:
        return answer.code, answer.read().decode()


@pytest.mark.parametrize(
    ("given", "checks", "node_checks"),
    [
        ({"Checks": ["c1"]}, ["c1"], ["serfHealth"]),
        ({"Checks": ["c1"], "NodeChecks": ["c2"]}, ["c1"], ["c2"]),
        ({"Checks": ["serfHealth"], "NodeChecks": ["c1"]}, None, ["c1"]),
        ({"Checks": ["c1"], "NodeChecks": []}, None, []),
        ({"Checks": [], "NodeChecks": ["c1"]}, None, []),
        ({"Checks": None}, None, []),
        ({"NodeChecks": None}, None, None),
        ({"Unknown": 1, "LockDelay": "0s"}, None, ["serfHealth"]),
    ],
)
def test_either_kind_of_checks_may_take_away_the_others_default(
    agent: Agent, given: dict[str, Any], checks: list[str] | None, node_checks: list[str] | None
) -> None:
    session_id = json.loads(agent.put("/v1/session/create", {"Node": "other", **given}))["ID"]
    (shown,) = agent.get(f"/v1/session/info/{session_id}")
    assert (shown.get("Checks"), shown["NodeChecks"]) == (checks, node_checks)


def test_a_session_of_an_empty_node_is_refused(agent: Agent) -> None:
    assert refused(agent, "PUT", "/v1/session/create", {"Node": ""}) == (500, "Must provide Node")


def test_a_coordinate_is_shown_under_the_name_asked_for(agent: Agent) -> None:
    agent.put("/v1/coordinate/update", {"Node": "other", "Coord": COORDINATE})
    wait_until("the coordinate is written", lambda: agent.get("/v1/coordinate/node/other"))
    (shown,) = agent.get("/v1/coordinate/node/OTHER")
    assert (shown["Node"], shown["Coord"]) == ("OTHER", COORDINATE)


def test_a_coordinate_of_another_datacenter_is_sent_there(agent: Agent) -> None:
    body = {"Node": "other", "Datacenter": "elsewhere", "Coord": COORDINATE}
    assert refused(agent, "PUT", "/v1/coordinate/update", body) == (500, "No path to datacenter")


def test_a_server_that_is_none_is_named_as_it_was_given(agent: Agent) -> None:
    words = "was not found in the Raft configuration"
    assert refused(agent, "DELETE", "/v1/operator/raft/peer?id=") == (500, f'id "" {words}')
    assert refused(agent, "DELETE", "/v1/operator/raft/peer?address=1.2.3.4:1") == (500, f'address "1.2.3.4:1" {words}')
