"""The agent's TLS settings as contexts, one for each kind of connection (Consul 1.7: tlsutil, Configurator).

Contexts are made when they are first wanted and again after anything they were made of has changed, so whoever asks for
each new connection is always up to date, and connections that are open stay as they are.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from lictor.config.runtime import RuntimeConfig
from lictor.tls.grant import Grant
from lictor.tls.material import (
    Authorities,
    KeyPair,
    TlsError,
    load_key_pair,
    parse_authorities,
    parse_key_pair,
    read_authorities,
    read_key_pair,
)
from lictor.tls.suites import VERSIONS, apply_suites, missing_suites
from lictor.tls.validity import MalformedCertificate, not_after
from lictor.tls.wanted import auto_encrypted

AUTO_ENCRYPT_HINT = (
    " AutoEncrypt only secures the connection between client and server and doesn't affect incoming connections on the"
    " client."
)
EXPIRES_SOON_S = 7 * 24 * 3600

log = logging.getLogger("agent.tlsutil")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """How to dial: the context, and the name that the certificate must have ("": any)."""

    context: ssl.SSLContext
    server_name: str


@dataclass(frozen=True, slots=True)
class _Trusted:
    """What connections are made of besides the configuration."""

    authorities: Authorities
    grant: Grant | None


def no_grant() -> Grant | None:
    return None


def no_roots() -> tuple[str, ...]:
    return ()


class Configurator:
    """Holds what was read last. Wrong settings raise TlsError and change nothing."""

    def __init__(
        self,
        config: RuntimeConfig,
        grant: Callable[[], Grant | None] = no_grant,
        connect_roots: Callable[[], tuple[str, ...]] = no_roots,
    ) -> None:
        """`grant`: what auto_encrypt got, on client agents. `connect_roots`: the roots (PEM) whose certificates
        a server takes from such clients. Errors: TlsError."""
        self._grant = grant
        self._connect_roots = connect_roots
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._made_of: tuple[tuple[str, ...], Grant | None] | None = None
        self._joined = Authorities()
        self._granted: KeyPair | None = None
        self.update(config)

    def update(self, config: RuntimeConfig) -> None:
        """Takes over the settings, and reads the files anew. Errors: TlsError, nothing changed."""
        authorities, pair = checked(config)
        tls = self._tls = config.tls
        self._domain = config.dns.domain.rstrip(".")
        self._server_name = tls.server_name or config.node_name
        self._agent_checks = config.checks_config.enable_agent_tls
        self._auto_encrypt = auto_encrypted(config)
        self._pair, self._authorities = pair, authorities
        self._contexts.clear()
        self._made_of = None

    # --- what is configured -----------------------------------------------------------------------------------

    @property
    def verify_incoming_rpc(self) -> bool:
        """Whether the ports between agents take only clients with a certificate."""
        return self._tls.verify_incoming or self._tls.verify_incoming_rpc

    @property
    def verify_incoming_https(self) -> bool:
        return self._tls.verify_incoming or self._tls.verify_incoming_https

    @property
    def verify_server_hostname(self) -> bool:
        """The own setting, or that of the servers that gave the certificate."""
        grant = self._grant()
        return self._tls.verify_server_hostname or (grant is not None and grant.verify_server_hostname)

    @property
    def verify_outgoing(self) -> bool:
        if self._auto_encrypt and self._trusted().authorities:
            return True
        return self._tls.verify_outgoing

    @property
    def serves_checks(self) -> bool:
        """Whether checks use the agent's certificate, authorities and name."""
        return self._agent_checks

    @property
    def check_name(self) -> str:
        """The name in the certificates of what is checked."""
        return self._server_name

    def client_pair(self) -> KeyPair | None:
        """What this agent shows when it dials: the granted certificate, else the configured one."""
        self._trusted()
        return self._granted or self._pair

    @property
    def manual_authorities(self) -> tuple[str, ...]:
        """The texts of `ca_file` or `ca_path`."""
        return self._authorities.texts

    @property
    def dials_tls(self) -> bool:
        """Whether outgoing connections can be TLS at all; then they are, to every server that says it speaks it."""
        return self._auto_encrypt or self._tls.verify_outgoing or bool(self._trusted().authorities)

    @property
    def awaits_certificate(self) -> bool:
        """Whether the servers have not given a certificate yet, so that they would not listen to this agent."""
        return self._auto_encrypt and self._grant() is None

    @property
    def forces_tls(self) -> bool:
        """Whether all outgoing connections are TLS, whatever a server says of itself."""
        return self._tls.verify_outgoing or self._auto_encrypt

    def server_pair(self) -> KeyPair | None:
        """What servers of this agent show: the configured certificate, else the granted one."""
        self._trusted()
        return self._pair or self._granted

    def authorities(self) -> Authorities:
        return self._trusted().authorities

    def name_of(self, datacenter: str) -> str:
        """The name in a server's certificate."""
        return f"server.{datacenter}.{self._domain}"

    # --- contexts ---------------------------------------------------------------------------------------------

    def incoming_rpc(self) -> ssl.SSLContext:
        """For the forward port."""
        return self._incoming("rpc", self.verify_incoming_rpc)

    def incoming_raft(self) -> ssl.SSLContext:
        """For the servers' own port: only the configured authorities vouch for servers, never Connect's roots."""
        return self._kept("raft", lambda: self._listening(self.verify_incoming_rpc, self._authorities))

    def incoming_insecure(self) -> ssl.SSLContext:
        """For clients that have no certificate yet."""
        return self._incoming("insecure", False)

    def incoming_https(self) -> ssl.SSLContext:
        return self._incoming("https", self.verify_incoming_https, ("http/1.1",))

    def outgoing_rpc(self, datacenter: str) -> Outgoing:
        """For connections to servers of a datacenter; only while `dials_tls`."""
        by_name = self.verify_server_hostname
        verified = by_name or self.verify_outgoing
        context = self._kept(f"outgoing {by_name} {verified}", lambda: self._dialing(by_name, verified))
        return Outgoing(context, self.name_of(datacenter) if by_name else "")

    def outgoing_check(self, skip_verify: bool, protocols: tuple[str, ...] = ()) -> Outgoing:
        """For health checks; only while `serves_checks`."""
        assert self._agent_checks, "checks that use nothing of the agent's come with contexts of their own"

        def make() -> ssl.SSLContext:
            context = self._dialing(by_name=not skip_verify, verified=not skip_verify)
            if not self._trusted().authorities:
                context.load_default_certs()
            if protocols:
                context.set_alpn_protocols(list(protocols))
            return context

        kind = f"check {skip_verify} {','.join(protocols)}"
        return Outgoing(self._kept(kind, make), self._server_name)

    def _incoming(self, kind: str, verified: bool, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
        return self._kept(kind, lambda: self._listening(verified, self._trusted().authorities, protocols))

    def _kept(self, kind: str, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        self._trusted()
        context = self._contexts.get(kind)
        if context is None:
            context = self._contexts[kind] = make()
        return context

    def _trusted(self) -> _Trusted:
        """What is trusted now; contexts made of anything else are dropped."""
        grant, roots = self._grant(), self._connect_roots()
        if self._made_of is None or self._made_of != (roots, grant):
            joined, granted = self._authorities, None
            texts = list(roots)
            if grant is not None:
                texts += [*grant.manual_authorities, *grant.connect_authorities]
                granted = parse_key_pair(grant.certificate, grant.private_key)
            joined += parse_authorities(texts)
            self._joined, self._granted, self._made_of = joined, granted, (roots, grant)
            self._contexts.clear()
        return _Trusted(self._joined, grant)

    def _listening(self, verified: bool, authorities: Authorities, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        apply_suites(context, self._tls)
        pair = self._pair or self._granted
        # Without a certificate no handshake succeeds, which is all that Consul says about it, too.
        if pair is not None:
            load_key_pair(context, pair)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        _trust(context, authorities)
        context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
        return context

    def _dialing(self, by_name: bool, verified: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        apply_suites(context, self._tls)
        pair = self._granted or self._pair
        if pair is not None:
            load_key_pair(context, pair)
        _trust(context, self._trusted().authorities)
        context.check_hostname = by_name
        context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
        return context


def _trust(context: ssl.SSLContext, authorities: Authorities) -> None:
    # A certificate in the list is trusted whoever signed it, as in Go.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authorities:
        context.load_verify_locations(cadata=authorities.pem)


def checked(config: RuntimeConfig) -> tuple[Authorities, KeyPair | None]:
    """What the configured files hold. Errors: TlsError for those, and for settings that cannot work together."""
    pair = read_key_pair(config.tls.cert_file, config.tls.key_file)
    authorities = read_authorities(config.tls.ca_file, config.tls.ca_path)
    _check(config, authorities, pair)
    return authorities, pair


def warn(config: RuntimeConfig) -> None:
    """Logs what works badly, or not for long any more. Errors: TlsError."""
    if missing := missing_suites(config.tls):
        log.warning("cipher suites that this system does not have are left out: suites=%s", ",".join(missing))
    _, pair = checked(config)
    if pair is None:
        return
    try:
        expires = not_after(pair.certificate)
    except MalformedCertificate:
        return
    left_s = expires.timestamp() - time.time()
    if left_s < 0:
        log.error("certificate has expired: file=%s expired=%s", config.tls.cert_file, expires.isoformat())
    elif left_s < EXPIRES_SOON_S:
        log.warning("certificate expires soon: file=%s expires=%s", config.tls.cert_file, expires.isoformat())


def _check(config: RuntimeConfig, authorities: Authorities, pair: KeyPair | None) -> None:
    tls = config.tls
    if tls.min_version and tls.min_version not in VERSIONS:
        raise TlsError(
            f"TLSMinVersion: value {tls.min_version} not supported, please specify one of [{', '.join(VERSIONS)}]"
        )
    if tls.cipher_suites and len(missing_suites(tls)) == len(tls.cipher_suites):
        raise TlsError(f"this system has none of tls_cipher_suites: {','.join(tls.cipher_suites)}")
    if tls.verify_outgoing and not authorities:
        raise TlsError("VerifyOutgoing set, and no CA certificate provided!")
    if not (tls.verify_incoming or tls.verify_incoming_rpc or tls.verify_incoming_https):
        return
    hint = AUTO_ENCRYPT_HINT if config.connect.auto_encrypt_tls else ""
    if not authorities:
        raise TlsError(f"VerifyIncoming set, and no CA certificate provided!{hint}")
    if pair is None:
        raise TlsError(f"VerifyIncoming set, and no Cert/Key pair provided!{hint}")
