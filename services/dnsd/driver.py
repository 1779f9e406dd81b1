"""The running service: listeners around one engine, reload, end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Protocol

from dnsd.configure import recursors_of, settings_of
from dnsd.engine import Engine
from dnsd.rpc import StatusServer
from dnsd.sources.local import LocalState
from dnsd.sources.source import Source
from dnsd.tcp import TcpListener
from dnsd.udp import UdpListener
from lictor.config.runtime import DISABLED_PORT, RuntimeConfig, config_path

log = logging.getLogger("agent")


class ClosableSource(Source, Protocol):
    """A source that holds things open."""

    def close(self) -> None: ...


class Driver:
    """Owns every socket of the process."""

    def __init__(self, config: RuntimeConfig) -> None:
        self._config = config
        self._source: ClosableSource = LocalState(config.data_dir, config.datacenter)
        self.engine = Engine(settings_of(config), self._source, recursors_of(config))
        self._udp: list[UdpListener] = []
        self._tcp: list[TcpListener] = []
        self._status = StatusServer(config.data_dir)

    async def start(self) -> None:
        """Open the listeners. Raises OSError naming the address that cannot be had."""
        if self._config.ports.dns != DISABLED_PORT:
            for host in self._config.addresses.dns:
                await self._listen(host, self._config.ports.dns)
        await self._status.start()

    async def _listen(self, host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        try:
            udp = UdpListener(self.engine, host, port)
            port = udp.open()
            self._udp.append(udp)
            tcp = TcpListener(self.engine, host, port)
            await tcp.start()
            self._tcp.append(tcp)
        except OSError as error:
            raise OSError(error.errno, f"DNS listener {shown}:{port}: {error.strerror or error}") from error
        udp.start()
        for network in ("tcp", "udp"):
            log.info("Started DNS server: address=%s:%d network=%s", shown, port, network)

    @property
    def ports(self) -> list[int]:
        """The UDP and TCP port of each address."""
        return [udp.port for udp in self._udp]

    def reload(self, config: RuntimeConfig) -> None:
        """Answer by a changed configuration; addresses and ports need a restart."""
        self._config = config
        self.engine.configure(settings_of(config), recursors_of(config))

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
        for udp in self._udp:
            udp.close()
        for tcp in self._tcp:
            await tcp.close()
        await self._status.stop()
        with contextlib.suppress(asyncio.CancelledError):
            self._source.close()
