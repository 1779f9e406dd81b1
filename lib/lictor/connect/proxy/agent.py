"""What a proxy asks its agent: identities, whom an upstream leads to, whether a caller may come in."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from lictor.connect.proxy.settings import QUERY, Upstream
from lictor.connect.spiffe import ServiceIdentity

RETRY_S = 1.0
MAX_RETRY_S = 30.0
Parameters = list[tuple[str, str]]


class AgentError(Exception):
    """The agent refused, or cannot be reached."""


class Asker(Protocol):
    """One connection to the agent; every call blocks. Raises AgentError."""

    def ask(self, method: str, path: str, parameters: Parameters, body: Any = None) -> tuple[dict[str, str], Any]: ...


@dataclass(frozen=True, slots=True)
class Target:
    """A proxy (or a service that speaks Connect itself) to connect to, and who must be there."""

    host: str
    port: int
    uri: str


class Agent:
    """Asks through connections that `connect` makes, one for each thread."""

    def __init__(self, connect: Callable[[], Asker], chooser: random.Random) -> None:
        self._connect = connect
        self._chooser = chooser
        self._stopped = threading.Event()

    def stop(self) -> None:
        """End following."""
        self._stopped.set()

    async def authorized(self, target: str, uri: str, serial: str) -> tuple[bool, str]:
        """Whether intentions let the caller in, and why. Raises AgentError."""
        question = {"Target": target, "ClientCertURI": uri, "ClientCertSerial": serial}
        _, answer = await self._once("POST", "/v1/agent/connect/authorize", [], question)
        return bool(answer["Authorized"]), str(answer.get("Reason", ""))

    async def resolve(self, upstream: Upstream, trust_domain: str) -> Target:
        """One of the upstream's healthy instances. Raises AgentError."""
        parameters = [("dc", upstream.datacenter)] if upstream.datacenter else []
        name = quote(upstream.name, safe="")
        if upstream.kind == QUERY:
            _, found = await self._once("GET", f"/v1/query/{name}/execute", [*parameters, ("connect", "true")])
            datacenter, instances = str(found["Datacenter"]), found["Nodes"] or []
        else:
            _, instances = await self._once("GET", f"/v1/health/connect/{name}", [*parameters, ("passing", "1")])
            datacenter = str(instances[0]["Node"]["Datacenter"]) if instances else ""
        if not instances:
            raise AgentError("no healthy instances found")
        chosen = self._chooser.choice(instances)
        service, node = chosen["Service"], chosen["Node"]
        proxied = (service.get("Proxy") or {}).get("DestinationServiceName") or service["Service"]
        identity = ServiceIdentity(trust_domain, "default", datacenter or str(node["Datacenter"]), str(proxied))
        return Target(str(service["Address"] or node["Address"]), int(service["Port"]), identity.uri)

    def follow(
        self, path: str, cursor: tuple[str, str], take: Callable[[Any], None], failed: Callable[[str], None]
    ) -> threading.Thread:
        """Call `take` in this loop with each new answer; `cursor` is the parameter that blocks and its header."""
        loop = asyncio.get_running_loop()
        parameter, header = cursor

        def run() -> None:
            asker, last, retry_s = self._connect(), "", RETRY_S
            while not self._stopped.is_set():
                try:
                    headers, answer = asker.ask("GET", path, [(parameter, last)] if last else [])
                except AgentError as error:
                    loop.call_soon_threadsafe(failed, str(error))
                    self._stopped.wait(retry_s)
                    asker, last, retry_s = self._connect(), "", min(retry_s * 2, MAX_RETRY_S)
                    continue
                retry_s = RETRY_S
                if headers.get(header, "") != last:
                    last = headers.get(header, "")
                    loop.call_soon_threadsafe(take, answer)

        thread = threading.Thread(target=run, name=f"follow {path}", daemon=True)
        thread.start()
        return thread

    async def _once(
        self, method: str, path: str, parameters: Parameters, body: Any = None
    ) -> tuple[dict[str, str], Any]:
        return await asyncio.to_thread(lambda: self._connect().ask(method, path, parameters, body))
