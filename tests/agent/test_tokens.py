"""The agent's own tokens: set while it runs, kept if that is asked for, and known to every daemon."""

import json
import os
import signal
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lictor.agent.tokens import FILE_NAME, TokenError, TokenStore
from lictor.config.runtime import AclConfig, AclTokens, RuntimeConfig
from tools.agents import Agent, make_agent, running, wait_until

MASTER = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b01"


def configured(**tokens: str) -> RuntimeConfig:
    return RuntimeConfig(acl=AclConfig(tokens=AclTokens(**tokens)))


def test_what_was_set_wins_over_the_configuration_after_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = configured(default="from file", replication="from file")
    store = TokenStore(str(tmp_path), persistent=True)
    changed = store.set(store.set(store.applied(config), "default", "set"), "agent", "set")
    store.keep()
    assert changed.acl.tokens == AclTokens(default="set", agent="set", replication="from file")
    assert caplog.records == []
    again = TokenStore(str(tmp_path), persistent=True).applied(config)
    assert again == changed
    assert [record.getMessage() for record in caplog.records] == [
        '"default" token present in both the configuration and persisted token store, using the persisted token'
    ]


def test_what_is_kept_is_for_the_owners_eyes(tmp_path: Path) -> None:
    store = TokenStore(str(tmp_path), persistent=True)
    store.set(configured(), "agent_master", "secret")
    store.keep()
    path = tmp_path / FILE_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_bytes()) == {"agent_master": "secret"}


def test_a_token_that_was_cleared_is_the_configurations_again_after_a_restart(tmp_path: Path) -> None:
    config = configured(agent="from file")
    store = TokenStore(str(tmp_path), persistent=True)
    assert store.set(config, "agent", "").acl.tokens.agent == ""
    store.keep()
    assert TokenStore(str(tmp_path), persistent=True).applied(config) == config


def test_without_persistence_the_configuration_wins_again_at_the_next_reload(tmp_path: Path) -> None:
    config = configured(agent="from file")
    store = TokenStore(str(tmp_path), persistent=False)
    assert store.set(config, "agent", "set").acl.tokens.agent == "set"
    store.keep()
    assert not (tmp_path / FILE_NAME).exists()
    assert store.applied(config) == config


def test_a_file_that_cannot_be_read_leaves_the_configuration_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_text("{")
    config = configured(agent="from file")
    assert TokenStore(str(tmp_path), persistent=True).applied(config) == config
    assert "unable to load persisted tokens" in caplog.text


def test_a_token_that_cannot_be_kept_is_in_force_all_the_same(tmp_path: Path) -> None:
    store = TokenStore(str(tmp_path / "gone"), persistent=True)
    assert store.set(configured(), "agent", "set").acl.tokens.agent == "set"
    with pytest.raises(TokenError, match="Failed to persist tokens"):
        store.keep()


# ---------------------------------------------------------------------------------------------------- a whole agent


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    acl = {
        "enabled": True,
        "default_policy": "deny",
        "enable_token_persistence": True,
        "tokens": {"master": MASTER, "agent_master": "own"},
    }
    config = {"performance": {"raft_multiplier": 1}, "acl": acl}
    made = make_agent(tmp_path / "n1", "n1", "-server", "-bootstrap-expect=1", config=config)
    with running(made):
        wait_until("the master token is known", lambda: status(made, "/v1/agent/self", MASTER) == 200)
        yield made


def put(agent: Agent, path: str, body: bytes | dict[str, Any]) -> None:
    agent.put(f"{path}?token={MASTER}", body)


def status(agent: Agent, path: str, token: str = "") -> int:
    try:
        agent.get(f"{path}?token={token}" if token else path)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return 200


def test_a_token_that_is_set_acts_at_once_and_in_a_daemon_that_is_started_again(agent: Agent) -> None:
    assert status(agent, "/v1/catalog/datacenters") == 200
    put(agent, "/v1/kv/x", b"value")
    assert status(agent, "/v1/kv/x") == 403
    put(agent, "/v1/agent/token/default", {"Token": MASTER})
    assert status(agent, "/v1/kv/x") == 200
    put(agent, "/v1/agent/token/acl_agent_master_token", {"Token": "other"})
    assert status(agent, "/v1/agent/self", "own") == 403
    assert status(agent, "/v1/agent/self", "other") == 200
    os.kill(agent.daemon_pid("apid"), signal.SIGKILL)
    wait_until("apid is back", lambda: status(agent, "/v1/kv/x") == 200)
    assert status(agent, "/v1/agent/self", "other") == 200


def test_the_node_is_registered_as_soon_as_the_agent_has_a_token_that_may(agent: Agent) -> None:
    def addresses() -> Any:
        found = agent.get(f"/v1/catalog/node/n1?token={MASTER}")
        return found and found["Node"]["TaggedAddresses"]

    assert not addresses()
    put(agent, "/v1/agent/token/agent", {"Token": MASTER})
    wait_until("the node is registered", addresses)
