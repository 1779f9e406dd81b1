"""checkd: the services and checks of one node (wiring only)."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from checkd.alias_watch import watch_alias
from checkd.catalog import Catalog, identity_of
from checkd.config_watch import ConfigWatch
from checkd.coordinates import send_coordinates
from checkd.core.central_config import merged
from checkd.core.effects import WatchAlias
from checkd.core.node import NodeSettings
from checkd.core.records import Service
from checkd.driver import Driver, moment
from checkd.forward import ForwardClient
from checkd.gossip import Membership
from checkd.leader_watch import watch_leader
from checkd.remote_exec import RemoteExec
from checkd.restore import FileDefinitionError, apply_files, file_definitions, restore
from checkd.rpc import SERVICE_NAME, LocalAgentService
from checkd.runners.pool import RunnerPool
from checkd.status_file import WRITE_INTERVAL_S, StatusFile
from checkd.storage import DocumentStore, DocumentWriter
from checkd.sync import Syncer
from lictor import logs
from lictor.agent.link import SupervisorLink
from lictor.config.runtime import AclTokens, RuntimeConfig, config_path, with_tokens
from lictor.pb.lictor.v1 import agent_pb2_grpc
from lictor.regexp import RegexpError
from lictor.rpc import DaemonChannel, DaemonServer
from lictor.telemetry.serving import DaemonMetrics
from lictor.tls.wanted import auto_encrypted, wants_tls
from lictor.user_event import UserEvent

if TYPE_CHECKING:
    from lictor.tls.configurator import Configurator

SERVICE = "checkd"

log = logging.getLogger("agent")


def settings_of(config: RuntimeConfig) -> NodeSettings:
    """What the core needs of the configuration."""
    checks = config.checks_config
    return NodeSettings(
        node_name=config.node_name,
        update_interval_ns=checks.update_interval_ns,
        output_limit_bytes=checks.output_max_size,
        discard_output=checks.discard_output,
        deregister_minimum_ns=checks.deregister_interval_min_ns,
        reap_interval_ns=checks.reap_interval_ns,
        local_scripts=checks.enable_local_scripts or checks.enable_remote_scripts,
        remote_scripts=checks.enable_remote_scripts,
        sidecar_min_port=config.ports.sidecar_min_port,
        sidecar_max_port=config.ports.sidecar_max_port,
    )


def agent_tls(config: RuntimeConfig) -> Configurator | None:
    """The agent's own TLS for its checks; None where it has none."""
    if not wants_tls(config):
        return None
    from lictor.tls.configurator import Configurator, no_grant
    from lictor.tls.grant import GrantFile

    return Configurator(config, GrantFile(config.data_dir).latest if auto_encrypted(config) else no_grant)


class CheckDaemon:
    """All parts of checkd, started and stopped together."""

    def __init__(self, config: RuntimeConfig, random: Random) -> None:
        self.config = config
        self._store = DocumentStore(config.data_dir)
        self._writer = DocumentWriter(self._store)
        self._tls = agent_tls(config)
        runners = self._runners = RunnerPool(self._tls)
        self.driver = Driver(settings_of(config), random, runners, self._writer)
        self._apid = DaemonChannel(config.data_dir, "apid")
        self._gossipd = DaemonChannel(config.data_dir, "gossipd")
        self._forward = ForwardClient(self._apid)
        self._catalog = Catalog(self._forward, identity_of(config))
        self.syncer = Syncer(self.driver.node.state, self._catalog, config, random)
        self._remote_exec = RemoteExec(self._forward, config.node_name, self._agent_token)
        self._membership = Membership(self._gossipd, self._take_size, self.syncer.leader_found, self._take_remote_exec)
        self._config_watch = ConfigWatch(self._forward, self._agent_token, self._refresh_central)
        self._status_file = StatusFile(config.data_dir)
        self._server = DaemonServer(config.data_dir, SERVICE, (SERVICE_NAME,))
        self._metrics = DaemonMetrics(SERVICE, self._server, config)
        self._random = random
        self._tasks: list[asyncio.Task[None]] = []
        self.driver.node.state.on_sync_needed = self.syncer.changed
        self.driver.watch_alias = self._watch_alias
        if config.enable_central_service_config:
            self.driver.node.merge_central = self._merge_central

    async def start(self) -> None:
        """Register what files and earlier registrations say, serve, sync and run checks."""
        self._store.prepare()
        services, checks = file_definitions(self.config)
        now = moment()
        node = self.driver.node
        failures = apply_files(node, services, checks, now)
        if failures and self._status_file.is_first_start():
            raise FileDefinitionError(failures[0])
        for failure in failures:
            # Nothing new in the files: another process of ours ran with them, or a reload told of it.
            log.error(failure)
        restore(node, self._store, now)
        restored = self._status_file.restore(node, now)
        if restored:
            log.debug("took over check statuses of the process before: checks=%d", restored)
        self.driver.change_now(lambda _: None)
        service = LocalAgentService(self.driver, self.config.node_name, self.syncer.sync_full)
        agent_pb2_grpc.add_LocalAgentServicer_to_server(service, self._server.server)  # type: ignore[no-untyped-call]
        await self._server.start()
        self._metrics.start()
        self.driver.start()
        self._keep(self.syncer.run())
        self._keep(self._membership.run())
        self._keep(self._write_statuses())
        if self.config.server_mode:
            self._keep(watch_leader(self.config.data_dir, self.syncer.leader_found))
        if self.config.enable_central_service_config:
            self._keep(self._config_watch.run())
        if not self.config.coordinates.disabled:
            self._keep(
                send_coordinates(
                    lambda: self._catalog,
                    self._membership,
                    self.config.coordinates,
                    lambda: self.syncer.schedule.nodes,
                    self._agent_token,
                    self._random,
                )
            )

    async def stop(self) -> None:
        """End every loop, persist what is left."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._remote_exec.close()
        await self.driver.close()
        await self._metrics.stop()
        await self._server.stop()
        await self._writer.close()
        await self._forward.close()
        await self._apid.close()
        await self._gossipd.close()
        await self.driver.runners.close()

    def reload(self, config: RuntimeConfig) -> list[str]:
        """Take over a new configuration: only definitions that differ are touched, statuses stay.

        Returns what could not be registered. Raises FileDefinitionError when a definition is wrong; then nothing has
        changed.
        """
        services, checks = file_definitions(config)
        self.config = config
        if self._tls is not None:
            self._tls.update(config)
            self._keep(self._runners.reload())
        node = self.driver.node
        node.reconfigure(settings_of(config))
        failures = apply_files(node, services, checks, moment())
        for failure in failures:
            log.error(failure)
        self._catalog = Catalog(self._forward, identity_of(config))
        self.syncer.reconfigure(config, self._catalog)
        self._metrics.reconfigure(config.telemetry)
        self.driver.change_now(lambda _: None)
        return failures

    def use_tokens(self, tokens: AclTokens) -> None:
        """The agent has other tokens of its own."""
        previous, self.config = self.config.acl.tokens, with_tokens(self.config, tokens)
        if (previous.agent, previous.default) != (tokens.agent, tokens.default):
            self.syncer.use_tokens(self.config)

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(_report_end)

    def _take_size(self, nodes: int) -> None:
        self.syncer.schedule.nodes = nodes

    def _take_remote_exec(self, event: UserEvent) -> None:
        services = {
            entry.service.service_id: {"Tags": entry.service.tags} for entry in self.driver.node.state.live_services()
        }
        try:
            if not event.is_meant(self.config.node_name, services):
                return
        except RegexpError as error:
            log.error("Failed to parse filter for event", extra=logs.fields(event=event.name, error=error))
            return
        if self.config.disable_remote_exec:
            ignored = logs.fields(event_name=event.name, event_id=event.id)
            log.info("ignoring remote exec event, disabled.", extra=ignored)
            return
        self._remote_exec.take(event)

    def _merge_central(self, service: Service) -> Service:
        return merged(service, self._config_watch.proxy_defaults, self._config_watch.service_defaults)

    def _refresh_central(self) -> None:
        self.driver.change_now(lambda _: self.driver.node.refresh_central())

    def _agent_token(self) -> str:
        tokens = self.config.acl.tokens
        return tokens.agent or tokens.default

    async def _watch_alias(self, watch: WatchAlias) -> None:
        def report(status: str, output: str) -> None:
            self.driver.change_now(lambda now: self.driver.node.take_alias_result(watch.check_id, status, output, now))

        await watch_alias(watch, self._forward, report)

    async def _write_statuses(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            try:
                self._status_file.maybe_write(self.driver.node.state)
            except OSError as error:
                log.warning("Failed writing check statuses: error=%s", json.dumps(str(error)))


def _report_end(task: asyncio.Task[None]) -> None:
    """A loop that ends by itself has failed: say so and end the process, which the supervisor replaces."""
    if task.cancelled():
        return
    if (error := task.exception()) is not None:
        log.critical("checkd failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


async def serve(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    """Run until told to stop; the exit status."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Randomness only spreads load, but two nodes must not draw the same numbers.
    daemon = CheckDaemon(config, Random())
    try:
        await daemon.start()
    except FileDefinitionError as error:
        if link is None:
            log.error("checkd cannot start: error=%s", json.dumps(str(error)))
        else:
            link.fatal(f'Error starting agent: error="{error}"')
        await daemon.stop()
        return 1
    except OSError as error:
        log.error("checkd cannot start: error=%s", json.dumps(str(error)))
        await daemon.stop()
        return 1
    if link is not None:
        link.on_event("stop", lambda message: stopping.set())
        link.on_event("reload", lambda message: _reload(daemon))
        link.on_event("tokens", lambda message: daemon.use_tokens(msgspec.convert(message["tokens"], AclTokens)))
        await link.start()
        link.ready()
    await stopping.wait()
    await daemon.stop()
    if link is not None:
        await link.close()
    return 0


def _reload(daemon: CheckDaemon) -> str:
    """Returns what went wrong, or nothing."""
    path = config_path(daemon.config.data_dir)
    try:
        failures = daemon.reload(RuntimeConfig.load(path))
    except (FileDefinitionError, OSError, ValueError) as error:
        log.error("Failed to reload configs: error=%s", json.dumps(str(error)))
        return str(error)
    return "; ".join(failures)


def run(config: RuntimeConfig, link: SupervisorLink | None) -> int:
    """Block until told to stop; called in a freshly forked process by the supervisor, or by `main`."""
    import uvloop

    return uvloop.run(serve(config, link))


def main() -> int:
    """The console script: the same flags as `consul agent`."""
    from lictor.agent.alone import AloneLink
    from lictor.config import load
    from lictor.config.errors import ConfigError
    from lictor.config.goflags import FlagError, HelpWanted

    try:
        config = load.for_daemon(sys.argv[1:])
    except (ConfigError, FlagError, HelpWanted) as error:
        print(f"==> {error}", file=sys.stderr)
        return 1
    return run(config, AloneLink(sys.argv[1:], config))


if __name__ == "__main__":
    sys.exit(main())
