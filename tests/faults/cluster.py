"""A cluster of three servers on loopback with Raft's fast timings."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.agents import Agent, make_agent, wait_until

FAST = {"performance": {"raft_multiplier": 1}}


def make_cluster(folder: Path, size: int = 3, config: dict[str, Any] | None = None) -> list[Agent]:
    """Servers that will find each other when started."""
    expect = f"-bootstrap-expect={size}"
    first = make_agent(folder / "s1", "s1", "-server", expect, config={**FAST, **(config or {})})
    agents = [first]
    for number in range(2, size + 1):
        name = f"s{number}"
        join = f"-retry-join={first.lan}"
        own = {**FAST, "retry_interval": "1s", **(config or {})}
        agents.append(make_agent(folder / name, name, "-server", expect, join, config=own))
    return agents


def leader_of(agents: list[Agent]) -> Agent:
    """The agent that all of them call their leader."""

    def agreed() -> Agent | None:
        addresses = {agent.get("/v1/status/leader", 3) for agent in agents}
        if len(addresses) != 1:
            return None
        address = addresses.pop()
        return next((agent for agent in agents if address == f"{agent.host}:{agent.ports['server']}"), None)

    return wait_until("all agree on a leader", agreed, 40)


@contextlib.contextmanager
def started(agents: list[Agent]) -> Iterator[list[Agent]]:
    try:
        for agent in agents:
            agent.start()
        for agent in agents:
            agent.wait_http()
        leader_of(agents)
        yield agents
    finally:
        for agent in agents:
            agent.kill()
