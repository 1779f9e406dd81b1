"""What commands say when access control refuses what they need first."""

from __future__ import annotations

from tests.cli.conftest import Consul
from tests.cli.stub_agent import StubAgent

DENIED = "Unexpected response code: 403 (Permission denied)"


def test_a_lock_without_the_right_to_sessions_is_not_acquired(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/self", {"Config": {"NodeName": "n1"}})
    stub.on("PUT /v1/session/create", b"Permission denied", 403)
    result = consul("lock", "-try=1s", "job", "true")
    assert result == (1, "", f"Lock acquisition failed: failed to create session: {DENIED}\n")


def test_debug_judges_its_flags_before_it_asks_the_agent(stub: StubAgent, consul: Consul) -> None:
    stub.on("GET /v1/agent/self", b"Permission denied", 403)
    short = consul("debug", "-duration=5s", "-interval=5s")
    assert short == (1, "", "==> Capture validation failed: duration must be longer than 10s\n")
    assert not stub.requests
    allowed = consul("debug", "-duration=10s", "-interval=10s")
    assert (allowed.code, DENIED in allowed.err) == (1, True)
