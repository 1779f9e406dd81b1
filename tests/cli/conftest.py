"""The stub agent, and a way to run a command against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from lictor.cli.main import main
from tests.cli.stub_agent import StubAgent, running_stub


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Consul = Callable[..., Result]


@pytest.fixture
def stub() -> Iterator[StubAgent]:
    """A stub agent."""
    with running_stub() as agent:
        yield agent


@pytest.fixture
def consul(stub: StubAgent, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Consul:
    """Run `consul ARGUMENTS` against the stub."""
    monkeypatch.setenv("CONSUL_HTTP_ADDR", stub.address)

    def run(*arguments: str) -> Result:
        code = main(list(arguments))
        captured = capfdbinary.readouterr()
        return Result(code, captured.out.decode(), captured.err.decode())

    return run
