"""Runs the leader's duties from the moment this server leads and has applied what was committed before, until it does
not lead any more."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import msgspec

from lictor import telemetry
from lictor.config.runtime import RuntimeConfig
from lictor.page import boottime_ns
from lictor.state import keys
from lictor.state.commands import CoordinateBatch, Deregister, SessionDestroy, TombstoneReap
from lictor.state.precheck import LockDelays, session_ttl_ns
from lictor.state.rows import Check, Coordinate, decode_check, decode_session
from lictor.state.store import ReadTxn
from lictor.state.writer import read_index
from raftd.calls import CallError, Calls
from raftd.core.configuration import Configuration
from raftd.core.effects import RoleName, SoftState
from raftd.core.errors import RaftError
from raftd.driver import Driver
from raftd.fsm import Batch
from raftd.leader.autopilot_duty import AutopilotDuty
from raftd.leader.bootstrap_reset import BootstrapReset
from raftd.leader.catalog_duty import CatalogDuty
from raftd.leader.certificate_authority import AuthorityRecords, CertificateAuthorityDuty
from raftd.leader.config_seed import ConfigSeed
from raftd.leader.coordinates import CoordinateBuffer
from raftd.leader.critical_services import CriticalServices
from raftd.leader.gossip import Gossip
from raftd.leader.reconcile import SERF_CHECK_ID
from raftd.leader.replication.status import STATUS_CALL, AclReplicationStatus
from raftd.leader.session_timers import SessionTimers
from raftd.leader.tombstones import GRANULARITY_NS, TombstoneBins
from raftd.proposer import NotReplicatedError, Proposer

if TYPE_CHECKING:
    from raftd.leader.access_control_duty import AccessControlDuty

NEW_LEADER_EVENT = "consul:new-leader"
REAP_INTERVAL_S = 30.0
SESSION_TICK_MAX_S = 1.0
"""Sessions are looked at this often at least."""
LOCK_DELAY_SWEEP_S = 60.0
RESTART_S = 1.0
"""A duty that failed begins again after this long."""

Duty = Callable[[], Coroutine[Any, Any, None]]

log = logging.getLogger("agent.server")
session_log = logging.getLogger("agent.server.session")

_INVALIDATIONS = telemetry.sample("session_ttl.invalidate")
_REAPS = telemetry.sample("leader.reapTombstones")


class LeaderDuties:
    """All duties of one server."""

    def __init__(self, config: RuntimeConfig, driver: Driver, proposer: Proposer, gossip: Gossip, calls: Calls) -> None:
        self._config = config
        self._driver = driver
        self._proposer = proposer
        self._gossip = gossip
        self._catalog = CatalogDuty(driver, proposer, gossip, config.datacenter, config.node_name)
        self._autopilot = AutopilotDuty(driver, proposer, gossip, config.autopilot, self._catalog.servers_joined)
        self._config_seed = ConfigSeed(driver, proposer, config.config_entries_bootstrap)
        records = AuthorityRecords(driver, proposer, config)
        self._authority = CertificateAuthorityDuty(records, config)
        self._replication_status = AclReplicationStatus()
        self._secondary = None
        if config.is_secondary:
            # Only secondary datacenters pay for what they take over from the primary one.
            from raftd.leader.secondary import SecondaryDuties

            self._secondary = SecondaryDuties(config, driver, proposer, records, self._replication_status)
        self._sessions = SessionTimers()
        self._coordinates = CoordinateBuffer(
            config.coordinates.update_batch_size, config.coordinates.update_max_batches
        )
        self._access_control: AccessControlDuty | None = None
        if config.acl.enabled:
            # Imported here: clusters without access control do without its memory.
            from raftd.leader import access_control_duty

            self._access_control = access_control_duty.AccessControlDuty(driver, proposer, config)
        telemetry.gauge("session_ttl.active").source = lambda: float(len(self._sessions))
        self.lock_delays: LockDelays = driver.prechecks.lock_delays
        self._tasks: set[asyncio.Task[None]] = set()
        driver.listeners.append(self)
        calls.register("autopilot.health", self._autopilot.health, leader_only=True)
        calls.register("session.renew", self._renew_session, leader_only=True)
        calls.register("session.timers", self._session_timers, leader_only=True)
        calls.register("coordinate.update", self._update_coordinate, leader_only=True)
        calls.register("acl.bootstrap_reset", BootstrapReset(config.data_dir).specified, leader_only=True)
        calls.register(STATUS_CALL, self._show_replication_status, leader_only=True)

    # --- beginning and end ------------------------------------------------------------------------------------

    def leader_ready(self) -> None:
        """Begin."""
        self._end()
        now_ns = boottime_ns()
        with self._driver.machine.store.read() as txn:
            for _, raw in txn.scan(keys.session("")):
                session = decode_session(raw)
                self._sessions.reset(session.id, session_ttl_ns(session.ttl), now_ns)
        self._begin(self._gossip.fire(NEW_LEADER_EVENT, self._config.node_name.encode()))
        access_control, begun = self._access_control, None
        if access_control is not None:
            begun = access_control.begun
            access_control.begin_anew()
            self._begin(_again_and_again("access_control", access_control.run))
        for duty in (
            self._seed,
            self._catalog.run,
            self._autopilot.watch_health,
            self._autopilot.watch_servers,
            self._expire_sessions,
            self._reap_tombstones,
            self._flush_coordinates,
            self._reap_critical_services,
            self._sweep_lock_delays,
            *(self._secondary.loops() if self._secondary is not None else (self._authority.run,)),
        ):
            self._begin(_again_and_again(duty.__qualname__, duty, begun))

    def state_changed(self, state: SoftState) -> None:
        """End when another leads."""
        if state.role is not RoleName.LEADER:
            self._end()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._sessions.clear()
        self.lock_delays.clear()
        self._replication_status.stopped()

    async def close(self) -> None:
        """End, and wait for it."""
        tasks = tuple(self._tasks)
        self._end()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._secondary is not None:
            await self._secondary.close()

    def batch_applied(self, batch: Batch) -> None:
        """Sessions and locks that came and went."""
        if not self._driver.is_leader:
            return
        if batch.destroyed_sessions:
            self._sessions.forget(batch.destroyed_sessions)
        if batch.created_sessions:
            self._start_sessions(batch.created_sessions)

    def _start_sessions(self, session_ids: list[str]) -> None:
        now_ns = boottime_ns()
        with self._driver.machine.store.read() as txn:
            for session_id in session_ids:
                raw = txn.get(keys.session(session_id))
                if raw is not None:
                    self._sessions.reset(session_id, session_ttl_ns(decode_session(raw).ttl), now_ns)

    def state_replaced(self) -> None:
        """Restored sessions get fresh timers."""
        if self._driver.is_ready_leader:
            self.leader_ready()

    def configuration_changed(self, configuration: Configuration) -> None:
        """Nothing depends on it here."""

    # --- calls ------------------------------------------------------------------------------------------------

    async def _renew_session(self, body: Any) -> bool:
        """`{"id": …}`: restart the timer; false for an unknown session."""
        session_id = _text(body, "id")
        with self._driver.machine.store.read() as txn:
            raw = txn.get(keys.session(session_id))
        if raw is None:
            return False
        session = decode_session(raw)
        self._sessions.reset(session.id, session_ttl_ns(session.ttl), boottime_ns())
        return True

    async def _session_timers(self, body: Any) -> dict[str, int]:
        """Nanoseconds left by session."""
        return self._sessions.remaining_ns(boottime_ns())

    async def _update_coordinate(self, body: Any) -> bool:
        """A `rows.Coordinate` as array: kept for the next flush."""
        try:
            coordinate = msgspec.convert(body, Coordinate)
        except msgspec.ValidationError as error:
            raise CallError(f"not a coordinate: {error}") from error
        return self._coordinates.add(coordinate)

    async def _show_replication_status(self, body: Any) -> dict[str, object]:
        """How the replication of access control goes; times in nanoseconds since 1970."""
        return self._replication_status.shown()

    # --- duties -----------------------------------------------------------------------------------------------

    async def _seed(self) -> None:
        await self._autopilot.seed_config()
        # Elsewhere the entries come from the primary datacenter.
        if not self._config.is_secondary:
            await self._config_seed.run()

    async def _expire_sessions(self) -> None:
        while True:
            now_ns = boottime_ns()
            for session_id in self._sessions.due(now_ns):
                session_log.debug("session TTL expired: session=%s", session_id)
                started_s = time.perf_counter()
                await self._propose_or_log(SessionDestroy(session_id))
                _INVALIDATIONS.since(started_s)
            next_ns = self._sessions.next_ns()
            pause_s = SESSION_TICK_MAX_S
            if next_ns is not None:
                pause_s = min(max((next_ns - boottime_ns()) / 1e9, 0.01), SESSION_TICK_MAX_S)
            await asyncio.sleep(pause_s)

    async def _reap_tombstones(self) -> None:
        bins = TombstoneBins()
        while True:
            now_ns = boottime_ns()
            with self._driver.machine.store.read() as txn:
                bins.hint(read_index(txn, "tombstones"), now_ns)
            index = bins.due(now_ns)
            if index:
                started_s = time.perf_counter()
                await self._propose_or_log(TombstoneReap(index))
                _REAPS.since(started_s)
            await asyncio.sleep(GRANULARITY_NS / 1e9)

    async def _flush_coordinates(self) -> None:
        while True:
            await asyncio.sleep(self._config.coordinates.update_period_ns / 1e9)
            batches, discarded = self._coordinates.take()
            if discarded:
                log.warning("discarded coordinate updates: number_discarded=%d", discarded)
            for batch in batches:
                await self._propose_or_log(CoordinateBatch(batch))

    async def _reap_critical_services(self) -> None:
        services = CriticalServices()
        while True:
            with self._driver.machine.store.read() as txn:
                critical = _critical_of_external_nodes(txn)
            for instance in services.due(critical, boottime_ns()):
                log.info("deregistering critical service: node=%s service=%s", instance.node, instance.service_id)
                await self._propose_or_log(Deregister(instance.node, service_id=instance.service_id))
            await asyncio.sleep(REAP_INTERVAL_S)

    async def _sweep_lock_delays(self) -> None:
        while True:
            await asyncio.sleep(LOCK_DELAY_SWEEP_S)
            self.lock_delays.expire(boottime_ns())

    async def _propose_or_log(self, command: Any) -> None:
        try:
            await self._proposer.propose(command)
        except NotReplicatedError as error:
            log.warning("duty not carried out: command=%s error=%r", type(command).__name__, str(error))


def _critical_of_external_nodes(txn: ReadTxn) -> list[Check]:
    found: list[Check] = []
    prefix = keys.checks_in_state("critical")
    for record, _ in txn.scan(prefix):
        raw = txn.get(b"C" + record[len(prefix) :])
        if raw is None:
            continue
        check = decode_check(raw)
        if check.service_id and txn.get(keys.check(check.node, SERF_CHECK_ID)) is None:
            found.append(check)
    return found


async def _again_and_again(name: str, duty: Duty, begun: Duty | None = None) -> None:
    """Run a duty, once `begun` returned, until it returns; one that fails begins again."""
    if begun is not None:
        await begun()
    while True:
        try:
            await duty()
            return
        except (NotReplicatedError, RaftError) as error:
            log.warning("leader duty failed, beginning again: duty=%s error=%r", name, str(error))
        except Exception:
            log.exception("leader duty failed, beginning again: duty=%s", name)
        await asyncio.sleep(RESTART_S)


def _text(body: Any, field: str) -> str:
    if not isinstance(body, dict) or not isinstance(body.get(field), str):
        raise CallError(f"the call's body needs a text {field!r}")
    value: str = body[field]
    return value
