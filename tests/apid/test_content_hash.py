"""Content hashes of agent services are Consul's: recorded with their answers."""

from typing import Any

import pytest

from apid.core.content_hash import content_hash

BARE = {"Tags": [], "Meta": {}, "Port": 0, "Address": "", "Weights": {"Passing": 1, "Warning": 1}}
PROXY = {
    "DestinationServiceName": "w",
    "LocalServicePort": 5,
    "Config": {"a": 1, "b": "x", "c": [1.5, True], "d": {"e": 2}},
    "Upstreams": [
        {
            "DestinationType": "service",
            "DestinationName": "db",
            "LocalBindPort": 9,
            "Config": {"z": 1},
            "MeshGateway": {},
        }
    ],
    "MeshGateway": {"Mode": "local"},
    "Expose": {
        "Checks": True,
        "Paths": [{"ListenerPort": 1, "Path": "/a", "LocalPathPort": 2, "ParsedFromCheck": False}],
    },
}


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ({**BARE, "ID": "sv", "Service": "sv", "Port": 1, "EnableTagOverride": False}, "5616e315918b02be"),
        (
            {
                "ID": "h1",
                "Service": "h",
                "Tags": ["a", "b"],
                "Meta": {"x": "y"},
                "Port": 80,
                "Address": "1.2.3.4",
                "TaggedAddresses": {
                    "lan": {"Address": "1.1.1.1", "Port": 5},
                    "lan_ipv4": {"Address": "1.2.3.4", "Port": 80},
                    "wan_ipv4": {"Address": "1.2.3.4", "Port": 80},
                },
                "Weights": {"Passing": 3, "Warning": 2},
                "EnableTagOverride": True,
            },
            "c7a271e2a139a02c",
        ),
        (
            {**BARE, "ID": "h2", "Service": "h2", "EnableTagOverride": False, "Connect": {"Native": True}},
            "df48dcc1ecfdb3a2",
        ),
        (
            {
                **BARE,
                "Kind": "connect-proxy",
                "ID": "h3",
                "Service": "h3",
                "Port": 1,
                "EnableTagOverride": False,
                "Proxy": PROXY,
            },
            "db724ff58066f725",
        ),
    ],
    ids=["least", "everything", "native", "proxy"],
)
def test_the_hash_is_that_of_consul(service: dict[str, Any], expected: str) -> None:
    assert content_hash(service) == expected
    assert content_hash({**service, "ContentHash": expected}) == expected
