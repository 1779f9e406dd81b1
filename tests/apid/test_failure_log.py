"""Which failed requests are worth an error in the log."""

from __future__ import annotations

import logging

import pytest

from apid.core.dispatcher import log_failure
from apid.core.message import Request


@pytest.mark.parametrize(
    ("origin", "internal", "status", "level"),
    [
        ("10.0.0.1:5", False, 500, logging.ERROR),
        ("10.0.0.1:5", True, 500, logging.ERROR),
        ("", True, 500, logging.DEBUG),
        ("10.0.0.1:5", False, 403, None),
    ],
)
def test_a_failure_is_an_error_unless_a_daemon_of_the_node_asked(
    origin: str, internal: bool, status: int, level: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="agent.http")
    request = Request("GET", "/v1/kv/x", b"token=secret", [], b"", origin, b"/v1/kv/x?token=secret")
    request.internal = internal
    log_failure(request, RuntimeError("No cluster leader"), status)
    assert [record.levelno for record in caplog.records] == ([] if level is None else [level])
    assert "secret" not in caplog.text
