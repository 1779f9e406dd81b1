"""Rules about requests that hold for all endpoints and come from the configuration."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BlockedPaths:
    """`http_config.block_endpoints`: path prefixes that answer 403."""

    def __init__(self, prefixes: Iterable[str]) -> None:
        self._prefixes = tuple(prefixes)

    def blocks(self, path: str) -> bool:
        return path.startswith(self._prefixes)

    def __bool__(self) -> bool:
        return bool(self._prefixes)


class WriteSources:
    """`http_config.allow_write_http_from`: the networks that may change things; none means all."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: tuple[_Network, ...] = tuple(ipaddress.ip_network(text, strict=False) for text in networks)

    def allow(self, address: str) -> bool:
        if not self._networks:
            return True
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks if network.version == ip.version)

    def __bool__(self) -> bool:
        return bool(self._networks)
