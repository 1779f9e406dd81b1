"""What keeps an agent from starting although its configuration can be read."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lictor.agent.start_faults import start_fault, watch_fault
from lictor.config.load import from_paths
from lictor.config.runtime import RuntimeConfig


@pytest.mark.parametrize(
    ("watch", "fault"),
    [
        ({"type": "key", "key": "a", "args": ["x"]}, ""),
        ({"type": "key", "key": "a", "handler": "x"}, ""),
        ({"type": "nodes", "handler_type": "http", "http_handler_config": {"path": "http://x"}}, ""),
        ({"type": "zz"}, "Failed to parse watch (map[string]interface {}{}): Unsupported watch type: zz"),
        (
            {"type": "key", "handler": "x"},
            'Failed to parse watch (map[string]interface {}{"handler":"x"}): Must specify a single key to watch',
        ),
        ({"type": "key", "key": "a"}, "Must define a watch handler"),
        ({"type": "key", "key": "a", "handler": "x", "args": ["y"]}, "Only one watch handler allowed"),
        ({"type": "key", "key": "a", "handler": "x", "handler_type": "http"}, "Only one watch handler allowed"),
        ({"type": "key", "key": "a", "handler": 5}, "Watch handler must be a string"),
        ({"type": "key", "key": "a", "args": "x"}, "Watch args must be a list of strings"),
        ({"type": "key", "key": "a", "args": [1]}, "Watch args must be a list of strings"),
        ({"type": "nodes", "handler_type": "zz"}, "Handler type 'zz' not recognized"),
        ({"type": "connect_roots", "args": ["x"]}, "Watch type connect_roots is not allowed in agent config"),
    ],
)
def test_a_watch_must_be_complete(watch: dict[str, Any], fault: str) -> None:
    assert watch_fault(watch) == fault


@pytest.fixture
def config(tmp_path: Any) -> RuntimeConfig:
    file = tmp_path / "c.json"
    file.write_text('{"data_dir": "/nowhere/to/be/found", "bind_addr": "127.0.0.1"}')
    return from_paths([str(file)]).config


def test_settings_that_servers_and_clients_refuse(config: RuntimeConfig) -> None:
    assert start_fault(config) == ""
    client = "Failed to start Consul client: "
    assert start_fault(replace(config, protocol=1)) == (
        f"{client}Protocol version '1' too low. Must be in range: [2, 3]"
    )
    server = replace(config, protocol=4, server_mode=True)
    assert start_fault(server) == (
        "Failed to start Consul server: Protocol version '4' too high. Must be in range: [2, 3]"
    )
    acl = replace(config, acl=replace(config.acl, default_policy="zz"))
    assert start_fault(acl) == f"{client}Unsupported default ACL policy: zz"
    acl = replace(config, acl=replace(config.acl, down_policy="zz"))
    assert start_fault(acl) == f"{client}Unsupported down ACL policy: zz"


def test_watches_need_a_way_to_ask(config: RuntimeConfig) -> None:
    watching = replace(config, watches=({"type": "nodes", "args": ["x"]},))
    assert start_fault(watching) == ""
    deaf = replace(watching, ports=replace(config.ports, http=-1, https=-1))
    assert start_fault(deaf) == "watch plans require an HTTP or HTTPS endpoint"
