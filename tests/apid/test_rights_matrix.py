"""Each operation of the API asks for the rights that the matrix states: with none, others, too little, just enough."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from apid.endpoints.table import all_routes
from lictor.config.runtime import RuntimeConfig
from tests.apid.rights_matrix import CASES, Case
from tools.agents import Agent, make_agent, running, wait_until

MASTER = "6b1f0c3a-5d2e-4c77-9a10-2f8e4d7c9b24"
UNKNOWN = "e1d3b1a0-9d64-4f4c-8a44-3d5c3b3ef124"
NONE = "c7c4a5de-0000-4000-8000-000000000024"
KEY = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s="
KINDS = ("agent", "event", "key", "node", "query", "service", "session")
OTHERS = "".join(f'{kind} "another" {{ policy = "write" }}\n' for kind in KINDS)
"""Rights that none of the requests needs."""
GUARDED = [case for case in CASES if case.how in ("denied", "hidden")]
TRIED = [case for case in GUARDED if case.tried]
WRITES = [case for case in CASES if case.how == "denied" and '"write"' in case.needs]
Reply = tuple[int, str]


def named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=f"{case.route} {case.path}") for case in cases]


class World:
    """An agent with access control on and something behind every path."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._tokens: dict[str, str] = {"": ""}
        self._ids = {"NONE": NONE}

    def ask(self, method: str, path: str, token: str, body: Any = None) -> Reply:
        connection = http.client.HTTPConnection(self._agent.host, self._agent.ports["http"], timeout=30)
        try:
            sent = body if body is None or isinstance(body, bytes) else json.dumps(body)
            connection.request(method, path, sent, {"X-Consul-Token": token} if token else {})
            response = connection.getresponse()
            streamed = response.getheader("Content-Type") == "text/event-stream"
            content = first_event(response) if streamed else response.read()
            return response.status, content.decode("utf-8", "replace")
        finally:
            connection.close()

    def case(self, case: Case, token: str) -> Reply:
        return self.ask(case.method, self.filled(case.path), token, case.body)

    def filled(self, text: str) -> str:
        for name, value in self._ids.items():
            text = text.replace(f"${{{name}}}", value)
        return text

    def token(self, rules: str) -> str:
        """The secret of a token with these rules; empty: that of nobody."""
        known = self._tokens.get(rules)
        if known is None:
            name = f"policy-{len(self._tokens)}"
            self._made("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
            made = json.loads(self._made("PUT", "/v1/acl/token", {"Policies": [{"Name": name}]}))
            known = self._tokens[rules] = made["SecretID"]
        return known

    def _made(self, method: str, path: str, body: Any = None) -> str:
        status, text = self.ask(method, path, MASTER, body)
        assert status == 200, f"{method} {path}: {status} {text}"
        return text

    def _made_id(self, name: str, method: str, path: str, body: Any) -> None:
        self._ids[name] = json.loads(self._made(method, path, body))["ID"]

    def furnish(self) -> None:
        wait_until("the master token is there", lambda: self.ask("GET", "/v1/acl/token/self", MASTER)[0] == 200)
        proxy = {"Kind": "connect-proxy", "Port": 1, "Proxy": {"DestinationServiceName": "web"}}
        check = {"TTL": "1h", "Status": "passing"}
        for service in (
            {"ID": "web1", "Name": "web", "Port": 80, "Check": check},
            {"Name": "db"},
            {"Name": "gone"},
            {"Name": "px", **proxy},
        ):
            self._made("PUT", "/v1/agent/service/register", service)
        self._made("PUT", "/v1/agent/check/register", {"Name": "old", **check})
        self._made("PUT", "/v1/kv/a/b", b"1")
        for name in ("SESSION", "OTHER_SESSION"):
            self._made_id(name, "PUT", "/v1/session/create", {"NodeChecks": []})
        for name, query in (("QUERY", "q"), ("OTHER_QUERY", "other-q")):
            self._made_id(name, "POST", "/v1/query", {"Name": query, "Service": {"Service": "web"}})
        for name, source in (("INTENTION", "web"), ("OTHER_INTENTION", "api")):
            body = {"SourceName": source, "DestinationName": "db", "Action": "allow"}
            self._made_id(name, "POST", "/v1/connect/intentions", body)
        for service_name in ("web", "db"):
            entry = {"Kind": "service-defaults", "Name": service_name, "Protocol": "http"}
            self._made("PUT", "/v1/config", entry)
        self._made("PUT", "/v1/event/fire/deploy")
        for path, shown in (("/v1/health/node/n1", "service:web1"), ("/v1/catalog/connect/web", "px")):
            wait_until(f"{shown} is in the catalog", lambda path=path, shown=shown: shown in self._made("GET", path))  # type: ignore[misc]
        wait_until("the event is heard", lambda: "deploy" in self._made("GET", "/v1/event/list"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    config = {
        "performance": {"raft_multiplier": 1},
        "acl": {"enabled": True, "default_policy": "deny", "tokens": {"master": MASTER, "agent": MASTER}},
        "connect": {"enabled": True},
        "encrypt": KEY,
        "enable_debug": True,
    }
    agent = make_agent(tmp_path_factory.mktemp("rights"), "n1", "-server", "-bootstrap-expect=1", config=config)
    with running_with_acl(agent):
        world = World(agent)
        world.furnish()
        yield world


def first_event(response: http.client.HTTPResponse) -> bytes:
    """The first event of a stream without end."""
    while not (line := response.readline()).startswith(b"data:"):
        assert line, "the stream ended without an event"
    return line


def running_with_acl(agent: Agent) -> Any:
    """As `running`; what it asks needs no rights."""
    agent.wait_http = agent.wait_leader  # type: ignore[method-assign, assignment]
    return running(agent)


def test_the_rights_of_every_operation_are_stated(tmp_path: Path) -> None:
    node = MagicMock()
    node.config = RuntimeConfig(node_name="n1", datacenter="bj", data_dir=str(tmp_path))
    operations = {f"{method} {route.pattern}" for route in all_routes(node) for method in route.operations}
    assert operations == {case.route for case in CASES}


@pytest.mark.parametrize("case", named(GUARDED))
@pytest.mark.parametrize("rules", ["", OTHERS], ids=["nobody", "others"])
def test_without_the_rights_it_is_denied_or_hidden(world: World, case: Case, rules: str) -> None:
    status, body = world.case(case, world.token(rules))
    if case.how == "denied":
        assert (status, body) == case.refusal
    else:
        assert status in (200, 404)
        assert world.filled(case.shows) not in body


@pytest.mark.parametrize("case", named(GUARDED))
def test_an_unknown_token_is_told_so(world: World, case: Case) -> None:
    assert world.case(case, UNKNOWN) == case.unknown


@pytest.mark.parametrize("case", named(WRITES))
def test_reading_rights_do_not_let_write(world: World, case: Case) -> None:
    assert world.case(case, world.token(case.needs.replace('"write"', '"read"'))) == case.refusal


@pytest.mark.parametrize("case", named([case for case in CASES if case.how == "open"]))
def test_what_is_open_answers_everybody_alike(world: World, case: Case) -> None:
    assert world.case(case, world.token(OTHERS))[0] == world.case(case, MASTER)[0]


@pytest.mark.parametrize("case", named([case for case in CASES if case.how == "internal"]))
def test_what_is_for_agents_is_not_there_for_clients(world: World, case: Case) -> None:
    assert world.case(case, MASTER)[0] == 404


# Last, as it changes what the others ask for.
@pytest.mark.parametrize("case", named(TRIED))
def test_the_rights_are_just_enough(world: World, case: Case) -> None:
    status, body = world.case(case, world.token(case.needs))
    if case.how == "denied":
        assert status != 403
        assert (status, body) != case.refusal
    else:
        assert status == 200
        assert world.filled(case.shows) in body
