"""Carries out `leader.reconcile` and `leader.servers`: the LAN pool into the catalog and the Raft configuration."""

import asyncio
import logging
import time
from collections.abc import Callable

from lictor import telemetry
from lictor.state import keys
from lictor.state.commands import Failed
from lictor.state.rows import decode_check, decode_node, decode_service
from lictor.state.store import ReadTxn
from raftd.core.errors import RaftError
from raftd.driver import Driver
from raftd.leader.gossip import Gossip
from raftd.leader.members import LanMember, describe
from raftd.leader.reconcile import NOTHING, SERF_CHECK_ID, SERVICE_ID, Registered, Step, gone, reconcile, strangers
from raftd.leader.servers import bootstrap_conflict, change_for
from raftd.proposer import NotReplicatedError, Proposer
from raftd.restoring import read_restored_index

RECONCILE_INTERVAL_S = 60.0
RETRY_S = 1.0
"""After a failure, everything is looked at again."""
STEPS_PER_MEMBER_MAX = 2
"""Commands that one member's state may ask for at a time."""
CHANGES_PER_MEMBER_MAX = 8
"""Configuration changes that one member may cause at a time."""

log = logging.getLogger("agent.server")
leader_log = logging.getLogger("agent.leader")

_RECONCILES = telemetry.sample("leader.reconcile")
_MEMBER_RECONCILES = telemetry.sample("leader.reconcileMember")


def registered(txn: ReadTxn, name: str) -> Registered:
    """What the catalog has of a node."""
    node = txn.get(keys.node(name))
    check = txn.get(keys.check(name, SERF_CHECK_ID))
    service = txn.get(keys.service(name, SERVICE_ID))
    found = decode_node(node) if node is not None else None
    return Registered(
        found,
        decode_check(check) if check is not None else None,
        decode_service(service) if service is not None else None,
        restored=found is not None and found.modify_index <= read_restored_index(txn),
    )


def nodes_with_serf_check(txn: ReadTxn) -> list[str]:
    """Names of all nodes that are or were members."""
    nodes = [decode_node(raw).node for _, raw in txn.scan(keys.node(""))]
    return [name for name in nodes if txn.get(keys.check(name, SERF_CHECK_ID)) is not None]


class CatalogDuty:
    """While this server leads: one member after the other, on each change and every minute."""

    def __init__(self, driver: Driver, proposer: Proposer, gossip: Gossip, datacenter: str, node_name: str) -> None:
        self._driver = driver
        self._proposer = proposer
        self._gossip = gossip
        self._datacenter = datacenter
        self._node_name = node_name
        self._pending: dict[str, None] = {}
        self._wake = asyncio.Event()
        self.servers_joined = asyncio.Event()
        """Set when a server entered the configuration: autopilot looks for dead ones then."""

    def members_changed(self, changed: list[LanMember], reaped: list[str]) -> None:
        """The pool changed."""
        self._pending.update(dict.fromkeys([*(member.name for member in changed), *reaped]))
        self._wake.set()

    async def run(self) -> None:
        """Never returns; started when the leader is ready."""
        self._gossip.on_change.append(self.members_changed)
        try:
            pause_s = 0.0
            while True:
                everybody = False
                try:
                    await asyncio.wait_for(self._wake.wait(), pause_s)
                    names = list(self._pending)
                except TimeoutError:
                    everybody = True
                    names = self._everybody()
                self._wake.clear()
                self._pending.clear()
                started_s = time.perf_counter()
                pause_s = RECONCILE_INTERVAL_S if await self._handle_all(names) else RETRY_S
                if everybody:
                    _RECONCILES.since(started_s)
        finally:
            self._gossip.on_change.remove(self.members_changed)

    def _everybody(self) -> list[str]:
        if not self._gossip.known:
            return []
        members = list(self._gossip.members)
        with self._driver.machine.store.read() as txn:
            return members + strangers(nodes_with_serf_check(txn), members, self._node_name)

    async def _handle_all(self, names: list[str]) -> bool:
        """Whether all went well."""
        well = True
        for name in names:
            started_s = time.perf_counter()
            try:
                await self._handle(name)
                _MEMBER_RECONCILES.since(started_s)
            except (NotReplicatedError, RaftError) as error:
                well = False
                log.error("failed to reconcile member: member=%s error=%r", name, str(error))
        return well and self._gossip.known

    async def _handle(self, name: str) -> None:
        member = self._gossip.members.get(name)
        if member is None:
            await self._carry_out(name, lambda present: gone(name, present, self._node_name, "reaped"))
            return
        if not member.is_ours or member.datacenter != self._datacenter:
            return
        if member.server is not None:
            await self._follow_server(member)
        await self._carry_out(name, lambda present: reconcile(member, present, self._datacenter, self._node_name))

    async def _carry_out(self, name: str, decide: Callable[[Registered], Step]) -> None:
        for _ in range(STEPS_PER_MEMBER_MAX):
            with self._driver.machine.store.read() as txn:
                step = decide(registered(txn, name))
            if step is NOTHING or step.command is None:
                return
            leader_log.info("%s", step.message)
            result = await self._proposer.propose(step.command)
            if isinstance(result, Failed):
                log.error("failed to reconcile member: member=%s error=%r", name, result.text)
            if not step.again:
                return

    async def _follow_server(self, member: LanMember) -> None:
        """Bring the Raft configuration in line with one server."""
        conflict = bootstrap_conflict(self._gossip.members.values(), self._datacenter)
        for _ in range(CHANGES_PER_MEMBER_MAX):
            change = change_for(member, self._driver.raft.configuration)
            if change is None:
                return
            if change.server_id == self._driver.server_id and change.kind == "remove":
                return
            if conflict and change.kind != "remove":
                log.error("%s", conflict)
                return
            log.info("changing the Raft configuration: %s server=%s", change.kind, describe(member))
            index = self._driver.change_configuration(change)
            await self._proposer.applied(index)
            self.servers_joined.set()
