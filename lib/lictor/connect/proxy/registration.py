"""`-register`: the proxy as a service of its own at the agent, with a TTL check that it keeps passing."""

from __future__ import annotations

import asyncio
import logging

from lictor import logs
from lictor.connect.proxy.agent import AgentError, Asker

RECONCILE_S = 30.0
TTL_S = 30
HEARTBEAT_S = TTL_S / 3

log = logging.getLogger("proxy")


class Registration:
    """Registers `<service>-proxy[-<suffix>]` at the given address, again when it has gone."""

    def __init__(self, asker: Asker, service: str, suffix: str, host: str, port: int) -> None:
        self._asker = asker
        self._service = service
        self.service_id = f"{service}-proxy" + (f"-{suffix}" if suffix else "")
        self._check_id = f"{self.service_id}-ttl"
        self._host, self._port = host, port

    async def run(self) -> None:
        """Until cancelled; the service is removed then."""
        loop = asyncio.get_running_loop()
        reconcile_at_s = loop.time()
        try:
            while True:
                if loop.time() >= reconcile_at_s:
                    reconcile_at_s = loop.time() + RECONCILE_S
                    await asyncio.to_thread(self._register)
                await asyncio.sleep(HEARTBEAT_S)
                await asyncio.to_thread(self._heartbeat)
        finally:
            log.info("stop request received, deregistering")
            self._deregister_once()

    def _register(self) -> None:
        try:
            _, services = self._asker.ask("GET", "/v1/agent/services", [])
            known = services.get(self.service_id)
            if known is not None and (known["Address"], known["Port"]) == (self._host, self._port):
                log.debug("service already registered, not re-registering")
                return
            self._asker.ask("PUT", "/v1/agent/service/register", [], self._definition())
        except AgentError as error:
            log.warning("Failed to register Consul service", extra=logs.fields(error=error))
            return
        log.info("registered Consul service", extra=logs.fields(service=self.service_id))

    def _definition(self) -> dict[str, object]:
        check = {
            "CheckID": self._check_id,
            "Name": "proxy heartbeat",
            "TTL": f"{TTL_S}s",
            "Notes": "Built-in proxy will heartbeat this check.",
            "Status": "passing",
        }
        return {
            "Kind": "connect-proxy",
            "ID": self.service_id,
            "Name": f"{self._service}-proxy",
            "Address": self._host,
            "Port": self._port,
            "Proxy": {"DestinationServiceName": self._service},
            "Check": check,
        }

    def _heartbeat(self) -> None:
        try:
            self._asker.ask("PUT", f"/v1/agent/check/pass/{self._check_id}", [])
        except AgentError as error:
            if "does not have associated" not in str(error):
                log.warning("heartbeat failed", extra=logs.fields(error=error))

    def _deregister_once(self) -> None:
        try:
            self._asker.ask("PUT", f"/v1/agent/service/deregister/{self.service_id}", [])
        except AgentError as error:
            log.warning("service deregister failed", extra=logs.fields(error=error))
