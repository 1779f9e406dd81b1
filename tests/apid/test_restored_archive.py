"""An archive made by Consul 1.7.2, restored into a running server that has the name of the server it was made on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.agents import Agent, make_agent, running, wait_until

DATA = Path(__file__).parent.parent / "state" / "data"
EXPECTED: dict[str, Any] = json.loads((DATA / "consul-1.7.2.json").read_text())["reads"]
READS = [path for path in EXPECTED if not path.startswith("/v1/acl/")]
WITH_INDEXES_OF_ITS_OWN = ("/v1/kv/", "/v1/session/", "/v1/query", "/v1/connect/", "/v1/config/", "/v1/operator/")
NODE_ID: str = EXPECTED["/v1/catalog/node/n1"]["Node"]["ID"]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    made = make_agent(
        tmp_path_factory.mktemp("restored"),
        "n1",
        "-server",
        "-bootstrap-expect=1",
        config={"performance": {"raft_multiplier": 1}, "connect": {"enabled": True}},
    )
    with running(made):
        made.wait_leader()
        wait_until("the server is in its catalog", lambda: made.get("/v1/catalog/node/n1"))
        assert made.put("/v1/snapshot", (DATA / "consul-1.7.2.snap").read_bytes(), timeout_s=30) == b""
        # The leader looks at every member after a restore, this server with its own node ID among them.
        wait_until("the live member was compared with its node", lambda: f"reserved by node {NODE_ID}" in made.log())
        yield made


def _comparable(value: Any, with_indexes: bool) -> Any:
    """Lists without order (that of tags is chance), and without the indexes that an archive does not hold."""
    if isinstance(value, dict):
        return {
            key: _comparable(item, with_indexes)
            for key, item in value.items()
            if with_indexes or key not in ("CreateIndex", "ModifyIndex")
        }
    if isinstance(value, list):
        return sorted((_comparable(item, with_indexes) for item in value), key=lambda item: json.dumps(item))
    return value


@pytest.mark.parametrize("path", READS)
def test_every_read_gives_what_it_gave_where_the_archive_was_made(agent: Agent, path: str) -> None:
    with_indexes = path.startswith(WITH_INDEXES_OF_ITS_OWN)
    assert _comparable(agent.get(path), with_indexes) == _comparable(EXPECTED[path], with_indexes)


def test_the_session_of_the_servers_name_still_holds_its_key(agent: Agent) -> None:
    (session,) = agent.get("/v1/session/node/n1")
    held = [entry["Key"] for entry in agent.get("/v1/kv/?recurse") if entry.get("Session") == session["ID"]]
    assert len(held) == 1
    assert agent.put(f"/v1/kv/{held[0]}?acquire={session['ID']}", b"again") == b"true"
