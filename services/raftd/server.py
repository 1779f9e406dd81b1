"""One server put together: storage, core, driver, gRPC listeners, and the leader's duties."""

from __future__ import annotations

import asyncio
import logging
import random
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from lictor import logs
from lictor.agent.link import Message as LinkMessage
from lictor.agent.link import SupervisorLink
from lictor.config.runtime import RuntimeConfig, config_path
from lictor.page import PageWriter, boottime_ns
from lictor.pb.lictor.v1 import raft_pb2_grpc
from lictor.rpc import SERVER_OPTIONS, DaemonServer
from lictor.state.store import StoreError
from lictor.telemetry.serving import DaemonMetrics
from lictor.tls.wanted import wants_tls
from raftd.announce import Announcer
from raftd.archive import Archives
from raftd.calls import Calls
from raftd.changes import Changes
from raftd.core.config import MS, RaftConfig
from raftd.core.configuration import Configuration, Server
from raftd.core.raft import Raft
from raftd.driver import Driver
from raftd.fsm import StateMachine
from raftd.leader.bootstrapper import Bootstrapper
from raftd.leader.duties import NEW_LEADER_EVENT, LeaderDuties
from raftd.leader.gossip import Gossip
from raftd.leader.members import LanMember, Status, describe
from raftd.leaving import Leaving
from raftd.operations import Operations
from raftd.peers import PeerChannels
from raftd.proposer import Proposer
from raftd.recovery import maybe_recover, write_info
from raftd.router import Router
from raftd.rpc import ConsensusService, RaftPeerService
from raftd.snapshotter import Snapshotter
from raftd.storage.errors import StorageError
from raftd.storage.files import Files
from raftd.storage.generations import Generations, boot_id
from raftd.storage.snapshots import SnapshotStore
from raftd.storage.wal import Wal
from raftd.transport import Transport

if TYPE_CHECKING:
    from raftd.secure_ports import SecurePorts

STOP_GRACE_S = 0.1
CORE_LEASE_PERCENT = 50
"""A lease above this part of the heartbeat timeout could outlive it under clock drift; it is cut to it."""

log = logging.getLogger("agent.server.raft")
server_log = logging.getLogger("agent.server")


class StartError(Exception):
    """Something outside the data directory keeps this server from starting."""


def core_config(config: RuntimeConfig) -> RaftConfig:
    """The core's numbers from the agent's."""
    raft = config.raft
    return RaftConfig(
        id=config.node_id,
        heartbeat_timeout_ns=raft.heartbeat_timeout_ns,
        election_timeout_ns=max(raft.election_timeout_ns, raft.heartbeat_timeout_ns),
        lease_timeout_ns=min(raft.leader_lease_timeout_ns, raft.heartbeat_timeout_ns * CORE_LEASE_PERCENT // 100),
        quorum_timeout_ns=max(raft.election_timeout_ns, raft.heartbeat_timeout_ns),
        commit_notice_ns=min(raft.commit_timeout_ns, 10 * MS),
    )


class RaftServer:
    """Everything that `main` starts and stops."""

    def __init__(self, config: RuntimeConfig, stopping: asyncio.Event) -> None:
        self.config = config
        self.failed = False
        """Whether the disk made it end."""
        self._stopping = stopping
        self._directory = Path(config.data_dir) / "raft"
        self.address = f"{_bracketed(config.raft.advertise_addr)}:{config.ports.server}"
        self._tasks: set[asyncio.Task[None]] = set()
        self._daemon: DaemonServer | None = None
        self._metrics: DaemonMetrics | None = None
        self._public: grpc.aio.Server | None = None
        self._driver: Driver | None = None
        self._router: Router | None = None
        self._transport: Transport | None = None
        self._channels: PeerChannels | None = None
        self._secure: SecurePorts | None = None
        self._gossip: Gossip | None = None
        self._duties: LeaderDuties | None = None
        self._leaving: Leaving | None = None
        self._lan_servers: dict[str, str] = {}
        """RPC address by member name, "" while it is not alive."""

    # --- start and stop ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open storage, begin, listen. Raises StorageError, StartError."""
        config = self.config
        driver = self._driver = self._open_storage()
        secure = self._secure = self._secure_ports()
        channels = self._channels = PeerChannels(config.datacenter, secure.dialer if secure else None)
        transport = self._transport = Transport(config.node_id, self.address, channels, driver.unreachable)
        driver.outbound = transport
        hold_timeout_ns = config.performance.rpc_hold_timeout_ns
        router = self._router = Router(driver, transport, channels, hold_timeout_ns)
        calls = Calls(driver, transport, channels, hold_timeout_ns)
        proposer = Proposer(driver)
        gossip = self._gossip = Gossip(config.data_dir)
        gossip.on_change.append(self._members_changed)
        gossip.on_user_event.append(_log_new_leader)
        driver.prechecks.session_ttl_min_ns = config.session_ttl_min_ns
        announcer = Announcer(self.address, lambda: driver.raft.configuration)
        driver.listeners.append(announcer)
        self._duties = LeaderDuties(config, driver, proposer, gossip, calls)
        Operations(driver, proposer, calls)
        self._leaving = Leaving(driver, calls)
        archives = Archives(driver, proposer, transport, channels, self._directory)
        archives.clean()
        await self._listen(driver, router, calls, archives, transport)
        driver.start()
        announcer.started(driver.raft.configuration_index)
        self._maybe_bootstrap(driver, gossip, channels, announcer)
        self._keep(gossip.watch_members())
        self._keep(gossip.watch_user_events())
        raft = config.raft
        snapshotter = Snapshotter(driver, raft.snapshot_interval_ns, raft.snapshot_threshold, raft.trailing_logs)
        self._keep(snapshotter.run())

    def _open_storage(self) -> Driver:
        files = Files(durable=not self.config.dev_mode)
        wal = Wal(self._directory / "wal", files)
        snapshots = SnapshotStore(self._directory / "snapshots", files)
        newest = snapshots.newest()
        machine = StateMachine(Generations(self._directory, files, snapshots, boot_id()), snapshots)
        try:
            machine.open(wal.summary.last_index, newest)
        except StoreError as error:
            raise StorageError(str(error)) from error
        newest = maybe_recover(self._directory, files, wal, snapshots, machine) or newest
        write_info(self._directory, files)
        raft = Raft(
            core_config(self.config),
            boottime_ns(),
            random.Random().randint,
            wal,
            wal.hard_state,
            wal.summary,
            newest,
            machine.applied_index,
        )
        page = PageWriter(self.config.data_dir)
        return Driver(self.config.node_id, raft, wal, machine, snapshots, page, Changes(), self._disk_failed)

    async def _listen(
        self, driver: Driver, router: Router, calls: Calls, archives: Archives, transport: Transport
    ) -> None:
        config = self.config
        public = self._public = grpc.aio.server(options=SERVER_OPTIONS)
        raft_pb2_grpc.add_RaftPeerServicer_to_server(RaftPeerService(driver, transport), public)  # type: ignore[no-untyped-call]
        raft_pb2_grpc.add_ConsensusServicer_to_server(
            ConsensusService(driver, router, calls, archives, for_peers=True), public
        )  # type: ignore[no-untyped-call]
        self._bind(public)
        self._daemon = DaemonServer(config.data_dir, "raftd", ("lictor.v1.Consensus",))
        raft_pb2_grpc.add_ConsensusServicer_to_server(  # type: ignore[no-untyped-call]
            ConsensusService(driver, router, calls, archives, for_peers=False), self._daemon.server
        )
        self._metrics = DaemonMetrics("raftd", self._daemon, config)
        await public.start()
        if self._secure is not None:
            try:
                self._secure.listen(config.raft.bind_addr, config.ports.server)
            except OSError as error:
                raise StartError(f"cannot listen on {self._bound} (server RPC): address in use or not ours") from error
        await self._daemon.start()
        self._metrics.start()

    @property
    def _bound(self) -> str:
        return f"{_bracketed(self.config.raft.bind_addr)}:{self.config.ports.server}"

    def _bind(self, public: grpc.aio.Server) -> None:
        """To the server port, or behind what stands in front of it."""
        place = f"unix:{self._secure.inside}" if self._secure is not None else self._bound
        try:
            port = public.add_insecure_port(place)
        except RuntimeError as error:
            raise StartError(f"cannot listen on {place} (server RPC): address in use or not ours") from error
        if port == 0:
            raise StartError(f"cannot listen on {place} (server RPC)")

    def _secure_ports(self) -> SecurePorts | None:
        """None where TLS is not configured: then nothing of it is even imported. Errors: StartError."""
        if not wants_tls(self.config):
            return None
        from lictor.tls.material import TlsError
        from raftd.secure_ports import SecurePorts

        try:
            return SecurePorts(self.config, self._speaks_tls)
        except TlsError as error:
            raise StartError(str(error)) from None

    def _speaks_tls(self, address: str) -> bool:
        """Whether the server at an address says so in gossip."""
        members = self._gossip.members.values() if self._gossip is not None else ()
        servers = (member.server for member in members if member.server is not None)
        return any(server.address == address and server.use_tls for server in servers)

    def _maybe_bootstrap(self, driver: Driver, gossip: Gossip, channels: PeerChannels, announcer: Announcer) -> None:
        """Start a new cluster if this server has no log yet and is told to."""
        config = self.config
        if driver.raft.last_index:
            return
        if config.bootstrap or config.dev_mode or config.bootstrap_expect == 1:
            driver.bootstrap(Configuration((Server(config.node_id, self.address),)))
            return
        timeout_s = config.raft.heartbeat_timeout_ns / 1e9
        asyncio.get_running_loop().call_later(timeout_s, self._warn_without_peers, driver, announcer)
        if config.bootstrap_expect > 1:
            bootstrapper = Bootstrapper(
                driver, gossip, channels, config.datacenter, config.node_id, config.bootstrap_expect
            )
            self._keep(bootstrapper.run())

    def _warn_without_peers(self, driver: Driver, announcer: Announcer) -> None:
        if not driver.raft.configuration.servers:
            announcer.no_peers()

    def _members_changed(self, changed: list[LanMember], gone: list[str]) -> None:
        """Log servers that come and go, and learn where they are."""
        assert self._transport is not None
        for member in changed:
            if member.server is None or member.datacenter != self.config.datacenter:
                continue
            if member.status is Status.ALIVE:
                self._transport.moved_to(member.server.id, member.server.address)
            known = self._lan_servers.get(member.name)
            alive = member.server.address if member.status is Status.ALIVE else ""
            if alive and known != alive:
                server_log.info('Adding LAN server: server="%s"', describe(member))
            elif not alive and known:
                server_log.info('Removing LAN server: server="%s"', describe(member))
            self._lan_servers[member.name] = alive
        for name in gone:
            self._lan_servers.pop(name, None)

    def serve_link(self, link: SupervisorLink) -> None:
        """Answer the supervisor's requests."""

        async def leave(message: LinkMessage) -> None:
            if self._leaving is not None:
                await self._leaving.leave()

        async def left(message: LinkMessage) -> None:
            if self._leaving is not None:
                await self._leaving.wait_until_left()

        link.on_request("leave", leave)
        link.on_request("left", left)
        link.on_event("reload", self._reload)

    def _reload(self, message: LinkMessage) -> str:
        """Take over what can change while running: the log level, the filters of metrics, certificates.

        Returns what went wrong, or nothing.
        """
        fresh = RuntimeConfig.load(config_path(self.config.data_dir))
        logs.set_level(logs.level_number(fresh.log.level))
        if self._metrics is not None:
            self._metrics.reconfigure(fresh.telemetry)
        return self._reload_certificates(fresh)

    def _reload_certificates(self, fresh: RuntimeConfig) -> str:
        if self._secure is None:
            return ""
        from lictor.tls.material import TlsError

        try:
            self._secure.reload(fresh)
        except TlsError as error:
            log.error("certificates stay as they were: error=%s", error)
            return f"Failed reloading tls configuration: {error}"
        return ""

    def _keep(self, work: asyncio._CoroutineLike[None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("raftd: a duty failed", exc_info=error)
            self.failed = True
            self._stopping.set()

    def _disk_failed(self, error: StorageError) -> None:
        log.error("storage failed, ending: error=%s", error)
        self.failed = True
        self._stopping.set()

    async def stop(self) -> None:
        """End everything; what was acknowledged is durable already."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._duties is not None:
            await self._duties.close()
        if self._driver is not None:
            self._driver.stop()
        if self._router is not None:
            await self._router.close()
        if self._transport is not None:
            await self._transport.close()
        if self._metrics is not None:
            await self._metrics.stop()
        if self._daemon is not None:
            await self._daemon.stop(STOP_GRACE_S)
        if self._public is not None:
            await self._public.stop(STOP_GRACE_S)
        if self._channels is not None:
            await self._channels.close()
        if self._secure is not None:
            await self._secure.close()
        if self._gossip is not None:
            await self._gossip.close()


def _log_new_leader(name: str, payload: bytes) -> None:
    if name == NEW_LEADER_EVENT:
        server_log.info("New leader elected: payload=%s", payload.decode("utf-8", "replace"))


def _bracketed(address: str) -> str:
    """An IP as it stands before a port."""
    return f"[{address}]" if ":" in address else address
