"""Autopilot: which servers are healthy, whom to promote, whom to remove (Consul 1.7: agent/consul/autopilot).

Pure: facts about servers and the time go in, health and decisions come out.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from lictor.state.rows import AutopilotConfig
from raftd.core.configuration import Configuration
from raftd.leader.members import LanMember, Status


@dataclass(frozen=True, slots=True)
class Facts:
    """What the leader knows of one server of the configuration."""

    id: str
    name: str
    address: str
    status: Status | None
    """In the LAN pool; None: not a member."""
    version: str
    leader: bool
    voter: bool
    nonvoter_wanted: bool
    """It was started with `-non-voting-server`."""
    last_contact_ns: int
    """Time since it last answered."""
    last_term: int
    last_index: int


@dataclass(frozen=True, slots=True)
class ServerHealth:
    """A server's health; `stable_since_ns` is when `healthy` last changed."""

    facts: Facts
    healthy: bool
    stable_since_ns: int


def judge(facts: Facts, config: AutopilotConfig, leader_term: int, leader_index: int, contact_slack_ns: int) -> bool:
    """Whether a server is healthy. `contact_slack_ns` is how long answers may take for reasons of our own timing."""
    return (
        facts.status is Status.ALIVE
        and facts.last_contact_ns <= config.last_contact_threshold_ns + contact_slack_ns
        and facts.last_term == leader_term
        and leader_index - facts.last_index <= config.max_trailing_logs
    )


class HealthTable:
    """Health over time."""

    def __init__(self) -> None:
        self.servers: dict[str, ServerHealth] = {}

    def update(
        self, all_facts: Sequence[Facts], config: AutopilotConfig, leader_term: int, now_ns: int, contact_slack_ns: int
    ) -> None:
        """Judge everybody again; who is not in `all_facts` is forgotten."""
        leader_index = max((facts.last_index for facts in all_facts if facts.leader), default=0)
        updated: dict[str, ServerHealth] = {}
        for facts in all_facts:
            healthy = judge(facts, config, leader_term, leader_index, contact_slack_ns)
            before = self.servers.get(facts.id)
            if before is not None and before.healthy == healthy:
                updated[facts.id] = replace(before, facts=facts)
            else:
                updated[facts.id] = ServerHealth(facts, healthy, now_ns)
        self.servers = updated

    @property
    def healthy(self) -> bool:
        """Whether all are."""
        return bool(self.servers) and all(server.healthy for server in self.servers.values())

    @property
    def failure_tolerance(self) -> int:
        """How many voters may fail before the cluster stops."""
        voters = [server for server in self.servers.values() if server.facts.voter]
        healthy = sum(server.healthy for server in voters)
        return max(healthy - (len(voters) // 2 + 1), 0)

    def promotable(self, stabilization_ns: int, now_ns: int) -> list[str]:
        """Ids of servers without a vote that are healthy for long enough and want one."""
        return [
            server.facts.id
            for server in self.servers.values()
            if not server.facts.voter and not server.facts.nonvoter_wanted
            if server.healthy and now_ns - server.stable_since_ns >= stabilization_ns
        ]


@dataclass(frozen=True, slots=True)
class Cleanup:
    """Dead servers to take out: failed members by name (gossip's force-leave), strangers by id (Raft)."""

    failed_names: tuple[str, ...] = ()
    stale_ids: tuple[str, ...] = ()


def dead_servers(
    members: Mapping[str, LanMember], configuration: Configuration, local_id: str, min_quorum: int
) -> Cleanup:
    """Whom to remove. Voters only while fewer than half of them go, and not below `min_quorum`; others always."""
    by_id = {member.server.id: member for member in members.values() if member.server is not None}
    failed = {server_id for server_id, member in by_id.items() if member.status is Status.FAILED}
    failed_here = [server.id for server in configuration.servers if server.id in failed]
    stale = [server.id for server in configuration.servers if server.id not in by_id and server.id != local_id]
    dead_voters = [server_id for server_id in (*failed_here, *stale) if configuration.is_voter(server_id)]
    removable: Collection[str] = (*failed_here, *stale)
    voter_count = len(configuration.voters)
    if len(dead_voters) > (voter_count - 1) // 2 or voter_count - len(dead_voters) < min_quorum:
        removable = [server_id for server_id in removable if server_id not in dead_voters]
    return Cleanup(
        tuple(by_id[server_id].name for server_id in failed_here if server_id in removable),
        tuple(server_id for server_id in stale if server_id in removable),
    )
