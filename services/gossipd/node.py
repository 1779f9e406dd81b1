"""The pools of one agent: LAN always, WAN on servers; joining them as configured, and flooding LAN servers into WAN."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import Any

from gossipd import files
from gossipd.addresses import join_host_port
from gossipd.core import config as profiles
from gossipd.core.address import to_raw
from gossipd.core.config import PoolConfig
from gossipd.core.effects import MemberChanged, MemberEventKind
from gossipd.core.errors import NoSuchMember
from gossipd.core.member import MemberStatus
from gossipd.core.policy import LanPolicy, WanPolicy, is_server
from gossipd.driver import PoolDriver, PoolSetup
from gossipd.tags import client_tags, server_tags
from lictor.config.runtime import DISABLED_PORT, GossipConfig, JoinConfig, RuntimeConfig
from lictor.logs import fields

FLOOD_INTERVAL_S = 60.0
FLOOD_DELAY_S = 0.05
MAX_RETRY_ERROR_CHARS = 1024

log = logging.getLogger("agent")
server_log = logging.getLogger("agent.server")


class JoinFailed(Exception):
    """A join that the configuration demands did not work; the agent ends with this text."""


class GossipNode:
    """Start it, then use `lan` and `wan`."""

    def __init__(self, config: RuntimeConfig, random: Random) -> None:
        self.config = config
        self.failed: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._flood_wanted = asyncio.Event()
        role = "server" if config.server_mode else "client"
        prefix = f"agent.{role}"
        directory = None if config.dev_mode else files.serf_directory(config.data_dir)
        self.lan = PoolDriver(self._lan_setup(prefix, directory), random)
        self.wan: PoolDriver | None = None
        if config.server_mode and config.ports.serf_wan != DISABLED_PORT:
            self.wan = PoolDriver(self._wan_setup(prefix, directory), random)

    # --- the pools ---

    def _lan_setup(self, prefix: str, directory: Path | None) -> PoolSetup:
        config = self.config
        tags = server_tags(config, wan=False) if config.server_mode else client_tags(config)
        policy = LanPolicy(config.node_name, config.node_id, config.datacenter)
        return self._setup(
            profiles.lan, config.node_name, config.gossip_lan, policy, tags, prefix, "lan", "local", directory
        )

    def _wan_setup(self, prefix: str, directory: Path | None) -> PoolSetup:
        config = self.config
        name = f"{config.node_name}.{config.datacenter}"
        tags = server_tags(config, wan=True)
        return self._setup(profiles.wan, name, config.gossip_wan, WanPolicy(), tags, prefix, "wan", "remote", directory)

    def _setup(
        self,
        profile: Callable[[str, bytes, int], PoolConfig],
        name: str,
        gossip: GossipConfig,
        policy: LanPolicy | WanPolicy,
        tags: dict[str, str],
        prefix: str,
        suffix: str,
        file_stem: str,
        directory: Path | None,
    ) -> PoolSetup:
        config = self.config
        keyring_path = directory / f"{file_stem}.keyring" if directory and not config.disable_keyring_file else None
        return PoolSetup(
            _tuned(profile(name, to_raw(gossip.advertise_addr), gossip.advertise_port), config, gossip),
            gossip.bind_addr,
            gossip.port,
            policy,
            tags,
            prefix,
            suffix,
            directory / f"{file_stem}.snapshot" if directory else None,
            keyring_path,
            files.load_keyring(keyring_path, config.encrypt_key),
            config.encrypt_verify_incoming,
            config.encrypt_verify_outgoing,
        )

    async def start(self) -> None:
        """Open the pools and do the joins that must work. Raises BindError, JoinFailed, OSError."""
        self.failed = asyncio.get_running_loop().create_future()
        if self.wan is not None:
            await self.wan.start()
        await self.lan.start()
        config = self.config
        await self._start_join("LAN", self.lan, config.join_lan, config.gossip_lan.port)
        if self.wan is not None:
            await self._start_join("WAN", self.wan, config.join_wan, config.gossip_wan.port)
            self.lan.member_listeners.append(self._lan_changed)
            self._spawn(self._flood())
            if config.join_wan.retry_join:
                self._spawn(self._retry_join("WAN", self.wan, config.join_wan, config.gossip_wan.port))
        if config.join_lan.retry_join:
            self._spawn(self._retry_join("LAN", self.lan, config.join_lan, config.gossip_lan.port))

    async def stop(self) -> None:
        """Stop at once, without leaving."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.lan.stop()
        if self.wan is not None:
            await self.wan.stop()

    async def leave(self) -> None:
        """Leave both pools gracefully, at the same time: one after the other could outlast who waits for it."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*(pool.leave() for pool in (self.wan, self.lan) if pool is not None))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        assert self.failed is not None
        if not self.failed.done():
            self.failed.set_exception(error)

    # --- joining ---

    async def join_lan(self, addresses: list[str]) -> tuple[int, list[str]]:
        """How many nodes were contacted, and what went wrong."""
        return await self._join("LAN", self.lan, addresses, self.config.gossip_lan.port)

    async def join_wan(self, addresses: list[str]) -> tuple[int, list[str]]:
        """As `join_lan`. Only servers have a WAN pool."""
        assert self.wan is not None, "the caller has checked"
        return await self._join("WAN", self.wan, addresses, self.config.gossip_wan.port)

    async def _join(self, name: str, pool: PoolDriver, addresses: list[str], port: int) -> tuple[int, list[str]]:
        key = f"{name.lower()}_addresses"
        log.info("(%s) joining", name, extra=fields(**{key: f"[{' '.join(addresses)}]"}))
        contacted, errors = await pool.join(addresses, port)
        if contacted:
            log.info("(%s) joined", name, extra=fields(number_of_nodes=contacted))
        else:
            log.warning("(%s) couldn't join", name, extra=fields(number_of_nodes=0, error="; ".join(errors)))
        return contacted, errors

    async def _start_join(self, name: str, pool: PoolDriver, join: JoinConfig, port: int) -> None:
        if not join.start_join:
            return
        contacted, errors = await self._join(name, pool, list(join.start_join), port)
        if not contacted:
            raise JoinFailed("; ".join(errors))

    async def _retry_join(self, name: str, pool: PoolDriver, join: JoinConfig, port: int) -> None:
        """Join again and again until it works. Raises JoinFailed when the configured attempts are used up."""
        addresses = [address for address in join.retry_join if not address.startswith("provider=")]
        for address in join.retry_join:
            if address not in addresses:
                log.error("Cannot discover addresses: no cloud provider is supported", extra=fields(address=address))
        log.info("Joining cluster...", extra=fields(cluster=name))
        attempt = 0
        while True:
            contacted, errors = await self._join(name, pool, addresses, port)
            if contacted:
                log.info(
                    "Join cluster completed. Synced with initial agents",
                    extra=fields(cluster=name, num_agents=contacted),
                )
                return
            attempt += 1
            if join.retry_max and attempt > join.retry_max:
                log.error("max join retry exhausted, exiting", extra=fields(cluster=name))
                raise JoinFailed(f"agent: max join retry exhausted, exiting: cluster={name}")
            interval_s = join.retry_interval_ns / 1e9
            error = "; ".join(errors)[:MAX_RETRY_ERROR_CHARS]
            log.warning(
                "Join cluster failed, will retry",
                extra=fields(cluster=name, retry_interval=f"{interval_s:g}s", error=error),
            )
            await asyncio.sleep(interval_s)

    # --- flooding LAN servers into the WAN pool ---

    def _lan_changed(self, change: MemberChanged) -> None:
        if change.kind is MemberEventKind.JOIN and is_server(change.member.tags):
            self._flood_wanted.set()

    async def _flood(self) -> None:
        while True:
            await self._flood_once()
            try:
                await asyncio.wait_for(self._flood_wanted.wait(), FLOOD_INTERVAL_S)
                # Several servers often join together.
                await asyncio.sleep(FLOOD_DELAY_S)
            except TimeoutError:
                pass
            self._flood_wanted.clear()

    async def _flood_once(self) -> None:
        assert self.wan is not None
        known = {member.name for member in self.wan.members() if is_server(member.tags)}
        for member in self.lan.members():
            tags = member.tags
            if member.status is not MemberStatus.ALIVE or not is_server(tags) or tags["dc"] != self.config.datacenter:
                continue
            port_text = tags.get("wan_join_port", "")
            if f"{member.name}.{tags['dc']}" in known or not port_text.isdigit():
                continue
            address = join_host_port(member.node.host, int(port_text))
            contacted, errors = await self.wan.join([address], int(port_text))
            if contacted:
                server_log.info(
                    "Successfully performed flood-join for server at address",
                    extra=fields(server=f"{member.name}.{tags['dc']}", address=address),
                )
            else:
                server_log.debug(
                    "Failed to flood-join server at address",
                    extra=fields(server=member.name, address=address, error="; ".join(errors)),
                )

    # --- both pools at once ---

    async def force_leave(self, name: str, prune: bool) -> None:
        """In the LAN pool under this name, in the WAN pool under `<name>.<dc>` or the name itself.

        Raises NoSuchMember.
        """
        found = False
        candidates = [(self.lan, name)]
        if self.wan is not None:
            dotted = name if name.endswith(f".{self.config.datacenter}") else f"{name}.{self.config.datacenter}"
            candidates += [(self.wan, candidate) for candidate in dict.fromkeys((name, dotted))]
        for pool, candidate in candidates:
            try:
                await pool.force_leave(candidate, prune)
                found = True
            except NoSuchMember:
                continue
        if not found:
            raise NoSuchMember(f"agent: No node found with name '{name}'")

    def set_tags(self, changed: dict[str, str], removed: list[str]) -> None:
        """Raises ProtocolError when they do not fit."""
        self.lan.set_tags(changed, removed)
        if self.wan is not None:
            self.wan.set_tags(changed, removed)


def _tuned(profile: PoolConfig, config: RuntimeConfig, gossip: GossipConfig) -> PoolConfig:
    tuned = profiles.tuned(
        profile,
        gossip_nodes=gossip.gossip_nodes,
        gossip_interval_ns=gossip.gossip_interval_ns,
        probe_interval_ns=gossip.probe_interval_ns,
        probe_timeout_ns=gossip.probe_timeout_ns,
        suspicion_mult=gossip.suspicion_mult,
        retransmit_mult=gossip.retransmit_mult,
        reconnect_timeout_ns=gossip.reconnect_timeout_ns,
    )
    return profiles.with_history(
        tuned, coordinates=not config.coordinates.disabled, rejoin_after_leave=config.rejoin_after_leave
    )
