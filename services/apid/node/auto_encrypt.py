"""A client agent's certificate, from the servers' Connect authority (Consul 1.7: auto_encrypt.go).

The first one is asked for over a connection that shows no certificate. Later ones come over connections that show the
one before: at a random moment between six and nine tenths of its life, and soon after another root became active. An
agent that was cut off until its certificate expired begins anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from apid.core.encoding import to_json
from apid.core.errors import HttpError
from apid.core.message import Request, Response
from apid.node.batching import StreamDown
from apid.node.encryption import Encryption
from apid.node.forwarding import Forwarder
from apid.node.gossip import Gossip
from apid.node.leaves import FIRST_SIGN_PATH, HARD_EXPIRY, ROOT_CHANGE_SPREAD_S, ROOTS_PATH, SIGN_PATH, SOFT_EXPIRY
from apid.node.server_link import ServerLink
from apid.node.servers import api_address
from lictor.config.runtime import RuntimeConfig
from lictor.connect.spiffe import AgentIdentity
from lictor.pb.lictor.v1 import forward_pb2
from lictor.tls.grant import Grant
from lictor.tls.material import TlsError

UNKNOWN_TRUST_DOMAIN = "dummy.trustdomain"
OWN_DNS_NAMES = ("localhost",)
OWN_ADDRESSES = ("127.0.0.1", "::1")
RETRY_SPREAD_S = 30.0
RETRY_MAX_S = 300.0
CALL_TIMEOUT_S = 30.0
ROOTS_WAIT_S = 60
AFTER_FAILURE_S = 10.0
EXPIRED_GRACE_S = 10.0
LOOK_INTERVAL_S = 0.1
PROVIDER = "provider="

log = logging.getLogger("agent.client")


class AutoEncrypt:
    """Gets the certificate, and keeps it fresh."""

    def __init__(
        self,
        config: RuntimeConfig,
        encryption: Encryption,
        gossip: Gossip,
        forwarder: Forwarder,
        token: Callable[[], str],
        on_new: Callable[[], None],
    ) -> None:
        """`token`: what the agent shows when it asks. `on_new` is called whenever there is another certificate."""
        self._config = config
        self._encryption = encryption
        self._gossip = gossip
        self._forwarder = forwarder
        self._token = token
        self._on_new = on_new
        self._random = random.Random()
        self._task: asyncio.Task[None] | None = None

    async def obtain(self) -> None:
        """Returns when there is a certificate that is good: that of the process before, or a new one."""
        grant = self._encryption.grant_file.latest()
        if grant is None or grant.not_after_s <= time.time():
            await self._begin()
            log.info("automatically upgraded to TLS")

    async def wait(self) -> None:
        """For further processes of the agent: returns when the first has got it."""
        while self._encryption.grant_file.latest() is None:  # noqa: ASYNC110 - another process writes the file
            await asyncio.sleep(LOOK_INTERVAL_S)

    def start(self) -> None:
        """Renews from now on."""
        self._task = asyncio.get_running_loop().create_task(self._renew())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # --- the first certificate --------------------------------------------------------------------------------

    async def _begin(self) -> None:
        attempts = 0
        while True:
            known = self._shown()
            for address in self._addresses():
                try:
                    self._take(await self._ask_first(address))
                    return
                except (StreamDown, HttpError, TimeoutError, TlsError, KeyError, TypeError, ValueError) as error:
                    log.warning('AutoEncrypt failed: error="%s"', str(error) or "i/o timeout")
            attempts += 1
            pause_s = min(self._random.uniform(0, RETRY_SPREAD_S) * (attempts + 1), RETRY_MAX_S)
            log.warning("retrying AutoEncrypt: retry_interval=%.3fs", pause_s)
            await self._pause(pause_s, known)

    def _shown(self) -> set[str]:
        """The names of the servers that gossip shows."""
        return {member.name for member in self._gossip.lan.alive_servers(self._config.datacenter)}

    async def _pause(self, limit_s: float, known: set[str]) -> None:
        """Until the time is over, or gossip shows a server that was not known."""
        shown = asyncio.Event()

        def look() -> None:
            if self._shown() - known:
                shown.set()

        look()
        self._gossip.lan.listeners.append(look)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await shown.wait()
        finally:
            self._gossip.lan.listeners.remove(look)

    def _addresses(self) -> list[str]:
        """Servers that gossip shows, else whom the agent is to join."""
        shown = [api_address(member) for member in self._gossip.lan.alive_servers(self._config.datacenter)]
        if shown:
            self._random.shuffle(shown)
            return shown
        join = self._config.join_lan
        hosts = [_host(text) for text in (*join.start_join, *join.retry_join) if not text.startswith(PROVIDER)]
        return [f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}" for host in hosts]

    @property
    def _port(self) -> int:
        return self._config.ports.api

    async def _ask_first(self, address: str) -> Response:
        """Errors: StreamDown, HttpError, TimeoutError."""
        dialer = self._encryption.first_dialer
        link = ServerLink(address, dialer.target(address, self._config.datacenter))
        try:
            self._key, body = await asyncio.to_thread(self._request, UNKNOWN_TRUST_DOMAIN)
            await link.ready()
            message = forward_pb2.HttpRequest(method="POST", path=FIRST_SIGN_PATH, body=body, hops=1)
            if token := self._token():
                message.headers.append(forward_pb2.Header(name="x-consul-token", value=token))
            answer = await link.ask_alone(message, CALL_TIMEOUT_S)
        except StreamDown as down:
            reason = dialer.failure(address) or str(down)
            raise HttpError(f"rpcinsecure error establishing connection: {reason}") from None
        finally:
            await link.close()
            dialer.forget(address)
        if answer.status != 200:
            raise HttpError(f"rpcinsecure error making call: {answer.body.decode('utf-8', 'replace')}")
        return Response(answer.status, answer.body)

    def _request(self, trust_domain: str) -> tuple[str, bytes]:
        """A new key, and the request to sign it."""
        from lictor.connect.certificates import new_private_key, new_signing_request

        config = self._config
        settings = config.connect.ca_config
        kind, bits = settings.get("private_key_type") or "ec", int(settings.get("private_key_bits") or 256)
        key = new_private_key(str(kind), bits)
        identity = AgentIdentity(trust_domain, config.datacenter, config.node_name)
        names = (*OWN_DNS_NAMES, *config.connect.auto_encrypt_dns_san)
        addresses = (*OWN_ADDRESSES, *config.connect.auto_encrypt_ip_san)
        csr = new_signing_request(key, identity, dict.fromkeys(names), dict.fromkeys(addresses))
        return key, to_json({"CSR": csr})

    def _take(self, answer: Response) -> None:
        fields = json.loads(answer.body)
        roots = fields["ConnectCARoots"]
        self._store(
            fields["IssuedCert"],
            roots,
            manual=list(fields["ManualCARoots"]),
            verify_server_hostname=bool(fields["VerifyServerHostname"]),
        )

    def _store(
        self, issued: dict[str, Any], roots: dict[str, Any], manual: list[str], verify_server_hostname: bool
    ) -> None:
        self._encryption.grant_file.store(
            Grant(
                certificate=issued["CertPEM"],
                private_key=self._key,
                manual_authorities=manual,
                connect_authorities=_pems(roots),
                verify_server_hostname=verify_server_hostname,
                root_id=roots["ActiveRootID"],
                trust_domain=roots["TrustDomain"],
                not_before_s=datetime.fromisoformat(issued["ValidAfter"]).timestamp(),
                not_after_s=datetime.fromisoformat(issued["ValidBefore"]).timestamp(),
            )
        )
        self._on_new()

    # --- the further ones -------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        due_s, of = 0.0, 0.0
        index = 0
        while True:
            grant = self._encryption.grant_file.latest()
            if grant is None or grant.not_after_s + EXPIRED_GRACE_S < time.time():
                log.debug("client certificate expired.")
                await self._begin()
                continue
            if grant.not_after_s != of:
                of = grant.not_after_s
                life_s = grant.not_after_s - grant.not_before_s
                due_s = grant.not_before_s + life_s * self._random.uniform(SOFT_EXPIRY, HARD_EXPIRY)
            try:
                wait_s = max(0.0, min(due_s - time.time(), ROOTS_WAIT_S))
                roots, index = await self._roots(index, wait_s)
                if _pems(roots) != grant.connect_authorities:
                    grant = _with_roots(grant, roots)
                    self._encryption.grant_file.store(grant)
                    self._on_new()
                if roots["ActiveRootID"] != grant.root_id:
                    due_s = min(due_s, time.time() + self._random.uniform(0, ROOT_CHANGE_SPREAD_S))
                if time.time() >= due_s:
                    await self._next(grant, roots)
            except (HttpError, KeyError, ValueError, TlsError) as error:
                log.warning("cannot renew the client certificate yet: error=%s", error)
                index = 0
                await asyncio.sleep(AFTER_FAILURE_S)

    async def _next(self, grant: Grant, roots: dict[str, Any]) -> None:
        self._key, body = await asyncio.to_thread(self._request, roots["TrustDomain"])
        issued = json.loads((await self._ask("POST", SIGN_PATH, b"", body)).body)
        self._store(issued, roots, grant.manual_authorities, grant.verify_server_hostname)
        log.debug("client certificate renewed")

    async def _roots(self, index: int, wait_s: float) -> tuple[dict[str, Any], int]:
        """The roots, after a change or the time when an index is given."""
        query = f"index={index}&wait={int(wait_s * 1000) + 1}ms".encode() if index else b""
        answer = await self._ask("GET", ROOTS_PATH, query, b"")
        fields: dict[str, Any] = json.loads(answer.body)
        return fields, int(answer.header(b"x-consul-index") or b"0")

    async def _ask(self, method: str, path: str, query: bytes, body: bytes) -> Response:
        """A server's answer. Errors: HttpError."""
        headers = [(b"x-consul-token", token.encode())] if (token := self._token()) else []
        target = path.encode() + (b"?" + query if query else b"")
        message = Request(method, path, query, headers, body, "", target, 0)
        message.internal = True
        response = await self._forwarder.send(message, own=True)
        if response.status != 200:
            raise HttpError(response.body.decode("utf-8", "replace"), response.status)
        return response


def _pems(roots: dict[str, Any]) -> list[str]:
    return [root["RootCert"] for root in roots["Roots"]]


def _with_roots(grant: Grant, roots: dict[str, Any]) -> Grant:
    from msgspec.structs import replace

    return replace(grant, connect_authorities=_pems(roots))


def _host(text: str) -> str:
    """The host of a join address, whose port is gossip's."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
