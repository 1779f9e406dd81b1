"""Which runner a definition needs, and the contexts that runners share."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from checkd.core.definitions import CheckDefinition
from checkd.core.status import CRITICAL
from checkd.runners.docker import run_docker
from checkd.runners.grpc_health import GrpcHealth
from checkd.runners.h2ping import run_h2ping
from checkd.runners.http import run_http
from checkd.runners.os_service import run_os_service
from checkd.runners.result import Result, Run
from checkd.runners.script import run_script
from checkd.runners.tcp import run_tcp
from checkd.runners.udp import run_udp
from lictor.config.runtime import TlsConfig


class AgentTls(NamedTuple):
    """The agent's own certificates, used for checks where that is configured."""

    ca_file: str = ""
    ca_path: str = ""
    cert_file: str = ""
    key_file: str = ""


def agent_tls(enabled: bool, tls: TlsConfig) -> AgentTls:
    """What checks use: nothing of the agent's unless enabled."""
    return AgentTls(tls.ca_file, tls.ca_path, tls.cert_file, tls.key_file) if enabled else AgentTls()


class RunnerPool:
    """Runs any check; keeps TLS contexts, which are expensive to make."""

    def __init__(self, tls: AgentTls) -> None:
        self._tls = tls
        self._contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}
        self._grpc = GrpcHealth(tls.ca_file, tls.cert_file, tls.key_file)

    async def run(self, run: Run) -> Result:
        """The result of one run; an unexpected error is a critical result, too, and says so."""
        definition = run.definition
        if definition.http:
            return await run_http(run, self.context)
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
            return await run_h2ping(run, self.h2_context)
        if definition.os_service:
            return await run_os_service(run)
        return Result(CRITICAL, "the check has nothing to run")

    def context(self, skip_verify: bool) -> ssl.SSLContext:
        """The client context for HTTP."""
        return self._context(skip_verify, False)

    def h2_context(self, skip_verify: bool) -> ssl.SSLContext:
        """The client context for HTTP/2, which is agreed on in the handshake."""
        return self._context(skip_verify, True)

    def _context(self, skip_verify: bool, h2: bool) -> ssl.SSLContext:
        key = (skip_verify, h2)
        if key not in self._contexts:
            self._contexts[key] = self._make_context(skip_verify, h2)
        return self._contexts[key]

    def _make_context(self, skip_verify: bool, h2: bool) -> ssl.SSLContext:
        tls = self._tls
        context = ssl.create_default_context(cafile=tls.ca_file or None, capath=tls.ca_path or None)
        if skip_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert_file and tls.key_file:
            context.load_cert_chain(tls.cert_file, tls.key_file)
        if h2:
            context.set_alpn_protocols(["h2"])
        return context

    async def forget(self, definition: CheckDefinition) -> None:
        """Give up what is kept for a check that is gone."""
        if definition.grpc:
            await self._grpc.forget(definition.grpc)

    async def close(self) -> None:
        """Close what is open."""
        await self._grpc.close()
