"""Every server lost in turn, in every way, while a client agent's users ask DNS and HTTP every 100 ms."""

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.outage import PRODUCTION, ask, leader_among, probing, start_all, term
from tools.agents import wait_until
from tools.testhosts import Host, NamespaceNetwork

OUTAGE_S = 20.0
DNS_GAP_MAX_S = 2.0
HTTP_GAP_MAX_S = 5.0
LONG_CUT_S = 60.0
DAEMONS = ("raftd", "gossipd", "apid", "dnsd", "checkd")

pytestmark = [pytest.mark.netns, pytest.mark.slow]


def pids(host: Host) -> list[int]:
    """The agent's processes: the daemons, by their run files, and their parent."""
    found = [int(json.loads((host.data_dir / "run" / f"{name}.json").read_bytes())["pid"]) for name in DAEMONS]
    with open(f"/proc/{found[0]}/stat") as file:
        parent = int(file.read().rsplit(")", 1)[1].split()[1])
    return [parent, *found]


def all_vote(servers: list[Host]) -> bool:
    """Whether every server has a vote. One that autopilot took out gets it back after the stabilization time."""
    answer = ask(servers[0], "/v1/operator/raft/configuration") or {"Servers": []}
    return [server["Voter"] for server in answer["Servers"]] == [True] * len(servers)


def power_off(network: NamespaceNetwork, host: Host) -> Callable[[], None]:
    network.cut(host)
    return lambda: network.heal(host)


def pause(_network: NamespaceNetwork, host: Host) -> Callable[[], None]:
    paused = pids(host)
    for pid in paused:
        os.kill(pid, signal.SIGSTOP)

    def resume() -> None:
        for pid in reversed(paused):
            os.kill(pid, signal.SIGCONT)

    return resume


def restart(how: signal.Signals) -> Callable[[NamespaceNetwork, Host], Callable[[], None]]:
    def take(_network: NamespaceNetwork, host: Host) -> Callable[[], None]:
        process = host.processes[0]
        assert isinstance(process.args, tuple)
        argv = process.args[len(host.prefix) :]
        for pid in pids(host) if how is signal.SIGKILL else pids(host)[:1]:
            os.kill(pid, how)
        process.wait(20)
        host.processes.clear()

        def again() -> None:
            host.start(*argv)

        return again

    return take


WAYS = {
    "power-off": power_off,
    "pause": pause,
    "stop": restart(signal.SIGTERM),
    "kill": restart(signal.SIGKILL),
}


@pytest.mark.parametrize("way", WAYS)
def test_losing_any_server_is_hardly_noticed(network: NamespaceNetwork, way: str) -> None:
    servers, client = network.hosts[:3], network.hosts[4]
    start_all(servers, client, *PRODUCTION)
    seen: dict[str, dict[str, Any]] = {}
    for server in servers:
        wait_until("all servers vote", lambda: all_vote(servers), 60)
        leader = wait_until("one leader", lambda: leader_among(servers), 60)
        others = [host for host in servers if host is not server]
        role = "leader" if server is leader else "follower"
        with probing(client) as finish:
            give_back = WAYS[way](network, server)
            end = time.monotonic() + OUTAGE_S
            wait_until("the others have a leader", lambda others=others: leader_among(others), 30)
            wait_until("the outage is over", lambda end=end: time.monotonic() > end, OUTAGE_S + 5)
            give_back()
            wait_until("all agree again", lambda: leader_among(servers), 60)
            seen[f"{server.name} {role}"] = finish()
    for name, report in seen.items():
        print(f"{way} {name}: " + ", ".join(f"{kind} {one['gap_s']:.2f} s" for kind, one in report.items()))
    assert all(report["dns"]["gap_s"] < DNS_GAP_MAX_S for report in seen.values()), seen
    assert all(report["http"]["gap_s"] < HTTP_GAP_MAX_S for report in seen.values()), seen


def test_a_server_cut_off_for_a_minute_comes_back_without_an_election(network: NamespaceNetwork) -> None:
    servers, client = network.hosts[:3], network.hosts[4]
    start_all(servers, client, *PRODUCTION)
    leader = wait_until("one leader", lambda: leader_among(servers), 60)
    victim = next(server for server in servers if server is not leader)
    before = term(leader)
    network.cut(victim)
    end = time.monotonic() + LONG_CUT_S
    wait_until("the cut is over", lambda: time.monotonic() > end, LONG_CUT_S + 5)
    network.heal(victim)
    wait_until("all agree again", lambda: leader_among(servers) is leader, 60)
    wait_until("it follows in the leader's term", lambda: term(victim) == term(leader), 30)
    assert term(leader) == before
