"""The watches of the configuration run their handlers."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import msgspec
import pytest

from lictor.agent import watcher
from lictor.cli.watching import query_for
from lictor.config.runtime import Addresses, Ports, RuntimeConfig
from tests.agent.test_supervisor import wait_for
from tests.cli.stub_agent import running_stub

LIMIT_S = 20.0


def config_at(port: int) -> RuntimeConfig:
    return RuntimeConfig(ports=Ports(http=port), addresses=Addresses(http=("0.0.0.0",)))


def test_a_script_gets_the_result_and_the_index(tmp_path: Path) -> None:
    with running_stub() as stub:
        stub.on(
            "GET /v1/kv/a",
            [{"Key": "a", "CreateIndex": 1, "ModifyIndex": 9, "LockIndex": 0, "Flags": 0, "Value": "aGk="}],
            X_Consul_Index="9",
        )
        stop = threading.Event()
        watch = {
            "type": "key",
            "key": "a",
            "handler": f"cat > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/$CONSUL_INDEX",
        }
        thread = threading.Thread(
            target=watcher.follow,
            args=(config_at(stub.server.server_port), watch, query_for("key", watch), watcher.handler_of(watch), stop),
        )
        thread.start()
        try:
            wait_for(lambda: (tmp_path / "9").exists(), LIMIT_S)
        finally:
            stop.set()
            thread.join()
        assert json.loads((tmp_path / "9").read_text())["Value"] == "aGk="


def test_an_http_handler_is_asked_with_the_result() -> None:
    with running_stub() as stub:
        stub.on("POST /hook")
        settings = {"path": f"http://{stub.address}/hook", "header": {"X-Why": ["a", "b"]}, "timeout": "5s"}
        watcher.handler_of({"handler_type": "http", "http_handler_config": settings})(4, {"x": 1})
        (request,) = stub.requests
        assert json.loads(request.body) == {"x": 1}
        assert request.headers["X-Consul-Index"] == "4"
        assert request.headers["X-Why"] == "a, b"


@pytest.mark.parametrize(
    "watch",
    [
        {},
        {"handler": "x", "args": ["y"]},
        {"handler_type": "smoke"},
        {"handler_type": "http", "http_handler_config": {}},
    ],
)
def test_a_watch_must_say_what_to_call(watch: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must be given|not recognized|Requires 'path'"):
        watcher.handler_of(watch)


def test_the_own_address_is_reached_from_the_same_host() -> None:
    assert watcher.own_address(config_at(1)) == "127.0.0.1:1"
    unix = msgspec.structs.replace(config_at(1), addresses=Addresses(http=("unix:///x",)))
    assert watcher.own_address(unix) == "unix:///x"
