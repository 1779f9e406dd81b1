"""The endpoints of access control on one server."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.apid.kubernetes_server import KubernetesServer, jwt
from tools.agents import Agent, make_agent, running, wait_until

MASTER = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b01"
UNKNOWN = "e1d3b1a0-9d64-4f4c-8a44-3d5c3b3ef111"
READER_RULES = 'acl = "read"'
WEB = jwt("web")


class Answer(NamedTuple):
    status: int
    index: str | None
    body: Any


class Asker:
    """Asks the agent with a token."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def __call__(self, method: str, path: str, body: Any = None, token: str = MASTER) -> Answer:
        connection = http.client.HTTPConnection(self.agent.host, self.agent.ports["http"], timeout=30)
        try:
            content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content, {"X-Consul-Token": token} if token else {})
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        is_json = response.getheader("Content-Type") == "application/json"
        return Answer(
            response.status, response.getheader("X-Consul-Index"), json.loads(raw) if is_json else raw.decode()
        )


def _started(folder: Path, tokens: dict[str, str]) -> Agent:
    config = {
        "performance": {"raft_multiplier": 1},
        "primary_datacenter": "bj",
        "acl": {"enabled": True, "default_policy": "deny", "tokens": tokens},
    }
    return make_agent(folder, "n1", "-server", "-bootstrap-expect=1", config=config)


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asker]:
    agent = _started(tmp_path_factory.mktemp("acl"), {"master": MASTER, "agent": MASTER})
    asker = Asker(agent)
    with running(agent):
        wait_until("the first tokens are there", lambda: len(asker("GET", "/v1/acl/tokens").body) == 2, 60)
        yield asker


def test_a_policys_list_of_datacenters_may_be_empty_and_is_shown_so_in_lists(ask: Asker) -> None:
    for name, datacenters in (("empty-list", []), ("no-list", None)):
        made = ask("PUT", "/v1/acl/policy", {"Name": name, "Datacenters": datacenters}).body
        assert "Datacenters" not in ask("GET", f"/v1/acl/policy/{made['ID']}").body
        listed = {policy["Name"]: policy["Datacenters"] for policy in ask("GET", "/v1/acl/policies").body}
        assert listed[name] == datacenters


def test_a_token_may_read_itself_and_its_secret_is_hidden_from_readers(ask: Asker) -> None:
    policy = ask("PUT", "/v1/acl/policy", {"Name": "reader", "Rules": READER_RULES}).body
    reader = ask("PUT", "/v1/acl/token", {"Policies": [{"Name": "reader"}]}).body
    path = f"/v1/acl/token/{reader['AccessorID']}"
    assert ask("GET", path).body["SecretID"] == reader["SecretID"]
    assert ask("GET", path, token=reader["SecretID"]).body["SecretID"] == "<hidden>"
    assert ask("GET", "/v1/acl/token/self", token=reader["SecretID"]).body == reader
    assert ask("PUT", path, {}, token=reader["SecretID"]) == (403, None, "Permission denied")
    assert ask("GET", f"/v1/acl/tokens?policy={policy['ID']}").body[0]["AccessorID"] == reader["AccessorID"]


def test_who_has_no_rights_gets_empty_meta_data_and_who_misses_something_real_ones(ask: Asker) -> None:
    assert ask("GET", "/v1/acl/tokens", token="") == (403, "1", "Permission denied")
    assert ask("GET", "/v1/acl/tokens", token=UNKNOWN) == (403, "1", "ACL not found")
    missing = ask("GET", f"/v1/acl/policy/{UNKNOWN}")
    assert (missing.status, missing.body) == (403, "ACL not found") and int(missing.index or 0) > 1
    assert ask("GET", f"/v1/acl/role/{UNKNOWN}") == (404, None, "")


def test_a_list_waits_for_a_change(ask: Asker) -> None:
    index = ask("GET", "/v1/acl/roles").index
    answers: list[Answer] = []
    waiting = threading.Thread(
        target=lambda: answers.append(ask("GET", f"/v1/acl/roles?index={index}&wait=60s")), daemon=True
    )
    waiting.start()
    made = ask("PUT", "/v1/acl/role", {"Name": "waited-for", "Policies": [{"Name": "global-management"}]}).body
    waiting.join(30)
    assert [role["Name"] for role in answers[0].body] == ["waited-for"]
    assert answers[0].index == str(made["CreateIndex"])


def test_a_deleted_policy_is_no_longer_linked(ask: Asker) -> None:
    policy = ask("PUT", "/v1/acl/policy", {"Name": "short-lived"}).body
    token = ask("PUT", "/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]}).body
    assert ask("DELETE", f"/v1/acl/policy/{policy['ID']}").body is True
    assert "Policies" not in ask("GET", f"/v1/acl/token/{token['AccessorID']}").body
    assert ask("DELETE", f"/v1/acl/policy/{policy['ID']}").body is True


def test_a_token_cannot_delete_itself(ask: Asker) -> None:
    own = ask("GET", "/v1/acl/token/self").body["AccessorID"]
    assert ask("DELETE", f"/v1/acl/token/{own}") == (
        500,
        None,
        "Deletion of the request's authorization token is not permitted",
    )


def test_changes_belong_to_the_primary_datacenter_whatever_dc_says(ask: Asker) -> None:
    assert ask("PUT", "/v1/acl/token?dc=nowhere", {"Description": "d"}).status == 200
    assert ask("GET", "/v1/acl/tokens?dc=nowhere").body == "No path to datacenter"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "/v1/acl/tokens?ns=a", None), ("PUT", "/v1/acl/policy?ns=a", {}), ("DELETE", "/v1/acl/role/x?ns=a", None)],
)
def test_namespaces_are_refused(ask: Asker, method: str, path: str, body: Any) -> None:
    refused = ask(method, path, body)
    assert refused.status == 400 and "Namespaces is a Consul Enterprise feature" in refused.body


def test_legacy_tokens_are_made_shown_cloned_and_deleted(ask: Asker) -> None:
    rules = 'key "" { policy = "read" }'
    assert ask("PUT", "/v1/acl/create", {"ID": "old", "Name": "n", "Rules": rules}).body == {"ID": "old"}
    (shown,) = ask("GET", "/v1/acl/info/old", token="").body
    assert (shown["ID"], shown["Name"], shown["Type"], shown["Rules"]) == ("old", "n", "client", rules)
    assert ask("PUT", "/v1/acl/update", {"ID": "old", "Name": "m"}).body == {"ID": "old"}
    clone = ask("PUT", "/v1/acl/clone/old").body["ID"]
    assert {row["ID"] for row in ask("GET", "/v1/acl/list").body} == {"old", clone, MASTER}
    for secret in ("old", clone, "no-such"):
        assert ask("PUT", f"/v1/acl/destroy/{secret}").body is True
    assert ask("GET", "/v1/acl/info/old").body == []


def test_the_rules_of_a_legacy_token_are_translated(ask: Asker) -> None:
    ask("PUT", "/v1/acl/create", {"ID": "to-translate", "Rules": 'key "a" { policy = "read" }'})
    own = ask("GET", "/v1/acl/token/self", token="to-translate").body
    translated = ask("GET", f"/v1/acl/rules/translate/{own['AccessorID']}")
    assert translated.body == 'key_prefix "a" {\n  policy = "read"\n}'
    assert ask("POST", "/v1/acl/rules/translate", own["Rules"].encode()).body == translated.body
    ask("PUT", "/v1/acl/destroy/to-translate")


def test_questions_are_answered_for_the_requests_token(ask: Asker) -> None:
    questions = [{"Resource": "key", "Segment": "a", "Access": "WRITE"}, {"Resource": "acl", "Access": "read"}]
    assert ask("POST", "/v1/internal/acl/authorize", questions).body == [
        {**questions[0], "Allow": True},
        {**questions[1], "Allow": True},
    ]
    denied = ask("POST", "/v1/internal/acl/authorize", questions, token="").body
    assert [answer["Allow"] for answer in denied] == [False, False]
    assert ask("POST", "/v1/internal/acl/authorize", questions * 33).body.startswith("Bad request: Refusing to process")


def test_replication_is_off_in_the_primary_datacenter(ask: Asker) -> None:
    status = ask("GET", "/v1/acl/replication", token="").body
    assert (status["Enabled"], status["LastSuccess"]) == (False, "0001-01-01T00:00:00Z")


def test_a_service_account_logs_in_with_what_its_binding_rules_give_and_out_again(ask: Asker, tmp_path: Path) -> None:
    kubernetes = KubernetesServer(tmp_path)
    kubernetes.accounts[WEB] = ("prod", "web", "uid")
    try:
        method = {"Name": "k8s", "Type": "kubernetes", "Config": kubernetes.config}
        assert ask("PUT", "/v1/acl/auth-method", method).body["Config"] == dict(sorted(kubernetes.config.items()))
        login = {"AuthMethod": "k8s", "BearerToken": WEB, "Meta": {"pod": "p", "a": "b"}}
        assert ask("POST", "/v1/acl/login", login, token="") == (403, None, "Permission denied")
        rule = {
            "AuthMethod": "k8s",
            "BindType": "service",
            "BindName": "${serviceaccount.name}-${serviceaccount.namespace}",
        }
        for selector in ("serviceaccount.namespace==prod", "serviceaccount.name==other"):
            assert ask("PUT", "/v1/acl/binding-rule", {**rule, "Selector": selector}).status == 200
        token = ask("POST", "/v1/acl/login", login, token="").body
        assert token["ServiceIdentities"] == [{"ServiceName": "web-prod"}]
        assert (token["Local"], token["AuthMethod"]) == (True, "k8s")
        assert token["Description"] == 'token created via login: {"a":"b","pod":"p"}'
        assert ask("POST", "/v1/acl/logout", token=MASTER) == (403, None, "Permission denied")
        assert ask("POST", "/v1/acl/logout", token=token["SecretID"]).body is True
        assert ask("GET", "/v1/acl/token/self", token=token["SecretID"]).status == 403
        second = ask("POST", "/v1/acl/login", login, token="").body
        assert ask("DELETE", "/v1/acl/auth-method/k8s").body is True
        assert ask("GET", "/v1/acl/token/self", token=second["SecretID"]).status == 403
        assert ask("GET", "/v1/acl/binding-rules").body == []
    finally:
        kubernetes.close()


def test_bootstrapping_is_done_once_and_again_with_the_right_reset_file(tmp_path: Path) -> None:
    agent = _started(tmp_path, {})
    ask = Asker(agent)
    with running(agent):
        wait_until(
            "strangers are known", lambda: ask("GET", "/v1/acl/tokens", token="").body == "Permission denied", 60
        )
        first = ask("PUT", "/v1/acl/bootstrap", token="").body
        assert first["ID"] == first["SecretID"]
        done = f"ACL bootstrap no longer allowed (reset index: {first['CreateIndex']})"
        assert ask("PUT", "/v1/acl/bootstrap", token="") == (403, None, f"Permission denied: {done}")
        file = agent.data_dir / "acl-bootstrap-reset"
        file.write_text("1")
        assert ask("PUT", "/v1/acl/bootstrap", token="") == (
            500,
            None,
            f"Invalid bootstrap reset index (specified 1, reset index: {first['CreateIndex']})",
        )
        file.write_text(f"{first['CreateIndex']}\n")
        second = ask("PUT", "/v1/acl/bootstrap", token="").body
        assert second["AccessorID"] != first["AccessorID"] and not file.exists()
        assert len(ask("GET", "/v1/acl/tokens", token=first["SecretID"]).body) == 3
