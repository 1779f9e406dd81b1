"""What servers' Raft looks like from outside: configuration over HTTP, terms and roles from their shared pages."""

import dataclasses
from typing import Any

from lictor.page import PageReader, RaftState
from tools.agents import Agent


def page(agent: Agent) -> RaftState:
    """This server's page as it stands on the disk."""
    reader = PageReader(agent.data_dir)
    try:
        return reader.read()
    finally:
        reader.close()


def terms(agents: list[Agent]) -> list[int]:
    """Each server's term: an election raises it, a pre-vote does not."""
    return [page(agent).term for agent in agents]


@dataclasses.dataclass(frozen=True)
class Peer:
    """One server of the configuration."""

    id: str
    name: str
    address: str
    leader: bool
    voter: bool


def peers(agent: Agent) -> list[Peer]:
    """The configuration as `agent` answers it. Raises OSError."""
    servers: list[dict[str, Any]] = agent.get("/v1/operator/raft/configuration", 5)["Servers"]
    return [Peer(item["ID"], item["Node"], item["Address"], item["Leader"], item["Voter"]) for item in servers]


def voters(agent: Agent) -> list[str]:
    """Names of the voters."""
    return sorted(peer.name for peer in peers(agent) if peer.voter)


def raft_address(agent: Agent) -> str:
    """Where this server's raftd listens for the others."""
    return f"{agent.host}:{agent.ports['server']}"
