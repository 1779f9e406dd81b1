"""Daemons that a service manager runs by themselves: what they tell it, reloads, and leaving by Consul's rules."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lictor.agent.alone import AloneLink
from lictor.agent.link import LinkError, Message
from lictor.agent.notify import alive_interval_ns
from lictor.config import load
from tools.agents import CONSUL, make_agent, wait_until

TIMEOUT_S = 60


class Manager:
    """What systemd would hear."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(TIMEOUT_S)
        self.environment = {**os.environ, "NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": "400000"}

    def hears(self, *wanted: str) -> None:
        """These states in this order, whatever is between them."""
        for state in wanted:
            while self.socket.recv(4096).decode() != state:
                pass


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(tmp_path)
    yield made
    made.socket.close()


@contextlib.contextmanager
def program(manager: Manager, argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with open(log, "wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, env=manager.environment)
    try:
        yield process
    except BaseException as error:
        error.add_note(log.read_text(errors="replace"))
        raise
    finally:
        process.kill()
        process.wait(timeout=TIMEOUT_S)


def test_a_daemon_tells_when_it_is_ready_alive_reloading_and_stopping(manager: Manager, tmp_path: Path) -> None:
    agent = make_agent(tmp_path / "n1", "n1", "-server", "-bootstrap-expect=1")
    own = agent.folder / "own.json"
    argv = [str(CONSUL.with_name("dnsd")), *agent.argv[2:]]
    with program(manager, argv, tmp_path / "log") as process:
        manager.hears("READY=1", "WATCHDOG=1", "WATCHDOG=1")
        own.write_text(json.dumps({**json.loads(own.read_text()), "log_level": "DEBUG"}))
        process.send_signal(signal.SIGHUP)
        manager.hears("RELOADING=1", "READY=1", "WATCHDOG=1")
        saved = json.loads((agent.data_dir / "run" / "config.json").read_text())
        assert saved["log"]["level"] == "DEBUG"
        own.write_text("{")
        process.send_signal(signal.SIGHUP)
        manager.hears("RELOADING=1", "READY=1")
        wait_until("what is wrong is logged", lambda: "Failed to reload configs" in (tmp_path / "log").read_text())
        process.send_signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
        assert process.wait(timeout=TIMEOUT_S) == 0


def test_the_supervised_agent_tells_that_it_is_alive(manager: Manager, tmp_path: Path) -> None:
    agent = make_agent(tmp_path / "n1", "n1", "-server", "-bootstrap-expect=1")
    with program(manager, agent.argv, tmp_path / "log") as process:
        manager.hears("READY=1", "WATCHDOG=1", "WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        manager.hears("STOPPING=1")
        process.wait(timeout=TIMEOUT_S)


def test_raftd_on_a_client_agent_is_ready_and_ends_well(manager: Manager, tmp_path: Path) -> None:
    agent = make_agent(tmp_path / "n1", "n1")
    with program(manager, [str(CONSUL.with_name("raftd")), *agent.argv[2:]], tmp_path / "log") as process:
        manager.hears("READY=1")
        assert process.wait(timeout=TIMEOUT_S) == 0


def test_alive_is_told_twice_within_the_limit_of_this_process_only() -> None:
    assert alive_interval_ns({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 7) == 15_000_000_000
    assert alive_interval_ns({"WATCHDOG_USEC": "30000000"}, 7) == 15_000_000_000
    assert alive_interval_ns({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 8) == 0
    assert alive_interval_ns({"WATCHDOG_USEC": "soon"}, 7) == 0
    assert alive_interval_ns({}, 7) == 0


@pytest.mark.parametrize(
    ("flags", "number", "told"),
    [
        (["-server"], signal.SIGTERM, ["stop"]),
        (["-server", "-hcl=leave_on_terminate = true"], signal.SIGTERM, ["leave", "left", "stop"]),
        (["-server"], signal.SIGINT, ["stop"]),
        ([], signal.SIGTERM, ["leave", "left", "stop"]),
        (["-hcl=leave_on_terminate = false"], signal.SIGTERM, ["stop"]),
        ([], signal.SIGINT, ["leave", "left", "stop"]),
    ],
)
async def test_who_leaves_when_stopped_is_as_in_consul(
    flags: list[str], number: signal.Signals, told: list[str], tmp_path: Path
) -> None:
    arguments = [f"-data-dir={tmp_path}", "-bind=127.0.0.1", *flags]
    link = AloneLink(arguments, load.from_arguments(arguments).config)
    seen: list[str] = []
    stopped = asyncio.Event()

    def stop(_: Message) -> None:
        seen.append("stop")
        stopped.set()

    async def leave(_: Message) -> None:
        seen.append("leave")

    async def left(_: Message) -> None:
        seen.append("left")

    link.on_event("stop", stop)
    link.on_request("leave", leave)
    link.on_request("left", left)
    link.ready()
    signal.raise_signal(number)
    await asyncio.wait_for(stopped.wait(), TIMEOUT_S)
    await link.close()
    assert seen == told


async def test_a_second_signal_ends_without_waiting_for_the_leave(tmp_path: Path) -> None:
    arguments = [f"-data-dir={tmp_path}", "-bind=127.0.0.1"]
    link = AloneLink(arguments, load.from_arguments(arguments).config)
    leaving, stopped = asyncio.Event(), asyncio.Event()

    async def leave(_: Message) -> None:
        leaving.set()
        await asyncio.Event().wait()

    link.on_event("stop", lambda _: stopped.set())
    link.on_request("leave", leave)
    link.ready()
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(leaving.wait(), TIMEOUT_S)
    signal.raise_signal(signal.SIGTERM)
    await asyncio.wait_for(stopped.wait(), TIMEOUT_S)
    await link.close()


async def test_there_is_nobody_to_ask(tmp_path: Path) -> None:
    arguments = [f"-data-dir={tmp_path}", "-bind=127.0.0.1"]
    link = AloneLink(arguments, load.from_arguments(arguments).config)
    with pytest.raises(LinkError):
        await link.ask("reload")
