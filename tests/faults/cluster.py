"""A cluster of three servers on loopback, with Raft's fast timings unless told otherwise."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.agents import Agent, make_agent, wait_until

FAST = {"performance": {"raft_multiplier": 1}}


def make_cluster(folder: Path, size: int = 3, config: dict[str, Any] | None = None) -> list[Agent]:
    """Servers that will find each other when started, each by any other: one made empty rejoins whoever it is."""
    own = {**FAST, "retry_interval": "1s", **(config or {})}
    names = [f"s{number}" for number in range(1, size + 1)]
    agents = [make_agent(folder / name, name, "-server", f"-bootstrap-expect={size}", config=own) for name in names]
    for agent in agents:
        agent.argv += [f"-retry-join={other.lan}" for other in agents if other is not agent]
    return agents


def leader_of(agents: list[Agent]) -> Agent:
    """The agent that all of them call their leader."""

    def agreed() -> Agent | None:
        addresses = {agent.get("/v1/status/leader", 3) for agent in agents}
        if len(addresses) != 1:
            return None
        address = addresses.pop()
        return next((agent for agent in agents if address == f"{agent.host}:{agent.ports['server']}"), None)

    return wait_until("all agree on a leader", agreed, 90)


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
