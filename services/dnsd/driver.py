"""The running service: listeners around one engine, reload, end."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Protocol

from dnsd.configure import recursors_of, settings_of, staleness_of
from dnsd.engine import Engine
from dnsd.metrics import DnsMetrics
from dnsd.rpc import StatusServer
from dnsd.sources.forwarder import Forwarder
from dnsd.sources.local import LocalState
from dnsd.sources.remote import RemoteSource
from dnsd.sources.server import ServerSource
from dnsd.sources.source import Source
from dnsd.tcp import TcpListener
from dnsd.udp import UdpListener
from lictor.config.runtime import DISABLED_PORT, AclTokens, RuntimeConfig, config_path, with_tokens

log = logging.getLogger("agent")

FREE_PORT_TRIES = 20


class ClosableSource(Source, Protocol):
    """A source that holds things open."""

    async def close(self) -> None: ...


class Driver:
    """Owns every socket of the process."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._forwarders = _forwarders(config)
        self._source = self._make_source(config)
        self.engine = Engine(
            settings_of(config), self._source, recursors_of(config), metrics=DnsMetrics(config.node_name)
        )
        self.udp_listeners: list[UdpListener] = []
        self.tcp_listeners: list[TcpListener] = []
        self._retiring: set[asyncio.Task[None]] = set()
        self._status = StatusServer(config)

    def _make_source(self, config: RuntimeConfig) -> ClosableSource:
        staleness = staleness_of(config)
        fetching, watching = self._forwarders
        remote = RemoteSource(fetching, watching, staleness, config.datacenter, time.monotonic)
        rights = None
        if config.acl.enabled:
            # Who has no access control does not pay for its modules.
            from dnsd.sources.rights import Rights, decides_here

            if not decides_here(config):
                return remote
            rights = Rights(config)
        if not config.server_mode:
            return remote
        return ServerSource(LocalState(config.data_dir, config.datacenter), remote, staleness, self._forget, rights)

    def _forget(self) -> None:
        self.engine.cache.clear()

    async def start(self) -> None:
        """Open the listeners. Raises OSError naming the address that cannot be had."""
        if self._config.ports.dns != DISABLED_PORT:
            for host in self._config.addresses.dns:
                await self._listen(host, self._config.ports.dns)
        await self._status.start()

    async def _listen(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        tries = 1 if port else FREE_PORT_TRIES
        while True:
            tries -= 1
            try:
                udp, tcp, chosen = await self._open(host, port)
                break
            except OSError as error:
                if not tries:
                    raise OSError(error.errno, f"DNS listener {shown}:{port}: {error.strerror or error}") from error
        self.udp_listeners.append(udp)
        self.tcp_listeners.append(tcp)
        udp.start()
        for network in ("tcp", "udp"):
            log.info("Started DNS server: address=%s:%d network=%s", shown, chosen, network)

    async def _open(self, host: str, port: int) -> tuple[UdpListener, TcpListener, int]:
        """Both listeners on one port; with port 0 on one of the system's choice, which TCP may find taken."""
        udp = UdpListener(self.engine, host, port)
        chosen = udp.open()
        tcp = TcpListener(self.engine, host, chosen)
        try:
            await tcp.start()
        except OSError:
            udp.close()
            raise
        return udp, tcp, chosen

    @property
    def ports(self) -> list[int]:
        """The UDP and TCP port of each address."""
        return [udp.port for udp in self.udp_listeners]

    def reload(self, config: RuntimeConfig) -> None:
        """Answer by a changed configuration; addresses and ports need a restart."""
        settings, recursors = settings_of(config), recursors_of(config)
        if config.acl.tokens.default != self._config.acl.tokens.default:
            retired, self._forwarders = self._forwarders, _forwarders(config)
            for forwarder in retired:
                self._retire(forwarder)
        old, self._source = self._source, self._make_source(config)
        self._config = config
        self.engine.configure(settings, recursors, self._source)
        self._retire(old)
        self._status.reconfigure(config.telemetry)

    def _retire(self, source: ClosableSource | Forwarder) -> None:
        task = asyncio.get_running_loop().create_task(source.close())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def use_tokens(self, tokens: AclTokens) -> None:
        """The agent has other tokens of its own: nothing that was learned with the old ones is shown any more."""
        config = with_tokens(self._config, tokens)
        if tokens.default == self._config.acl.tokens.default:
            self._config = config
        else:
            self.reload(config)

    def reload_file(self) -> None:
        """The same from the file that the supervisor wrote; one that cannot be read changes nothing."""
        path = config_path(self._config.data_dir)
        try:
            config = RuntimeConfig.load(path)
            self.reload(config)
        except (OSError, ValueError) as error:
            log.error("cannot reload DNS configuration: file=%s error=%s", Path(path), error)

    async def close(self) -> None:
        """Close everything."""
        for udp in self.udp_listeners:
            udp.close()
        for tcp in self.tcp_listeners:
            await tcp.close()
        await self._status.stop()
        await self._source.close()
        for retiring in tuple(self._retiring):
            await retiring
        for forwarder in self._forwarders:
            await forwarder.close()


def _forwarders(config: RuntimeConfig) -> tuple[Forwarder, Forwarder]:
    """For single questions, and for those that wait for changes."""
    token = config.acl.tokens.default
    return Forwarder(config.data_dir, token), Forwarder(config.data_dir, token)
