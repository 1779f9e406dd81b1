"""TLS of the server port (8300) and of the way to other servers' (Consul 1.7: verify_incoming_rpc, verify_outgoing).

The port is for servers alone. So where names are verified (`verify_server_hostname`), who comes in must have a server's
certificate, too: no client's certificate, and none that auto_encrypt gave, lets anybody take part in consensus.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lictor.config.runtime import RuntimeConfig
from lictor.tls.configurator import Configurator
from lictor.tls.dialer import Dialer
from lictor.tls.listener import GuardedPort, name_fault
from lictor.tls.sockets import PrivateSockets


class SecurePorts:
    """Made only where TLS is configured. Errors: TlsError."""

    def __init__(self, config: RuntimeConfig, speaks_tls: Callable[[str], bool]) -> None:
        """`speaks_tls`: whether the server at an address says so in gossip."""
        self._datacenter = config.datacenter
        self._configurator = Configurator(config)
        self._sockets = PrivateSockets(config.data_dir, "raftd")
        self.dialer = Dialer(self._configurator, self._sockets, speaks_tls)
        self.inside = self._sockets.new_path()
        """Where the gRPC server listens instead of on the port."""
        self._port = GuardedPort(
            self.inside,
            self._configurator.incoming_raft,
            lambda: not self._configurator.verify_incoming_rpc,
            config.limits.rpc_handshake_timeout_ns / 1e9,
            self._name_fault,
        )
        self._port.max_connections_per_client = config.limits.rpc_max_conns_per_client

    def listen(self, host: str, port: int) -> None:
        """Errors: OSError."""
        self._port.listen(host, port)

    def reload(self, config: RuntimeConfig) -> None:
        """For further connections. Errors: TlsError, nothing changed."""
        self._configurator.update(config)
        self._port.max_connections_per_client = config.limits.rpc_max_conns_per_client

    async def close(self) -> None:
        """Ends port and connections."""
        await self._port.close()
        await self.dialer.close()
        self._sockets.close()

    def _name_fault(self, certificate: Mapping[str, Any]) -> str:
        if not self._configurator.verify_server_hostname:
            return ""
        return name_fault(certificate, self._configurator.name_of(self._datacenter))
