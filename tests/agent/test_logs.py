"""Log lines look like Consul's, wherever they go."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lictor import logs
from lictor.config.runtime import SECOND_NS, LogConfig


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Leave logging as it was."""
    root, agent = logging.getLogger(), logging.getLogger("agent")
    handlers, levels = root.handlers[:], (root.level, agent.level)
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    agent.setLevel(levels[1])
    logging.captureWarnings(False)


@pytest.fixture
def console() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that stands for the console."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_line_is_consuls(console: tuple[int, int]) -> None:
    logs.setup(LogConfig(), console[1])
    logging.getLogger("agent.server.raft").info(
        "entering follower state", extra=logs.fields(follower="Node at 1.2.3.4:8300 [Follower]", leader="")
    )
    logging.getLogger("agent").warning("careful")
    first, second = os.read(console[0], 4096).decode().splitlines()
    stamp = r"    \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d{4}) "
    assert re.fullmatch(
        stamp + r"\[INFO\]  agent\.server\.raft: entering follower state:"
        r' follower="Node at 1\.2\.3\.4:8300 \[Follower\]" leader=',
        first,
    )
    assert re.fullmatch(stamp + r"\[WARN\]  agent: careful", second)


def test_a_time_names_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, text in (("EST4", "2020-04-13T08:55:43.821-0400"), ("UTC", "2020-04-13T12:55:43.821Z")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert logs.timestamp(1586782543.8215) == text
    monkeypatch.undo()
    time.tzset()


def test_json_lines_carry_the_same(console: tuple[int, int]) -> None:
    logs.setup(LogConfig(json=True), console[1])
    logging.getLogger("agent.http").error("failed", extra=logs.fields(status=500))
    entry = json.loads(os.read(console[0], 4096))
    assert entry.pop("@timestamp")
    assert entry == {"@level": "error", "@message": "failed", "@module": "agent.http", "status": 500}


def test_levels_hold_back(console: tuple[int, int]) -> None:
    logs.setup(LogConfig(level="warn"), console[1])
    logger = logging.getLogger("agent.server")
    logger.info("hidden")
    logger.warning("shown")
    assert b"hidden" not in os.read(console[0], 4096)
    logs.set_level(logs.level_number("DEBUG"))
    logger.debug("now shown")
    assert b"[DEBUG] agent.server: now shown" in os.read(console[0], 4096)


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="Invalid log level: loud"):
        logs.setup(LogConfig(level="loud"))


def test_a_closed_console_is_no_error() -> None:
    read_end, write_end = os.pipe()
    logs.setup(LogConfig(), write_end)
    os.close(read_end)
    logging.getLogger("agent").error("nobody listens")
    os.close(write_end)


def test_a_log_file_is_rotated_by_size_and_age_and_old_ones_are_removed(tmp_path: Path) -> None:
    now_ns = [1_000 * SECOND_NS]
    handler = logs.RotatingFile(str(tmp_path / "agent.log"), 100, 60 * SECOND_NS, 2, clock_ns=lambda: now_ns[0])
    record = logging.LogRecord("agent", logging.INFO, "", 0, "x" * 59, (), None)
    for _ in range(3):
        handler.emit(record)
        now_ns[0] += SECOND_NS
    assert len(list(tmp_path.iterdir())) == 3
    now_ns[0] += 60 * SECOND_NS
    handler.emit(record)
    handler.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 3
    assert files[-1] == f"agent-{now_ns[0]}.log"


def test_processes_share_the_newest_log_file(tmp_path: Path) -> None:
    handlers = [logs.RotatingFile(str(tmp_path / "agent.log"), 0, 60 * SECOND_NS, 0) for _ in range(2)]
    for handler in handlers:
        handler.emit(logging.LogRecord("agent", logging.INFO, "", 0, "line", (), None))
        handler.close()
    (only,) = tmp_path.iterdir()
    assert only.read_text() == "line\nline\n"
