"""The supervisor keeps its daemons alive, and takes them with it when it goes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_LIMIT_S = 30.0
BACK_LIMIT_S = 3.0
GONE_LIMIT_S = 1.0
# A shared test machine may be slow: what is promised for an idle one gets this factor.
PATIENCE = 5


class Agent:
    """A supervisor of fake daemons, as a process of its own."""

    def __init__(self, directory: Path, *kinds: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.agent.fake_agent", str(directory), *kinds],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def pid(self, kind: str, other_than: int = 0) -> int:
        """The process ID of a daemon that serves, once it is another than a given one."""

        def find() -> int:
            try:
                pid = int((self.directory / f"{kind}.pid").read_text())
            except FileNotFoundError:
                return 0
            return pid if pid != other_than else 0

        return wait_for(find, START_LIMIT_S)

    def journal(self) -> list[str]:
        """What the daemons wrote down."""
        try:
            return (self.directory / "journal").read_text().splitlines()
        except FileNotFoundError:
            return []

    def output_until_closed(self, limit_s: float) -> str:
        """Everything printed, until nobody holds the output open any more."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + limit_s
        text = b""
        while True:
            readable, _, _ = select.select([self.process.stdout], [], [], max(deadline - time.monotonic(), 0))
            assert readable, f"output still open after {limit_s} s: {text!r}"
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                return text.decode()
            text += data


def wait_for(what: Callable[[], int], limit_s: float) -> int:
    """Call until the answer is true, and return it."""
    deadline = time.monotonic() + limit_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {limit_s} s"
        select.select([], [], [], 0.02)
    return found


def is_running(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def agent_of(directory: Path, *kinds: str) -> Iterator[Agent]:
    """An agent that is gone afterwards."""
    agent = Agent(directory, *kinds)
    try:
        yield agent
    finally:
        if agent.process.poll() is None:
            agent.process.kill()
        agent.process.wait()
        assert agent.process.stdout is not None
        agent.process.stdout.close()


def test_a_killed_daemon_is_back_and_the_others_stay(tmp_path: Path) -> None:
    with agent_of(tmp_path, "raftd", "gossipd") as agent:
        raftd, gossipd = agent.pid("raftd"), agent.pid("gossipd")
        for _ in range(3):
            os.kill(raftd, signal.SIGKILL)
            killed = time.monotonic()
            raftd = agent.pid("raftd", other_than=raftd)
            assert time.monotonic() - killed < BACK_LIMIT_S * PATIENCE
        assert agent.pid("gossipd") == gossipd and is_running(gossipd)


def test_a_hung_daemon_is_replaced(tmp_path: Path) -> None:
    with agent_of(tmp_path, "steady") as agent:
        hung = agent.pid("steady")
        os.kill(hung, signal.SIGUSR1)
        assert agent.pid("steady", other_than=hung)
        assert not is_running(hung)


def test_a_daemon_that_never_beats_is_replaced(tmp_path: Path) -> None:
    with agent_of(tmp_path, "silent") as agent:
        first = agent.pid("silent")
        assert agent.pid("silent", other_than=first)


def test_interrupting_a_server_ends_everything_within_a_second(tmp_path: Path) -> None:
    with agent_of(tmp_path, "raftd", "gossipd", "deaf") as agent:
        pids = [agent.pid(kind) for kind in ("raftd", "gossipd", "deaf")]
        interrupted = time.monotonic()
        agent.process.send_signal(signal.SIGINT)
        output = agent.output_until_closed(GONE_LIMIT_S * PATIENCE)
        assert agent.process.wait() == 1
        assert time.monotonic() - interrupted < GONE_LIMIT_S * PATIENCE
        assert not any(is_running(pid) for pid in pids)
        assert "Graceful shutdown disabled. Exiting" in output
        assert agent.journal() == []


def test_no_daemon_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    with agent_of(tmp_path, "raftd", "gossipd", "deaf") as agent:
        pids = [agent.pid(kind) for kind in ("raftd", "gossipd", "deaf")]
        agent.process.kill()
        agent.output_until_closed(GONE_LIMIT_S * PATIENCE)
        wait_for(lambda: not any(is_running(pid) for pid in pids), GONE_LIMIT_S * PATIENCE)


def test_a_daemon_holds_no_descriptor_of_the_supervisor(tmp_path: Path) -> None:
    with agent_of(tmp_path, "first", "second") as agent:
        first, second = agent.pid("first"), agent.pid("second")
        again = agent.pid("first")
        assert first == again
        os.kill(first, signal.SIGKILL)
        agent.pid("first", other_than=first)
        # Standard streams, the link, and the loop's own selector and wake-up pair; one more while listing.
        for kind in ("first", "second"):
            held = (tmp_path / f"{kind}.fds").read_text().split()
            assert len(held) <= 8, held
        assert is_running(second)


def test_the_third_daemon_starts_when_the_first_two_are_up(tmp_path: Path) -> None:
    with agent_of(tmp_path, "first", "slow", "third") as agent:
        agent.pid("third")
        assert agent.journal() == ["third: slow is up"]


def test_leaving_asks_the_daemons_in_consuls_order(tmp_path: Path) -> None:
    with agent_of(tmp_path, "gossipd", "apid") as agent:
        agent.pid("gossipd")
        agent.pid("apid")
        agent.process.send_signal(signal.SIGTERM)
        output = agent.output_until_closed(START_LIMIT_S)
        assert agent.process.wait() == 0
        assert agent.journal() == ["gossipd: leave"]
        assert "Graceful exit completed" in output


def test_a_second_signal_ends_a_leave_at_once(tmp_path: Path) -> None:
    with agent_of(tmp_path, "raftd", "gossipd", "apid") as agent:
        for kind in ("raftd", "gossipd"):
            agent.pid(kind)
        os.kill(agent.pid("apid"), signal.SIGUSR2)
        wait_for(lambda: "gossipd: leave" in agent.journal(), START_LIMIT_S)
        agent.process.send_signal(signal.SIGTERM)
        output = agent.output_until_closed(GONE_LIMIT_S * PATIENCE)
        assert agent.process.wait() == 1
        assert "Caught second signal, Exiting" in output


def test_a_leave_asked_by_a_daemon_is_answered_before_the_end(tmp_path: Path) -> None:
    with agent_of(tmp_path, "gossipd", "apid") as agent:
        agent.pid("gossipd")
        os.kill(agent.pid("apid"), signal.SIGUSR2)
        agent.output_until_closed(START_LIMIT_S)
        assert agent.process.wait() == 0
        assert agent.journal() == ["gossipd: leave", "apid: left"]


def test_a_reload_reaches_every_daemon_with_the_new_configuration(tmp_path: Path) -> None:
    with agent_of(tmp_path, "gossipd", "apid") as agent:
        agent.pid("gossipd")
        agent.pid("apid")
        (tmp_path / "meta").write_text("fresh")
        agent.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(agent.journal()) == 2, START_LIMIT_S)
        assert sorted(agent.journal()) == [
            "apid: reload {'read': 'fresh'}",
            "gossipd: reload {'read': 'fresh'}",
        ]


def test_a_failed_reload_changes_nothing(tmp_path: Path) -> None:
    with agent_of(tmp_path, "gossipd") as agent:
        pid = agent.pid("gossipd")
        agent.process.send_signal(signal.SIGHUP)
        assert agent.process.stdout is not None
        lines: list[bytes] = []
        while not any(b"Failed to reload configs" in line for line in lines):
            lines.append(agent.process.stdout.readline())
        assert is_running(pid) and agent.journal() == []


def test_a_monitor_sees_what_every_daemon_logs_below_the_agents_level(tmp_path: Path) -> None:
    with agent_of(tmp_path, "gossipd", "watcher") as agent:
        gossipd = agent.pid("gossipd")
        wait_for(lambda: "watching" in agent.journal(), START_LIMIT_S)

        def seen() -> int:
            os.kill(gossipd, signal.SIGWINCH)
            return any("[DEBUG] agent.gossipd: seen" in line for line in agent.journal())

        wait_for(seen, START_LIMIT_S)
        os.kill(gossipd, signal.SIGKILL)
        wait_for(lambda: any("daemon ended" in line for line in agent.journal()), START_LIMIT_S)
        gossipd = agent.pid("gossipd", other_than=gossipd)
        count = sum("seen" in line for line in agent.journal())

        def seen_again() -> int:
            os.kill(gossipd, signal.SIGWINCH)
            return sum("seen" in line for line in agent.journal()) > count

        wait_for(seen_again, START_LIMIT_S)
        agent.process.send_signal(signal.SIGTERM)
        assert "seen" not in agent.output_until_closed(START_LIMIT_S)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("fatal", "ports.http: listen tcp 127.0.0.1:1: bind: permission denied"),
        ("broken", "broken does not start: it ended with exit code 3"),
    ],
)
def test_an_agent_that_cannot_run_says_so_and_ends(tmp_path: Path, kind: str, text: str) -> None:
    with agent_of(tmp_path, "gossipd", kind) as agent:
        output = agent.output_until_closed(START_LIMIT_S)
        assert agent.process.wait() == 1
        assert text in output.splitlines()
