"""`-bootstrap-expect N`: when to start a new cluster, and of whom (Consul 1.7: agent/consul/server_serf.go).

Rules: only with an empty log; all servers must expect the same number; none may run with `-bootstrap`; one that already
has Raft peers ends it. Unlike Consul, only the voter with the lowest id writes the first configuration, the others wait
for it: two servers that see different members cannot start two clusters that way.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from raftd.core.configuration import Configuration, Server
from raftd.leader.members import LanMember, Status

PEERS_ATTEMPTS = 6
"""How often each server is asked for its peers."""
PEERS_RETRY_S = 1.0
"""Pause after the first failed attempt; doubles."""
ABSENT_LOWEST_S = 3.0
"""How long another server waits for the lowest to begin before members are looked at again."""


class Step(Enum):
    """What to do now."""

    WAIT = "wait"
    ABORT = "abort"
    """Members contradict each other: `problem` says how. Looked at again when they change."""
    ASK_PEERS = "ask-peers"
    """All are there: ask each for its peers, then `Decision.configuration`."""
    FOLLOW = "follow"
    """All are there, and another server begins."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and with whom."""

    step: Step
    problem: str = ""
    configuration: Configuration | None = None


def decide(members: Iterable[LanMember], datacenter: str, local_id: str, expect: int) -> Decision:
    """Look at the LAN pool."""
    servers: list[Server] = []
    voters: list[str] = []
    for member in members:
        tags = member.server
        if tags is None or member.status is not Status.ALIVE or member.datacenter != datacenter:
            continue
        if tags.expect not in (0, expect):
            problem = "Member has a conflicting expect value. All nodes should expect the same number."
            return Decision(Step.ABORT, f"{problem}: member={member.name}")
        if tags.bootstrap:
            return Decision(Step.ABORT, f"Member has bootstrap mode. Expect disabled.: member={member.name}")
        servers.append(Server(tags.id, tags.address, voter=not tags.nonvoter))
        if not tags.nonvoter:
            voters.append(tags.id)
    if len(voters) < expect or local_id not in {server.id for server in servers}:
        return Decision(Step.WAIT)
    if len({server.id for server in servers}) != len(servers):
        return Decision(Step.ABORT, "Two members have the same node ID")
    if min(voters) != local_id:
        return Decision(Step.FOLLOW)
    return Decision(Step.ASK_PEERS, configuration=Configuration(tuple(servers)))


def others(configuration: Configuration, local_id: str) -> list[Server]:
    """Whom to ask for their peers."""
    return [server for server in configuration.servers if server.id != local_id]


def has_peers(answers: Collection[Collection[str]]) -> bool:
    """Whether some server is in a cluster already."""
    return any(answers)
