"""How single answers look on an agent: parameters that count and those that do not, bodies that are refused."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tools.agents import Agent, make_agent, running

HOST = "127.0.0.33"
NAMESPACED = b'Bad request: Invalid query parameter: "ns" - Namespaces is a Consul Enterprise feature'


class Caller:
    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(HOST, self._agent.ports["http"], timeout=30)
        try:
            connection.request(method, f"/v1/{path}", None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def text(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        status, _, answer = self(method, path, body)
        return status, answer.decode()


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    config = {"performance": {"raft_multiplier": 1}, "connect": {"enabled": True}}
    agent = make_agent(
        tmp_path_factory.mktemp("answers"), "n1", "-server", "-bootstrap-expect=1", host=HOST, config=config
    )
    with running(agent):
        agent.wait_leader()
        yield Caller(agent)


@pytest.mark.parametrize(
    "path", ["catalog/nodes", "catalog/datacenters", "query", "connect/intentions", "connect/ca/roots", "status/leader"]
)
def test_what_knows_no_namespaces_does_not_look_for_them(call: Caller, path: str) -> None:
    assert call("GET", f"{path}?ns=x")[0] == 200
    assert call("GET", "catalog/services?ns=x")[::2] == (400, NAMESPACED)


@pytest.mark.parametrize("path", ["status/leader", "status/peers"])
def test_the_options_of_a_read_are_checked_for_the_status_too(call: Caller, path: str) -> None:
    assert call.text("GET", f"{path}?index=x") == (400, "Invalid index")
    assert call("GET", f"{path}?stale&consistent")[0] == 400


def test_what_does_not_block_does_not_look_at_index_and_wait(call: Caller) -> None:
    assert call.text("GET", "catalog/datacenters?index=x&wait=y") == (200, '["bj"]')
    assert call("GET", "event/list?stale&consistent&max_stale=x")[0] == 200
    assert call.text("GET", "event/list?index=x") == (400, "Invalid index")


@pytest.mark.parametrize("path", ["internal/ui/node/n1", "connect/intentions"])
def test_an_unknown_datacenter_answers_with_empty_meta_data(call: Caller, path: str) -> None:
    status, headers, body = call("GET", f"{path}?dc=mars")
    assert (status, body, headers["X-Consul-Knownleader"]) == (500, b"No path to datacenter", "false")


def test_a_missing_query_is_a_failure_only_through_the_cache(call: Caller) -> None:
    assert call.text("GET", "query/none/execute") == (404, "Query not found")
    assert call.text("GET", "query/none/execute?cached") == (500, "Query not found")


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        (
            "catalog/register",
            {"Node": "n", "Namespace": "x"},
            'Request decode failed: json: unknown field "Namespace" - Namespaces is a Consul Enterprise feature',
        ),
        (
            "catalog/register",
            {"Node": "n", "Address": "x", "Service": {"Service": "s", "ContentHash": "x"}},
            'Request decode failed: json: unknown field "ContentHash"',
        ),
        (
            "catalog/register",
            {"Node": "n", "Address": "x", "Service": {"Service": "s", "Proxy": {"mesh_gateway": {}}}},
            'Request decode failed: json: unknown field "mesh_gateway"',
        ),
        (
            "connect/intentions/11111111-1111-1111-1111-111111111111",
            {"source_name": "a"},
            'Bad request: Request decode failed: json: unknown field "source_name"',
        ),
    ],
)
def test_fields_that_a_body_does_not_have_are_refused(call: Caller, path: str, body: Any, answer: str) -> None:
    assert call.text("PUT", path, body) == (400, answer)


def test_a_check_definition_may_have_other_fields_and_null_tags_are_empty(call: Caller) -> None:
    definition = {"Other": 1, "TTL": "5s", "OutputMaxSize": 7, "Interval": True}
    service = {"Service": "odd", "Tags": [None], "Connect": {"Other": 1}}
    body = {"Node": "x", "Address": "10.0.0.1", "Service": service, "Check": {"Name": "c", "Definition": definition}}
    assert call.text("PUT", "catalog/register", body) == (200, "true")
    (check,) = json.loads(call("GET", "health/node/x")[2])
    assert (check["Definition"], check["Type"]) == ({"OutputMaxSize": 7, "TTL": 5_000_000_000}, "ttl")
    (instance,) = json.loads(call("GET", "catalog/service/odd")[2])
    assert instance["ServiceTags"] == [""]


def test_deleting_the_defaults_of_all_proxies_works_under_any_name(call: Caller) -> None:
    assert call("PUT", "config", {"Kind": "proxy-defaults", "Name": "some"})[0] == 200
    assert call("GET", "config/proxy-defaults/global")[0] == 200
    assert call.text("DELETE", "config/proxy-defaults/other") == (200, "{}")
    assert call("GET", "config/proxy-defaults/global")[0] == 404


def test_the_configuration_of_the_authority_is_shown_in_order_or_as_null(call: Caller) -> None:
    assert call("PUT", "connect/ca/configuration", {"Provider": "consul"})[0] == 200
    assert b'"Config":null' in call("GET", "connect/ca/configuration")[2]
    wanted = {"Provider": "consul", "Config": {"RotationPeriod": "2160h", "LeafCertTTL": "40h"}}
    assert call("PUT", "connect/ca/configuration", wanted)[0] == 200
    assert b'"Config":{"LeafCertTTL":"40h","RotationPeriod":"2160h"}' in call("GET", "connect/ca/configuration")[2]
    wrong = {"Provider": "consul", "Config": {"PrivateKey": "x"}}
    assert call.text("PUT", "connect/ca/configuration", wrong) == (
        500,
        "error generating CA root certificate: error generating CA: "
        'error parsing private key "x": no PEM-encoded data found',
    )


def test_a_query_is_only_read_where_it_is_run(call: Caller) -> None:
    status, headers, body = call("POST", "query/x/execute")
    assert (status, headers["Allow"], body) == (405, "GET", b"method POST not allowed")
    assert call("POST", "query/x")[1]["Allow"] == "GET,PUT,DELETE"
