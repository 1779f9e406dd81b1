"""`consul connect proxy`: a service's side of Connect, for development: mutual TLS to and from other proxies."""

from __future__ import annotations

import json
import os
import random
from typing import TYPE_CHECKING, Any

from lictor.cli.call import ERROR, OK, Call
from lictor.cli.client import ApiError, Client, options
from lictor.config.goflags import FlagSet

if TYPE_CHECKING:
    from lictor.connect.proxy.agent import Agent, Asker
    from lictor.connect.proxy.settings import Settings

USAGE = """
Usage: consul connect proxy [options]

  Runs a proxy of a service until it is interrupted. It takes in connections of
  other proxies for the service, offers services of others on local ports, or
  both. What it is to do comes from its registration at the agent (-proxy-id,
  -sidecar-for) or from flags (-service).
"""
COMMON = "CS"
Parameters = list[tuple[str, str]]


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("proxy-id", "string", "The proxy's ID on the local agent.")
    flags.add("sidecar-for", "string", "ID of the local service instance whose registered sidecar this is.")
    flags.add("log-level", "string", "Least level of log lines shown.", "INFO")
    flags.add("log-json", "bool", "Print log lines as JSON.")
    flags.add("pprof-addr", "string", "Not available here: an address for Go's profiles.")
    flags.add("service", "string", "Name of the service this proxy is for.")
    flags.add("upstream", "strings", "Service to offer on a local port, as name:port. May be given several times.")
    flags.add("service-addr", "string", "Address of the local service, with -listen and -service.")
    flags.add("listen", "string", "Address for connections of other proxies, with -service and -service-addr.")
    flags.add("register", "bool", "Register the proxy at the local agent, with -listen.")
    flags.add("register-id", "string", "What the service ID ends in, to tell proxies apart.")


class Connection:
    """One connection to the agent, as the proxy's parts want it."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def ask(self, method: str, path: str, parameters: Parameters, body: Any = None) -> tuple[dict[str, str], Any]:
        """The headers and the decoded body. Raises AgentError."""
        from lictor.connect.proxy.agent import AgentError

        try:
            content = b"" if body is None else json.dumps(body).encode()
            if method == "GET":
                answer = self._client.get(path, parameters)
            elif method == "POST":
                answer = self._client.post_json(path, body, parameters)
            else:
                answer = self._client.put(path, parameters, content)
            return dict(answer.headers), answer.json() if answer.body else None
        except (ApiError, ValueError) as error:
            raise AgentError(str(error)) from None


def run(call: Call) -> int:
    """Serve until interrupted."""
    if call.arguments:
        return _refused("Should have no non-flag arguments.")
    import asyncio
    import logging

    from lictor import logs
    from lictor.agent import banner
    from lictor.config.runtime import LogConfig
    from lictor.connect.proxy.agent import Agent
    from lictor.connect.proxy.settings import SettingsError

    try:
        logs.setup(LogConfig(level=call.flag("log-level", "INFO"), json=call.flag("log-json", False)))
    except ValueError as error:
        return _refused(str(error))
    logging.getLogger("proxy").setLevel(logs.level_number(call.flag("log-level", "INFO")))

    def connect() -> Asker:
        return Connection(Client(options(call.flags)))

    banner.output("Consul Connect proxy starting...")
    proxy_id = call.flag("proxy-id") or os.environ.get("CONNECT_PROXY_ID", "")
    sidecar_for = call.flag("sidecar-for") or os.environ.get("CONNECT_SIDECAR_FOR", "")
    try:
        if proxy_id or sidecar_for:
            found = proxy_id or _sidecar_of(connect(), sidecar_for)
            banner.info("Configuration mode: Agent API")
            if not proxy_id:
                banner.info(f"    Sidecar for ID: {sidecar_for}")
            proxy_id = found
            banner.info(f"          Proxy ID: {proxy_id}")
            settings = None
        else:
            settings = _from_flags(call)
    except SettingsError as error:
        return _refused(f"Error preparing configuration: {error}")
    try:
        registration = _place_of_registration(call) if call.flag("register", False) else None
    except SettingsError as error:
        return _refused(f"Failed initializing registration: {error}")
    banner.info("")
    banner.output("Log data will now stream in as it occurs:\n")
    asyncio.run(_serve(call, Agent(connect, random.Random()), connect, settings, proxy_id, registration))
    banner.output("Consul Connect proxy shutdown")
    return OK


def _refused(text: str) -> int:
    from lictor.agent import banner

    banner.error(text)
    return ERROR


async def _serve(
    call: Call,
    agent: Agent,
    connect: Any,
    settings: Settings | None,
    proxy_id: str,
    registration: tuple[str, int] | None,
) -> None:
    import asyncio
    import logging
    import signal
    from urllib.parse import quote

    from lictor import logs
    from lictor.connect.proxy.registration import Registration
    from lictor.connect.proxy.serving import Proxy
    from lictor.connect.proxy.settings import SettingsError, of_registration

    log = logging.getLogger("proxy")
    proxy = Proxy(agent)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    def take(found: Any) -> None:
        try:
            proxy.take(of_registration(found))
        except (SettingsError, ValueError, TypeError) as error:
            log.error("Failed to use the proxy's registration", extra=logs.fields(error=error))

    def failed(error: str) -> None:
        log.error("Failed to read the proxy's registration", extra=logs.fields(error=error))

    if settings is not None:
        proxy.take(settings)
    else:
        path = f"/v1/agent/service/{quote(proxy_id, safe='')}"
        agent.follow(path, ("hash", "X-Consul-Contenthash"), take, failed)
    registered = None
    if registration is not None:
        own = Registration(connect(), call.flag("service"), call.flag("register-id"), *registration)
        registered = asyncio.get_running_loop().create_task(own.run())
    await stopping.wait()
    if registered is not None:
        registered.cancel()
        await asyncio.gather(registered, return_exceptions=True)
    await proxy.close()


def _sidecar_of(agent: Asker, service_id: str) -> str:
    """The one proxy that is registered for a local service instance. Raises SettingsError."""
    from lictor.connect.proxy.agent import AgentError
    from lictor.connect.proxy.settings import SettingsError

    try:
        _, services = agent.ask("GET", "/v1/agent/services", [])
    except AgentError as error:
        raise SettingsError(f"Failed looking up sidecar proxy info for {service_id}: {error}") from None
    found = [
        str(service["ID"])
        for service in services.values()
        if service.get("Kind") == "connect-proxy"
        and str((service.get("Proxy") or {}).get("DestinationServiceID", "")).lower() == service_id
    ]
    if not found:
        raise SettingsError(f"No sidecar proxy registered for {service_id}")
    if len(found) > 1:
        raise SettingsError(
            f"More than one sidecar proxy registered for {service_id}.\n"
            f"    Start proxy with -proxy-id and one of the following IDs: {', '.join(found)}"
        )
    return found[0]


def _from_flags(call: Call) -> Settings:
    """Raises SettingsError."""
    from lictor.agent import banner
    from lictor.connect.proxy.settings import Public, Settings, SettingsError, host_and_port, upstream_of

    service = call.flag("service")
    if not service:
        raise SettingsError("-service or -proxy-id must be specified so that proxy can configure itself.")
    banner.info("Configuration mode: Flags")
    banner.info(f"           Service: {service}")
    upstreams = {upstream.name: upstream for upstream in map(upstream_of, call.flag("upstream") or ())}
    for name in sorted(upstreams):
        place = upstreams[name]
        banner.info(f"          Upstream: {name} => {place.bind}:{place.port}")
    public = None
    if call.flag("listen"):
        host, port = host_and_port(call.flag("listen"))
        if not call.flag("service-addr"):
            raise SettingsError(
                "-service-addr must be specified with -listen so the proxy knows the backend service address."
            )
        public = Public(host, port, call.flag("service-addr"))
        banner.info(f"   Public listener: {host}:{port} => {public.application}")
    else:
        banner.info("   Public listener: Disabled")
    return Settings(service, public, tuple(upstreams[name] for name in sorted(upstreams)))


def _place_of_registration(call: Call) -> tuple[str, int]:
    """Raises SettingsError."""
    from lictor.connect.proxy.settings import SettingsError, host_and_port

    if not call.flag("service") or not call.flag("listen"):
        raise SettingsError("-register may only be specified with -service and -listen")
    return host_and_port(call.flag("listen"))
