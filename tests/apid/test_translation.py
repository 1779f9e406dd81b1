"""Addresses of other datacenters, in every shape of answer that has some."""

import json
from typing import Any

import pytest

from apid.core.translation import translated

SERVICE = {"Address": "10.0.0.2", "Port": 80, "TaggedAddresses": {"wan": {"Address": "198.51.100.2", "Port": 8080}}}
PLAIN = {"Address": "10.0.0.3", "Port": 81, "TaggedAddresses": None}
NODE = {"Node": "n", "Address": "10.0.0.1", "TaggedAddresses": {"wan": "198.51.100.1"}}
FAR = ("198.51.100.2", 8080)


def answer(path: str, body: Any) -> Any:
    return json.loads(translated(path, json.dumps(body).encode()))


@pytest.mark.parametrize("services", [{"a": SERVICE, "b": PLAIN}, [SERVICE, PLAIN]])
def test_a_node_and_its_services_are_translated(services: Any) -> None:
    path = "/v1/catalog/node/n" if isinstance(services, dict) else "/v1/catalog/node-services/n"
    found = answer(path, {"Node": NODE, "Services": services})
    assert found["Node"]["Address"] == "198.51.100.1"
    shown = found["Services"].values() if isinstance(services, dict) else found["Services"]
    assert [(item["Address"], item["Port"]) for item in shown] == [FAR, ("10.0.0.3", 81)]


def test_a_node_that_is_not_there_or_has_no_services_stays_as_it_is() -> None:
    assert answer("/v1/catalog/node/n", None) is None
    assert answer("/v1/catalog/node-services/n", {"Node": None, "Services": None}) == {"Node": None, "Services": None}


def test_an_ipv6_address_wins_over_others() -> None:
    node = {**NODE, "TaggedAddresses": {"wan": "198.51.100.1", "wan_ipv6": "2001:db8::1", "wan_ipv4": "198.51.100.9"}}
    assert answer("/v1/catalog/nodes", [node])[0]["Address"] == "2001:db8::1"


def test_answers_of_other_paths_are_not_touched() -> None:
    body = b'[ {"Address": "10.0.0.1"} ]'
    assert translated("/v1/kv/a", body) is body
