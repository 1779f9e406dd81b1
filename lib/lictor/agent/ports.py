"""Whether the agent's addresses are free, asked before anything is started."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from lictor.config.errors import ConfigError
from lictor.config.runtime import RuntimeConfig
from lictor.config.settings import UNIX_PREFIX, joined

TCP, UDP = "tcp", "udp"
_REASONS = {
    errno.EADDRINUSE: "address already in use",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EACCES: "permission denied",
}


class Listener(NamedTuple):
    """One address the agent will open, and the settings it comes from."""

    setting: str
    network: str
    address: str
    port: int


def listeners(config: RuntimeConfig) -> Iterator[Listener]:
    """Every address this agent will listen on, Unix sockets left out."""
    ports, addresses = config.ports, config.addresses
    client = (
        ("http", addresses.http, ports.http, (TCP,)),
        ("https", addresses.https, ports.https, (TCP,)),
        ("grpc", addresses.grpc, ports.grpc, (TCP,)),
        ("dns", addresses.dns, ports.dns, (TCP, UDP)),
    )
    for name, bound, port, networks in client:
        for address in bound:
            if port >= 0 and not address.startswith(UNIX_PREFIX):
                for network in networks:
                    yield Listener(f"ports.{name}", network, address, port)
    for network in (TCP, UDP):
        yield Listener("ports.serf_lan", network, config.gossip_lan.bind_addr, ports.serf_lan)
    if config.server_mode:
        yield Listener("ports.server", TCP, config.bind_addr, ports.server)
        if ports.serf_wan >= 0:
            for network in (TCP, UDP):
                yield Listener("ports.serf_wan", network, config.gossip_wan.bind_addr, ports.serf_wan)
    if ports.api_explicit and ports.api >= 0:
        yield Listener("ports.api", TCP, config.bind_addr, ports.api)


def check(config: RuntimeConfig) -> None:
    """Bind every address once and let it go.

    Raises ConfigError naming the first address that cannot be had, and its setting.
    """
    for listener in listeners(config):
        failure = try_bind(listener.network, listener.address, listener.port)
        if failure is not None:
            where = joined(listener.address, listener.port)
            raise ConfigError(f"{listener.setting}: listen {listener.network} {where}: bind: {failure}")
    for name, bound in (("http", config.addresses.http), ("https", config.addresses.https)):
        for address in bound:
            if address.startswith(UNIX_PREFIX):
                check_unix(f"addresses.{name}", address.removeprefix(UNIX_PREFIX))


def try_bind(network: str, address: str, port: int) -> str | None:
    """Why this address cannot be bound, or None when it can."""
    kind = socket.SOCK_STREAM if network == TCP else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        if network == TCP:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            if network == TCP:
                probe.listen(1)
        except OSError as error:
            return _REASONS.get(error.errno or 0, error.strerror)
    return None


def check_unix(setting: str, path: str) -> None:
    """Remove a socket nobody listens on; refuse one in use, another file, and a missing directory."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path) or "."):
            raise ConfigError(f"{setting}: listen unix {path}: bind: no such file or directory") from None
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(f"{setting}: listen unix {path}: bind: the file exists and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)
            return
    raise ConfigError(f"{setting}: listen unix {path}: bind: address already in use")


def choose_api_port(config: RuntimeConfig) -> RuntimeConfig:
    """Take a free port for the api-forward listener when 8303 is taken and nobody asked for it."""
    if config.ports.api_explicit or try_bind(TCP, config.bind_addr, config.ports.api) is None:
        return config
    family = socket.AF_INET6 if ":" in config.bind_addr else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((config.bind_addr, 0))
        free = probe.getsockname()[1]
    return msgspec.structs.replace(config, ports=msgspec.structs.replace(config.ports, api=free))
