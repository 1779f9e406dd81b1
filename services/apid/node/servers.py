"""Which server to ask: a shuffled list in which failed servers go to the end (Consul 1.7: agent/router)."""

from __future__ import annotations

import random
from collections.abc import Iterable

from lictor.pb.lictor.v1 import gossip_pb2

API_PORT_TAG = "lictor_api"
DEFAULT_API_PORT = 8303


def api_address(member: gossip_pb2.Member) -> str:
    """Where a server's apid answers forwarded requests."""
    port = member.tags.get(API_PORT_TAG) or str(DEFAULT_API_PORT)
    host = f"[{member.address}]" if ":" in member.address else member.address
    return f"{host}:{port}"


class ServerList:
    """Addresses in the order in which they are asked."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._addresses: list[str] = []

    def __len__(self) -> int:
        return len(self._addresses)

    def update(self, addresses: Iterable[str]) -> None:
        """Sets which servers there are: known ones keep their place, new ones come in anywhere."""
        wanted = set(addresses)
        self._addresses = [address for address in self._addresses if address in wanted]
        for address in sorted(wanted.difference(self._addresses)):
            self._addresses.insert(self._random.randint(0, len(self._addresses)), address)

    def in_order(self) -> tuple[str, ...]:
        return tuple(self._addresses)

    def failed(self, address: str) -> None:
        """Asks this one last from now on."""
        if address in self._addresses:
            self._addresses.remove(address)
            self._addresses.append(address)

    def shuffle(self) -> None:
        self._random.shuffle(self._addresses)
