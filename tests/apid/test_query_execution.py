"""What a prepared query's failover tries, and how addresses of other datacenters are shown."""

import json

import pytest

from apid.core.translation import translated, translated_execution
from apid.endpoints.query import query_row
from apid.endpoints.query_execution import failover_order

KNOWN = ("sh", "gz", "cd")


@pytest.mark.parametrize(
    ("nearest", "listed", "expected"),
    [
        (0, None, []),
        (2, None, ["sh", "gz"]),
        (9, None, ["sh", "gz", "cd"]),
        (0, ["cd", "sh"], ["cd", "sh"]),
        (0, ["mars", "cd"], ["cd"]),
        (2, ["sh", "cd"], ["sh", "gz", "cd"]),
        (0, ["cd", "cd"], ["cd", "cd"]),
    ],
)
def test_failover_tries_the_nearest_then_the_listed_and_skips_the_unknown(
    nearest: int, listed: list[str] | None, expected: list[str]
) -> None:
    row = query_row({"Service": {"Service": "web", "Failover": {"NearestN": nearest, "Datacenters": listed}}}, "id")
    assert failover_order(row, KNOWN) == expected


def instance(datacenter_tags: dict[str, str], service_tags: dict[str, dict[str, object]]) -> dict[str, object]:
    return {
        "Node": {"Node": "n", "Address": "10.0.0.1", "TaggedAddresses": datacenter_tags},
        "Service": {"ID": "web", "Address": "10.0.0.2", "Port": 80, "TaggedAddresses": service_tags},
        "Checks": [],
    }


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, "10.0.0.1"),
        ({"lan": "10.0.0.9"}, "10.0.0.1"),
        ({"wan": "198.51.100.1"}, "198.51.100.1"),
        ({"wan": "198.51.100.1", "wan_ipv4": "198.51.100.4"}, "198.51.100.4"),
        ({"wan_ipv4": "198.51.100.4", "wan_ipv6": "2001:db8::6"}, "2001:db8::6"),
    ],
)
def test_a_remote_node_is_shown_at_its_wan_address(tags: dict[str, str], expected: str) -> None:
    answer = json.loads(translated("/v1/health/service/web", json.dumps([instance(tags, {})]).encode()))
    assert answer[0]["Node"]["Address"] == expected
    assert answer[0]["Service"]["Address"] == "10.0.0.2"


def test_a_remote_service_is_shown_at_its_wan_address_and_port() -> None:
    tags: dict[str, dict[str, object]] = {"wan": {"Address": "198.51.100.2", "Port": 8080}}
    answer = json.loads(translated("/v1/health/service/web", json.dumps([instance({}, tags)]).encode()))
    assert (answer[0]["Service"]["Address"], answer[0]["Service"]["Port"]) == ("198.51.100.2", 8080)


def test_answers_of_other_paths_and_unknown_nodes_stay_as_they_are() -> None:
    assert translated("/v1/kv/web", b'[{"Address": 1}]') == b'[{"Address": 1}]'
    assert translated("/v1/catalog/node/none", b"null") == b"null"
    assert translated("/v1/catalog/services", b'{"web":[]}') == b'{"web":[]}'


def test_an_execution_is_translated_by_where_its_instances_are() -> None:
    item = instance({"wan": "198.51.100.1"}, {})
    here = json.dumps({"Nodes": [item], "Datacenter": "bj"}).encode()
    there = json.dumps({"Nodes": [item], "Datacenter": "sh"}).encode()
    assert translated_execution(here, "bj") == here
    assert json.loads(translated_execution(there, "bj"))["Nodes"][0]["Node"]["Address"] == "198.51.100.1"
