"""The apid process: builds the parts, opens the listeners, runs until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import msgspec

from apid.core.dispatcher import Dispatcher
from apid.endpoints.table import all_routes
from apid.node.access import Access
from apid.node.agent_tokens import AgentTokens
from apid.node.consensus import Consensus
from apid.node.context import Node
from apid.node.distances import Distances
from apid.node.events import Events
from apid.node.forwarding import Forwarder
from apid.node.gossip import Gossip
from apid.node.local import LocalAgent
from apid.node.meters import Meters
from apid.node.metrics import AgentMetrics
from apid.node.reading import Reads
from apid.node.servers import API_PORT_TAG
from apid.node.state import Changes, StateReader
from apid.rpc import FULL_NAME, ForwardServicer, add_forward
from apid.web.documentation import Documentation
from apid.web.listeners import UNIX_PREFIX, ListenError, open_sockets
from apid.web.server import HttpServer
from lictor import telemetry
from lictor.config.runtime import DISABLED_PORT, AclTokens, RuntimeConfig, config_path, with_tokens
from lictor.rpc import SERVER_OPTIONS, DaemonServer
from lictor.telemetry.serving import DaemonMetrics
from lictor.tls.wanted import auto_encrypted, wants_tls

if TYPE_CHECKING:
    from apid.node.auto_encrypt import AutoEncrypt
    from apid.public.server import PublicServer
    from apid.public.tls import Certificates
    from lictor.agent.link import SupervisorLink

log = logging.getLogger("agent")

EXIT_OK = 0
EXIT_CANNOT_LISTEN = 1
STOP_GRACE_S = 0.2


def process_name(worker: int) -> str:
    """What one of apid's processes is called: the first is the daemon proper."""
    return "apid" if worker == 1 else f"apid-{worker}"


def build_node(config: RuntimeConfig, link: SupervisorLink | None, worker: int = 1) -> Node:
    """The surroundings of the endpoints; nothing is started yet."""
    others = [process_name(number) for number in range(1, config.http.workers + 1) if number != worker]
    state = StateReader(config.data_dir)
    changes = Changes(config.data_dir, state)
    consensus = Consensus(config.data_dir, config.performance.rpc_hold_timeout_ns)
    gossip = Gossip(config.data_dir, with_wan=config.server_mode)
    local = LocalAgent(config.data_dir)
    tokens = AgentTokens(config.acl.tokens)
    forwarder = Forwarder(config, gossip, tokens)
    access = Access(config, tokens, state, changes, consensus, forwarder) if config.acl.enabled else None
    return Node(
        config=config,
        state=state,
        changes=changes,
        consensus=consensus,
        reads=Reads(config, state, changes, consensus, access),
        gossip=gossip,
        local=local,
        forwarder=forwarder,
        distances=Distances(gossip, config.datacenter),
        events=Events(config.data_dir, config.node_name, local),
        metrics=AgentMetrics(config.data_dir, config.server_mode, config.node_name, others),
        link=link if link is not None and link.supervised else None,
        tokens=tokens,
        access=access,
    )


def build_dispatcher(node: Node) -> Dispatcher:
    """Every route of the API under the node's HTTP settings."""
    http = node.config.http
    dispatcher: Dispatcher
    documentation = Documentation(lambda: dispatcher)
    routes = [*all_routes(node), *documentation.routes()]
    dispatcher = Dispatcher(
        routes,
        response_headers=http.response_headers,
        block_endpoints=http.block_endpoints,
        allow_write_from=http.allow_write_http_from,
        pretty=http.pretty,
        filter_unprintable=not http.disable_unprintable_char_filter,
        translate_addresses=http.translate_wan_addrs,
        elsewhere=node.forwarder.elsewhere,
        calls=node.reads.calls,
        meters=Meters(telemetry.PROCESS, routes, node.config.node_name, node.config.server_mode),
    )
    return dispatcher


class Apid:
    """One running apid, or one of its workers: those serve HTTP beside the first, which does everything else."""

    def __init__(self, config: RuntimeConfig, link: SupervisorLink | None, worker: int = 1) -> None:
        self._first = worker == 1
        self._worker = worker
        self._config = config
        self._link = link
        self._stopping = asyncio.Event()
        self._node = build_node(config, link, worker)
        self._dispatcher = build_dispatcher(self._node)
        self._http = HttpServer(self._dispatcher, config.limits.http_max_conns_per_client, config.http.fast_lane)
        self._internal = DaemonServer(config.data_dir, process_name(worker), (FULL_NAME,) if self._first else ())
        self._metrics = DaemonMetrics("apid", self._internal, config)
        self._http.lane.connections.on_refused = telemetry.PROCESS.counter("http.refused_conn").increment
        telemetry.PROCESS.before_reading.append(self._http.lane.cache.tell)
        self._forward: grpc.aio.Server | None = None
        self._public: PublicServer | None = None
        self._public_tls: Certificates | None = None
        self._for_strangers: grpc.aio.Server | None = None
        """Behind the forward port for agents that have no certificate yet."""
        self._auto_encrypt: AutoEncrypt | None = None

    async def run(self) -> int:
        """Serves until a signal or the supervisor ends it; the process's exit code."""
        try:
            self._prepare_encryption()
            sockets = self._open_sockets()
            secure_sockets = self._open_secure_sockets()
        except ListenError as error:
            log.error("%s", error)
            return EXIT_CANNOT_LISTEN
        self._handle_signals()
        node = self._node
        # Who gets an answer may join this agent to others at once, and others to it.
        await node.gossip.started()
        if self._auto_encrypt is None:
            await self._listen_for_clients(sockets, secure_sockets)
        if self._link is not None:
            self._link.on_event("stop", lambda _: self._stopping.set())
            self._link.on_event("reload", lambda _: self._reload())
            self._link.on_event("tokens", lambda message: self._take_tokens(message["tokens"]))
            await self._link.start()
        if self._first:
            add_forward(ForwardServicer(self._dispatcher), self._internal.server)
        await self._internal.start()
        self._metrics.start()
        if self._config.server_mode:
            node.consensus.start()
            node.changes.start()
            if node.access is not None:
                node.access.start()
            node.distances.start()
            if self._first:
                port = await self._listen_for_peers()
                node.gossip.set_tags(**{API_PORT_TAG: str(port)})
        node.gossip.start()
        if self._auto_encrypt is not None:
            if not await self._certified(self._auto_encrypt):
                await self._stop()
                return EXIT_OK
            await self._listen_for_clients(sockets, secure_sockets)
        node.local.start()
        node.events.start()
        try:
            await self._listen_for_grpc()
        except ListenError as error:
            log.error("%s", error)
            await self._stop()
            return EXIT_CANNOT_LISTEN
        for listener in sockets if self._first else ():
            log.info("Started HTTP server: address=%s network=%s", *_described(listener))
        for listener in secure_sockets if self._first else ():
            log.info("Started HTTPS server: address=%s network=%s", *_described(listener))
        if self._link is not None:
            self._link.ready()
        await self._stopping.wait()
        await self._stop()
        return EXIT_OK

    def _open_sockets(self) -> list[socket.socket]:
        config = self._config
        if config.ports.http == DISABLED_PORT:
            return []
        return self._open(config.addresses.http, config.ports.http)

    def _open_secure_sockets(self) -> list[socket.socket]:
        config = self._config
        if config.ports.https == DISABLED_PORT:
            return []
        return self._open(config.addresses.https, config.ports.https)

    def _prepare_encryption(self) -> None:
        """Only agents whose configuration asks for TLS pay for it. Errors: ListenError."""
        config, node = self._config, self._node
        if not wants_tls(config) and config.ports.https == DISABLED_PORT:
            return
        from apid.node.encryption import Encryption
        from lictor.tls.material import TlsError

        name = "apid" if self._first else f"apid-{self._worker}"
        try:
            encryption = Encryption(config, name, node.state, node.forwarder.speaks_tls)
        except TlsError as error:
            raise ListenError(f'Error starting agent: error="{error}"') from None
        node.encryption = encryption
        if encryption.configurator.dials_tls or wants_tls(config):
            node.forwarder.dialer = encryption.dialer
        if auto_encrypted(config):
            from apid.node.auto_encrypt import AutoEncrypt

            self._auto_encrypt = AutoEncrypt(
                config,
                encryption,
                node.gossip,
                node.forwarder,
                lambda: node.tokens.agent,
                self._certificates_changed,
            )

    async def _certified(self, auto_encrypt: AutoEncrypt) -> bool:
        """Waits for the servers' certificate: before it nothing can be asked of them. False when told to stop."""
        obtaining = asyncio.ensure_future(auto_encrypt.obtain() if self._first else auto_encrypt.wait())
        stopping = asyncio.ensure_future(self._stopping.wait())
        await asyncio.wait((obtaining, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not obtaining.done():
            obtaining.cancel()
            return False
        obtaining.result()
        if self._first:
            auto_encrypt.start()
        return True

    async def _listen_for_clients(self, sockets: list[socket.socket], secure_sockets: list[socket.socket]) -> None:
        await self._http.listen(sockets)
        if secure_sockets and (encryption := self._node.encryption) is not None:
            handshake_timeout_s = self._config.limits.https_handshake_timeout_ns / 1e9
            await self._http.listen(secure_sockets, encryption.https, handshake_timeout_s)

    def _open(self, addresses: Iterable[str], port: int) -> list[socket.socket]:
        """A port is shared by all workers, a Unix socket has one owner."""
        if not self._first:
            addresses = [address for address in addresses if not address.startswith(UNIX_PREFIX)]
        return open_sockets(addresses, port, self._config.http)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        # Under a supervisor an interrupt reaches the whole process group, but when to stop is the supervisor's to say.
        ignore = self._link is not None and self._link.supervised
        loop.add_signal_handler(signal.SIGINT, (lambda: None) if ignore else self._stopping.set)

    async def _listen_for_peers(self) -> int:
        """Opens the forward port; the port that it became."""
        config = self._config
        host = f"[{config.bind_addr}]" if ":" in config.bind_addr else config.bind_addr
        server = self._forward = grpc.aio.server(options=SERVER_OPTIONS)
        add_forward(ForwardServicer(self._dispatcher, for_peers=True), server)
        open_port = self._open_forward_port if self._node.encryption is None else await self._behind_tls(server)
        port = open_port(config.ports.api)
        if not port:
            if config.ports.api_explicit:
                raise ListenError(f"Error starting agent: cannot listen on {host}:{config.ports.api} (ports.api)")
            port = open_port(0)
        await server.start()
        return port

    def _open_forward_port(self, port: int) -> int:
        """0 when it cannot be opened."""
        assert self._forward is not None
        host = self._config.bind_addr
        try:
            return self._forward.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        except RuntimeError:
            return 0

    async def _behind_tls(self, server: grpc.aio.Server) -> Callable[[int], int]:
        """Puts the server behind what ends TLS on the forward port; how to open that."""
        from apid.node.leaves import FIRST_SIGN_PATH

        encryption = self._node.encryption
        assert encryption is not None
        inside, inside_insecure = encryption.new_place(), encryption.new_place()
        server.add_insecure_port(f"unix:{inside}")
        strangers = self._for_strangers = grpc.aio.server(options=SERVER_OPTIONS)
        add_forward(ForwardServicer(self._dispatcher, only=FIRST_SIGN_PATH), strangers)
        strangers.add_insecure_port(f"unix:{inside_insecure}")
        await strangers.start()

        def open_port(port: int) -> int:
            try:
                return encryption.listen(self._config, inside, inside_insecure, port)
            except OSError:
                return 0

        return open_port

    async def _listen_for_grpc(self) -> None:
        """Opens the public gRPC port, when there is one. Errors: ListenError."""
        config = self._config
        if config.ports.grpc == DISABLED_PORT or not self._first:
            return
        # Only agents that have the port pay for its modules.
        from apid.public.server import PublicServer

        encryption = self._node.encryption
        if encryption is not None and (pair := encryption.configurator.server_pair()) is not None:
            from apid.public.tls import Certificates

            self._public_tls = Certificates(encryption.configurator, pair)
        self._public = PublicServer(self._dispatcher, self._public_tls.credentials if self._public_tls else None)
        await self._public.start(config.addresses.grpc, config.ports.grpc)
        for address in config.addresses.grpc:
            log.info("Started gRPC server: address=%s:%d network=tcp", address, config.ports.grpc)

    def _use(self, config: RuntimeConfig) -> None:
        self._config = config
        self._node.config = config
        self._node.reads.config = config
        self._node.tokens.set(config.acl.tokens)
        if self._node.access is not None:
            self._node.access.config = config
            self._node.access.look_again()

    def _take_tokens(self, tokens: Any) -> None:
        """The agent has other tokens of its own."""
        self._use(with_tokens(self._config, msgspec.convert(tokens, AclTokens)))

    def _reload(self) -> str:
        """Takes over what may change at run time; listeners and routes stay. Returns what went wrong, or nothing."""
        config = RuntimeConfig.load(config_path(self._config.data_dir))
        self._use(config)
        self._metrics.reconfigure(config.telemetry)
        self._http.lane.connections.maximum = config.limits.http_max_conns_per_client
        return self._reload_certificates(config)

    def _reload_certificates(self, config: RuntimeConfig) -> str:
        encryption = self._node.encryption
        if encryption is None:
            return ""
        from lictor.tls.material import TlsError

        try:
            encryption.reload(config)
        except TlsError as error:
            log.error("certificates stay as they were: error=%s", error)
            return f"Failed reloading tls configuration: {error}"
        self._certificates_changed()
        return ""

    def _certificates_changed(self) -> None:
        """gRPC is told; everything else asks for each connection anyway."""
        if self._public_tls is not None:
            self._public_tls.reload()

    async def _stop(self) -> None:
        node = self._node
        await self._http.stop()
        if self._public is not None:
            await self._public.stop(STOP_GRACE_S)
        if self._auto_encrypt is not None:
            await self._auto_encrypt.stop()
        for server in (self._forward, self._for_strangers):
            if server is not None:
                await server.stop(STOP_GRACE_S)
        await self._internal.stop(STOP_GRACE_S)
        if self._config.server_mode:
            await node.distances.stop()
            await node.changes.stop()
            await node.consensus.stop()
        await node.gossip.stop()
        await node.local.stop()
        await node.events.stop()
        if node.access is not None:
            await node.access.close()
        await node.forwarder.close()
        if node.encryption is not None:
            await node.encryption.close()
        await node.metrics.close()
        await self._metrics.stop()
        node.state.close()
        if self._link is not None:
            with contextlib.suppress(ConnectionError):
                await self._link.close()


def _described(listener: socket.socket) -> tuple[str, str]:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return str(name), "unix"
    host, port = name[0], name[1]
    return (f"[{host}]:{port}" if ":" in host else f"{host}:{port}"), "tcp"
