"""TLS of this apid: the forward port (8303), the way to other servers, HTTPS and the public gRPC port.

Made only where TLS is configured. On servers the port takes certificates of the configured authorities and, with
`auto_encrypt.allow_tls`, those that Connect's roots vouch for; on client agents with `auto_encrypt.tls` the certificate
is what the servers gave (`lictor.tls.grant`).
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from apid.core.errors import NoLeader
from apid.node.state import StateReader
from lictor.config.runtime import RuntimeConfig
from lictor.state.queries import operator
from lictor.state.writer import read_index
from lictor.tls.configurator import Configurator, no_grant, no_roots
from lictor.tls.dialer import Dialer
from lictor.tls.grant import GrantFile
from lictor.tls.listener import INSECURE_TLS, GuardedPort
from lictor.tls.sockets import PrivateSockets
from lictor.tls.wanted import auto_encrypted

ROOTS_TABLE = "connect-ca-roots"


class ConnectRoots:
    """The roots of this server's state as PEM, read again when they have changed."""

    def __init__(self, state: StateReader) -> None:
        self._state = state
        self._index = -1
        self._pems: tuple[str, ...] = ()

    def latest(self) -> tuple[str, ...]:
        """Empty while there are none, or no state yet."""
        try:
            with self._state.read() as txn:
                index = read_index(txn, ROOTS_TABLE)
                if index != self._index:
                    self._pems = tuple(root.root_cert for root in operator.ca_roots(txn).value)
                    self._index = index
        except NoLeader:
            # A server that is just starting has no state yet; what is known stays good.
            pass
        return self._pems


class Encryption:
    """One apid's TLS. Errors: TlsError."""

    def __init__(self, config: RuntimeConfig, name: str, state: StateReader, speaks_tls: Callable[[str], bool]) -> None:
        """`name` of the process; `speaks_tls`: whether the server at an address says so in gossip."""
        self.grant_file = GrantFile(config.data_dir)
        from_servers = auto_encrypted(config)
        allowed = config.server_mode and config.connect.auto_encrypt_allow_tls
        self.configurator = Configurator(
            config,
            self.grant_file.latest if from_servers else no_grant,
            ConnectRoots(state).latest if allowed else no_roots,
        )
        self._sockets = PrivateSockets(config.data_dir, name)
        self.dialer = Dialer(self.configurator, self._sockets, speaks_tls)
        self.first_dialer = Dialer(self.configurator, self._sockets, speaks_tls, bytes((INSECURE_TLS,)))
        """For the call that has no certificate to show yet."""
        self._port: GuardedPort | None = None

    def new_place(self) -> str:
        """A Unix socket for a server that the forward port leads to."""
        return self._sockets.new_path()

    def listen(self, config: RuntimeConfig, inside: str, inside_insecure: str, port: int) -> int:
        """Opens the forward port; the port that it became. Errors: OSError."""
        configurator = self.configurator
        guard = GuardedPort(
            inside,
            configurator.incoming_rpc,
            lambda: not configurator.verify_incoming_rpc,
            config.limits.rpc_handshake_timeout_ns / 1e9,
        )
        guard.max_connections_per_client = config.limits.rpc_max_conns_per_client
        guard.serve_insecure(inside_insecure, configurator.incoming_insecure)
        opened = guard.listen(config.bind_addr, port)
        self._port = guard
        return opened

    def https(self) -> ssl.SSLContext:
        """The context of the HTTPS listener as configured now."""
        return self.configurator.incoming_https()

    def reload(self, config: RuntimeConfig) -> None:
        """Takes settings and files anew for further connections. Errors: TlsError, nothing changed."""
        self.configurator.update(config)
        if self._port is not None:
            self._port.max_connections_per_client = config.limits.rpc_max_conns_per_client

    async def close(self) -> None:
        """Ends port and connections."""
        if self._port is not None:
            await self._port.close()
        await self.dialer.close()
        await self.first_dialer.close()
        self._sockets.close()
