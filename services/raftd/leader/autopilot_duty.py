"""Carries out `leader.autopilot`: health every 2 s, promotion and clean-up every 10 s and after a server joined."""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

from lictor import telemetry
from lictor.config.runtime import AutopilotConfig as SeedConfig
from lictor.page import boottime_ns
from lictor.state import keys
from lictor.state.commands import AutopilotSet
from lictor.state.gotext import format_duration
from lictor.state.rows import AutopilotConfig, decode_autopilot
from raftd.core.configuration import ChangeKind, ConfigurationChange
from raftd.core.errors import RaftError
from raftd.driver import Driver
from raftd.leader.autopilot import Facts, HealthTable, dead_servers
from raftd.leader.gossip import Gossip
from raftd.leader.members import Status
from raftd.proposer import NotReplicatedError, Proposer
from raftd.reads import Read

DECIDE_INTERVAL_S = 10.0
PROBE_SETTLE_S = 0.05
"""After a round of heartbeats, answers get this long before health is judged."""
STALE_AFTER_NS = 15_000_000_000
"""A server that gossip does not know is removed when Raft has not heard it this long."""
_STATUS_TEXTS = {
    Status.ALIVE: "alive",
    Status.LEAVING: "leaving",
    Status.LEFT: "left",
    Status.FAILED: "failed",
    None: "none",
}

log = logging.getLogger("agent.server.autopilot")

_HEALTHY = telemetry.gauge("autopilot.healthy")
_TOLERANCE = telemetry.gauge("autopilot.failure_tolerance")


class _Ignore:
    """Takes the answer of a barrier that is asked only for its round of heartbeats."""

    def answer_read(self, read_id: int, index: int, error: str) -> None:
        """As a `ReadSink`."""


class AutopilotDuty:
    """While this server leads."""

    def __init__(
        self,
        driver: Driver,
        proposer: Proposer,
        gossip: Gossip,
        seed: SeedConfig,
        servers_joined: asyncio.Event,
    ) -> None:
        self._driver = driver
        self._proposer = proposer
        self._gossip = gossip
        self._seed = seed
        self._servers_joined = servers_joined
        self.table = HealthTable()

    def config(self) -> AutopilotConfig:
        """The replicated configuration, the seed before there is one."""
        with self._driver.machine.store.read() as txn:
            raw = txn.get(keys.AUTOPILOT)
        return decode_autopilot(raw) if raw is not None else self._seeded()

    def _seeded(self) -> AutopilotConfig:
        seed = self._seed
        return AutopilotConfig(
            seed.cleanup_dead_servers,
            seed.last_contact_threshold_ns,
            seed.max_trailing_logs,
            seed.min_quorum,
            seed.server_stabilization_time_ns,
            seed.redundancy_zone_tag,
            seed.disable_upgrade_migration,
            seed.upgrade_version_tag,
        )

    async def seed_config(self) -> None:
        """The first leader stores the configuration; later ones keep what is there. Raises NotReplicatedError."""
        with self._driver.machine.store.read() as txn:
            present = txn.get(keys.AUTOPILOT)
        if present is None:
            await self._proposer.propose(AutopilotSet(self._seeded()))

    # --- health -----------------------------------------------------------------------------------------------

    async def watch_health(self) -> None:
        """Never returns."""
        self.table = HealthTable()
        while True:
            await self.refresh()
            await asyncio.sleep(self._seed.health_interval_ns / 1e9)

    async def refresh(self) -> None:
        """Ask everybody for a sign of life, then judge."""
        started_ns = boottime_ns()
        # A barrier makes the leader send a heartbeat to all at once.
        self._driver.read([Read(_Ignore(), 0, started_ns)])
        await asyncio.sleep(PROBE_SETTLE_S)
        now_ns = boottime_ns()
        slack_ns = now_ns - started_ns
        self.table.update(self._facts(now_ns), self.config(), self._driver.state.term, now_ns, slack_ns)
        _HEALTHY.set(float(self.table.healthy))
        _TOLERANCE.set(float(self.table.failure_tolerance))

    def _facts(self, now_ns: int) -> list[Facts]:
        raft = self._driver.raft
        members = {m.server.id: m for m in self._gossip.members.values() if m.server is not None}
        peers = {peer.id: peer for peer in raft.peers()}
        facts: list[Facts] = []
        for server in raft.configuration.servers:
            member = members.get(server.id)
            peer = peers.get(server.id)
            leads = server.id == self._driver.server_id
            last_index = raft.last_index if leads else (peer.match_index if peer else 0)
            facts.append(
                Facts(
                    id=server.id,
                    name=member.name if member else "",
                    address=server.address,
                    status=member.status if member else None,
                    version=member.server.version if member and member.server else "",
                    leader=leads,
                    voter=server.voter,
                    nonvoter_wanted=bool(member and member.server and member.server.nonvoter),
                    last_contact_ns=0 if leads else max(now_ns - peer.last_contact_ns, 0) if peer else now_ns,
                    last_term=self._term_at(last_index),
                    last_index=last_index,
                )
            )
        return facts

    def _term_at(self, index: int) -> int:
        raft = self._driver.raft
        if index < raft.first_index:
            return 0
        return raft.term_at(index)

    async def health(self, body: Any) -> dict[str, Any]:
        """The call `autopilot.health`: what GET /v1/operator/autopilot/health answers."""
        await self.refresh()
        offset_ns = time.time_ns() - boottime_ns()
        return {
            "Healthy": self.table.healthy,
            "FailureTolerance": self.table.failure_tolerance,
            "Servers": [
                {
                    "ID": server.facts.id,
                    "Name": server.facts.name,
                    "Address": server.facts.address,
                    "SerfStatus": _STATUS_TEXTS[server.facts.status],
                    "Version": server.facts.version,
                    "Leader": server.facts.leader,
                    "LastContact": format_duration(server.facts.last_contact_ns),
                    "LastTerm": server.facts.last_term,
                    "LastIndex": server.facts.last_index,
                    "Healthy": server.healthy,
                    "Voter": server.facts.voter,
                    "StableSince": _rfc3339(server.stable_since_ns + offset_ns),
                }
                for server in self.table.servers.values()
            ],
        }

    # --- promotion and clean-up -------------------------------------------------------------------------------

    async def watch_servers(self) -> None:
        """Never returns."""
        while True:
            try:
                await self._promote()
                await self._clean_up()
            except (NotReplicatedError, RaftError) as error:
                log.error("autopilot: error=%r", str(error))
            try:
                await asyncio.wait_for(self._servers_joined.wait(), min(DECIDE_INTERVAL_S, self._decide_interval_s()))
                self._servers_joined.clear()
            except TimeoutError:
                continue

    def _decide_interval_s(self) -> float:
        """A short stabilization time is looked at more often, so that it has an effect."""
        return max(self.config().server_stabilization_time_ns / 1e9 / 2, 0.5)

    async def _promote(self) -> None:
        for server_id in self.table.promotable(self.config().server_stabilization_time_ns, boottime_ns()):
            server = self._driver.raft.configuration.get(server_id)
            if server is None or server.voter:
                continue
            log.info("promoting server to voter: id=%s address=%s", server.id, server.address)
            change = ConfigurationChange(ChangeKind.ADD_VOTER, server.id, server.address)
            await self._proposer.applied(self._driver.change_configuration(change))

    async def _clean_up(self) -> None:
        config = self.config()
        if not config.cleanup_dead_servers or not self._gossip.known:
            return
        members, configuration = self._gossip.members, self._driver.raft.configuration
        if not any(m.server is not None and m.server.id == self._driver.server_id for m in members.values()):
            # A pool without ourselves says nothing about the others.
            return
        cleanup = dead_servers(members, configuration, self._driver.server_id, config.min_quorum)
        for name in cleanup.failed_names:
            log.info("attempting removal of failed server node: name=%s", name)
            await self._gossip.force_leave(name)
        for server_id in self._silent(cleanup.stale_ids):
            log.info("attempting removal of stale raft server: id=%s", server_id)
            change = ConfigurationChange(ChangeKind.REMOVE, server_id)
            await self._proposer.applied(self._driver.change_configuration(change))

    def _silent(self, server_ids: tuple[str, ...]) -> list[str]:
        """Those that Raft does not hear either: a pool that is still gathering says little."""
        now_ns = boottime_ns()
        contact_ns = {peer.id: peer.last_contact_ns for peer in self._driver.raft.peers()}
        return [name for name in server_ids if now_ns - contact_ns.get(name, now_ns) > STALE_AFTER_NS]


def _rfc3339(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
