"""Which runner a definition needs, and the contexts that runners share."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from checkd.core.definitions import CheckDefinition
from checkd.core.status import CRITICAL
from checkd.runners.docker import run_docker
from checkd.runners.grpc_health import GrpcHealth
from checkd.runners.h2ping import run_h2ping
from checkd.runners.http import run_http
from checkd.runners.os_service import run_os_service
from checkd.runners.result import Outgoing, Result, Run
from checkd.runners.script import run_script
from checkd.runners.tcp import run_tcp
from checkd.runners.udp import run_udp

if TYPE_CHECKING:
    from lictor.tls.configurator import Configurator


class RunnerPool:
    """Runs any check; keeps TLS contexts, which are expensive to make."""

    def __init__(self, tls: Configurator | None = None) -> None:
        """`tls`: the agent's own, used for checks where that is configured."""
        self._tls = tls
        self._contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}
        self._grpc = GrpcHealth(tls)

    async def run(self, run: Run) -> Result:
        """The result of one run; an unexpected error is a critical result, too, and says so."""
        definition = run.definition
        if definition.http:
            return await run_http(run, self.tls)
        if definition.tcp:
            return await run_tcp(run)
        if definition.grpc:
            return await self._grpc.run(run)
        if definition.script_args and definition.docker_container_id:
            return await run_docker(run)
        if definition.script_args:
            return await run_script(run)
        if definition.udp:
            return await run_udp(run)
        if definition.h2ping:
            return await run_h2ping(run, self.h2_tls)
        if definition.os_service:
            return await run_os_service(run)
        return Result(CRITICAL, "the check has nothing to run")

    def tls(self, skip_verify: bool) -> Outgoing:
        """How to ask over HTTPS: the context, and the name to verify where it is not the address's."""
        return self._outgoing(skip_verify, h2=False)

    def h2_tls(self, skip_verify: bool) -> Outgoing:
        """The same for HTTP/2, which is agreed on in the handshake."""
        return self._outgoing(skip_verify, h2=True)

    def _outgoing(self, skip_verify: bool, h2: bool) -> Outgoing:
        protocols = ("h2",) if h2 else ()
        if self._tls is not None and self._tls.serves_checks:
            found = self._tls.outgoing_check(skip_verify, protocols)
            return found.context, found.server_name
        key = (skip_verify, h2)
        if key not in self._contexts:
            self._contexts[key] = _plain_context(skip_verify, protocols)
        return self._contexts[key], ""

    async def reload(self) -> None:
        """What is kept was made of certificates that may be others now."""
        await self._grpc.close()

    async def forget(self, definition: CheckDefinition) -> None:
        """Give up what is kept for a check that is gone."""
        if definition.grpc:
            await self._grpc.forget(definition.grpc)

    async def close(self) -> None:
        """Close what is open."""
        await self._grpc.close()


def _plain_context(skip_verify: bool, protocols: tuple[str, ...]) -> ssl.SSLContext:
    """The system's authorities, nothing of the agent's."""
    context = ssl.create_default_context()
    if skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
