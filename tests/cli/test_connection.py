"""How the commands reach the agent, and what they say when they do not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import Consul
from tests.cli.stub_agent import StubAgent

CONNECTING = "Error connecting to Consul agent: "


@pytest.mark.parametrize(
    ("arguments", "environment", "error"),
    [
        (["-http-addr=zz://x"], {}, "Unknown protocol scheme: zz"),
        (["-token-file=/nonexistent"], {}, "Error loading token file: open /nonexistent: no such file or directory"),
        (["-ca-file=/nonexistent"], {}, "Error loading CA File: open /nonexistent: no such file or directory"),
        (["-ca-path=/nonexistent"], {}, "lstat /nonexistent: no such file or directory"),
        ([], {"CONSUL_CLIENT_CERT": "x"}, "both client cert and client key must be provided"),
        (["-client-key=x"], {}, "both client cert and client key must be provided"),
    ],
)
def test_what_cannot_be_set_up_is_said_by_every_command_alike(
    arguments: list[str], environment: dict[str, str], error: str, consul: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for command in (["members"], ["kv", "get"], ["lock"]):
        behind = {"get": ["x"], "lock": ["p", "true"]}.get(command[-1], [])
        assert consul(*command, *arguments, *behind) == (1, "", f"{CONNECTING}{error}\n")


def test_a_bad_boolean_in_the_environment_is_a_warning(
    stub: StubAgent, consul: Consul, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_SSL", "zz")
    stub.on("PUT /v1/agent/reload")
    result = consul("reload")
    assert result.code == 0
    assert 'could not parse CONSUL_HTTP_SSL: error="strconv.ParseBool: parsing "zz": invalid syntax"' in result.err


def test_an_agent_without_tls_is_told(stub: StubAgent, consul: Consul) -> None:
    url = f"https://{stub.address}"
    error = f'Error leaving: Put "{url}/v1/agent/leave": http: server gave HTTP response to HTTPS client\n'
    assert consul("leave", f"-http-addr={url}") == (1, "", error)


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers whatever is asked with these bytes, once."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def test_an_answer_that_is_no_http_is_shown_in_one_line(consul: Consul) -> None:
    with answering(b"\x00garbage\n") as address:
        error = consul("info", f"-http-addr={address}").err
    assert error == (
        f'Error querying agent: Get "http://{address}/v1/agent/self": net/http: HTTP/1.x transport connection broken:'
        ' malformed HTTP response "\\x00garbage"\n'
    )
