"""Access control of two datacenters: what is made in the primary one counts in the other, and goes on counting.

The tests follow each other; the last one takes the primary datacenter away.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.asking import MASTER, ask, made
from tools.agents import Agent, make_agent, wait_until

WEAK, STRONG = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
STATUS = "/v1/acl/replication"
ZERO_TIME = "0001-01-01T00:00:00Z"

pytestmark = pytest.mark.slow


def names(agent: Agent, path: str, token: str = MASTER) -> set[str]:
    status, rows = ask(agent, "GET", path, token)
    assert status == 200, rows
    return {row.get("Name") or row["Description"] for row in rows}


def status_of(agent: Agent) -> dict[str, Any]:
    status, answer = ask(agent, "GET", STATUS, token="")
    assert status == 200, answer
    result: dict[str, Any] = answer
    return result


def config(datacenter: str, **tokens: str) -> dict[str, Any]:
    return {
        "performance": {"raft_multiplier": 1},
        "retry_interval_wan": "1s",
        "primary_datacenter": "bj",
        "acl": {
            "enabled": True,
            "default_policy": "deny",
            "enable_token_replication": datacenter == "sh",
            "tokens": {"agent": MASTER, **tokens},
        },
    }


def settled(agent: Agent) -> None:
    wait_until(f"{agent.name} answers", lambda: ask(agent, "GET", "/v1/status/leader")[1], 90)


class Federation:
    """`bj` is the primary datacenter, `sh` the other one, which is not started yet."""

    def __init__(self, folder: Path) -> None:
        server = ("-server", "-bootstrap-expect=1")
        self.bj = make_agent(folder / "bj", "bj1", *server, config=config("bj", master=MASTER))
        self.sh = make_agent(folder / "sh", "sh1", *server, datacenter="sh", config=config("sh"))
        self.sh.argv += [f"-retry-join-wan=127.0.0.1:{self.bj.ports['serf_wan']}"]

    def give(self, token: str) -> None:
        """Hands the secondary datacenter's agent the token to ask the primary one with."""
        status, answer = ask(self.sh, "PUT", "/v1/agent/token/replication", body={"Token": token})
        assert status == 200, answer


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    federation = Federation(tmp_path_factory.mktemp("acl-replication"))
    bj = federation.bj
    try:
        bj.start()
        settled(bj)
        wait_until("the first records", lambda: ask(bj, "GET", "/v1/acl/token/self")[0] == 200)
        for name, rules, secret in (("weak", 'acl = "read"', WEAK), ("strong", 'acl = "write"', STRONG)):
            made(bj, "/v1/acl/policy", Name=name, Rules=rules)
            made(bj, "/v1/acl/token", Description=name, SecretID=secret, Policies=[{"Name": name}])
        federation.sh.start()
        settled(federation.sh)
        yield federation
    finally:
        bj.kill()
        federation.sh.kill()


def test_the_primary_datacenter_takes_nothing_over(federation: Federation) -> None:
    assert status_of(federation.bj) == {
        "Enabled": False,
        "Running": False,
        "SourceDatacenter": "",
        "ReplicationType": "",
        "ReplicatedIndex": 0,
        "ReplicatedRoleIndex": 0,
        "ReplicatedTokenIndex": 0,
        "LastSuccess": ZERO_TIME,
        "LastError": ZERO_TIME,
    }


def test_without_a_token_nothing_is_asked_and_no_token_made(federation: Federation) -> None:
    sh = federation.sh
    wait_until("the agent knows its rights", lambda: ask(sh, "GET", "/v1/agent/self")[0] == 200)
    shown = status_of(sh)
    assert (shown["Enabled"], shown["Running"], shown["LastSuccess"]) == (True, True, ZERO_TIME)
    assert ask(sh, "PUT", "/v1/acl/token", body={"Local": True})[1].endswith("Local tokens are disabled")
    answer = ask(sh, "GET", "/v1/acl/auth-methods")
    assert answer == (500, "Token replication is required for auth methods to function")


def test_a_token_that_may_not_see_secrets_brings_policies_but_no_tokens(federation: Federation) -> None:
    sh = federation.sh
    federation.give(WEAK)
    wait_until("the error", lambda: status_of(sh)["LastError"] != ZERO_TIME)
    wait_until("the policies", lambda: status_of(sh)["ReplicatedIndex"] > 0)
    shown = status_of(sh)
    assert (shown["Enabled"], shown["Running"], shown["SourceDatacenter"]) == (True, True, "bj")
    assert (shown["ReplicationType"], shown["ReplicatedTokenIndex"]) == ("tokens", 0)
    assert "replication token in use does not grant acl:write" in sh.log()


def test_policies_roles_and_tokens_come_change_and_go(federation: Federation) -> None:
    federation.give(STRONG)
    bj, sh = federation.bj, federation.sh
    wait_until("the tokens", lambda: ask(sh, "GET", "/v1/acl/token/self")[0] == 200)
    policy = made(bj, "/v1/acl/policy", Name="ro", Rules='key_prefix "" { policy = "read" }')
    role = made(sh, "/v1/acl/role", Name="reader", Policies=[{"Name": "ro"}])
    token = made(sh, "/v1/acl/token", Description="app", Roles=[{"Name": "reader"}])
    secret = token["SecretID"]

    def may(method: str, body: bytes | None = None) -> int:
        return ask(sh, method, "/v1/kv/a", secret, body)[0]

    wait_until("the token counts", lambda: may("GET") == 404)
    assert may("PUT", b"1") == 403
    made(bj, f"/v1/acl/policy/{policy['ID']}", Name="rw", Rules='key_prefix "" { policy = "write" }')
    wait_until("the new rules count", lambda: may("PUT", b"1") == 200)
    assert names(sh, "/v1/acl/policies") == {"global-management", "weak", "strong", "rw"}
    assert ask(bj, "DELETE", f"/v1/acl/role/{role['ID']}")[0] == 200
    wait_until("the role is gone", lambda: names(sh, "/v1/acl/roles") == set())
    assert may("PUT", b"2") == 403
    assert ask(sh, "DELETE", f"/v1/acl/token/{token['AccessorID']}")[0] == 200
    wait_until("the token is gone", lambda: ask(sh, "GET", "/v1/acl/token/self", secret)[0] == 403)
    assert names(sh, "/v1/acl/tokens") == names(bj, "/v1/acl/tokens")
    shown = status_of(sh)
    assert min(shown["ReplicatedIndex"], shown["ReplicatedRoleIndex"], shown["ReplicatedTokenIndex"]) > 0
    assert shown["LastSuccess"] != ZERO_TIME
    assert status_of(bj)["Enabled"] is False
    assert ask(bj, "GET", STATUS + "?dc=sh", token="")[1]["ReplicationType"] == "tokens"


def test_a_local_token_counts_where_it_was_made_and_stays(federation: Federation) -> None:
    bj, sh = federation.bj, federation.sh
    local = made(sh, "/v1/acl/token", Description="local", Local=True, Policies=[{"Name": "rw"}])["SecretID"]
    made(bj, "/v1/acl/token", Description="of bj", Local=True, Policies=[{"Name": "rw"}])
    made(bj, "/v1/acl/token", Description="later", Policies=[{"Name": "rw"}])
    wait_until("a round", lambda: "later" in names(sh, "/v1/acl/tokens"))
    assert {"local"} <= names(sh, "/v1/acl/tokens") and "of bj" not in names(sh, "/v1/acl/tokens")
    assert ask(sh, "PUT", "/v1/kv/a", local, b"3") == (200, True)
    assert ask(bj, "GET", "/v1/kv/a", local) == (403, "ACL not found")


def test_without_the_primary_datacenter_what_was_taken_over_goes_on_counting(federation: Federation) -> None:
    bj, sh = federation.bj, federation.sh
    token = made(bj, "/v1/acl/token", Description="last", Policies=[{"Name": "rw"}])["SecretID"]
    wait_until("the token", lambda: ask(sh, "GET", "/v1/acl/token/self", token)[0] == 200)
    path = sh.folder / "own.json"
    configured = json.loads(path.read_text())
    configured["acl"]["tokens"]["replication"] = STRONG
    path.write_text(json.dumps(configured))
    bj.kill()
    sh.kill()
    sh.start()
    settled(sh)
    wait_until("a write", lambda: ask(sh, "PUT", "/v1/kv/b", token, b"4") == (200, True))
    assert ask(sh, "GET", "/v1/kv/b", "cccccccc-0000-4000-8000-000000000003") == (403, "ACL not found")
    wait_until("the error is shown", lambda: status_of(sh)["LastError"] != ZERO_TIME)
    assert {"last", "local"} <= names(sh, "/v1/acl/tokens")
