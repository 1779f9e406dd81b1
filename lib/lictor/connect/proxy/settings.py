"""What a proxy does: from the command's flags, or from its registration at the agent (Consul 1.7: connect proxy)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

DEFAULT_BIND = "127.0.0.1"
DEFAULT_PUBLIC_BIND = "0.0.0.0"
SERVICE, QUERY = "service", "prepared_query"
DEFAULT_CONNECT_TIMEOUT_S = 10.0
DEFAULT_LOCAL_TIMEOUT_S = 1.0


class SettingsError(ValueError):
    """A flag or a registration that cannot be used."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A service, or a prepared query, that is offered on a local port."""

    name: str
    port: int
    bind: str = ""
    """The address as given: the loopback one when empty."""
    kind: str = SERVICE
    datacenter: str = ""
    timeout_s: float = DEFAULT_CONNECT_TIMEOUT_S

    def __str__(self) -> str:
        return f"{self.bind or DEFAULT_BIND}:{self.port}->{self.kind}:default/{self.name}"


@dataclass(frozen=True, slots=True)
class Public:
    """Where other proxies come in, and the application they are led to (`host:port`)."""

    bind: str
    port: int
    application: str
    timeout_s: float = DEFAULT_LOCAL_TIMEOUT_S


@dataclass(frozen=True, slots=True)
class Settings:
    """All of it; `service` is whose identity the proxy has."""

    service: str
    public: Public | None
    upstreams: tuple[Upstream, ...]


def upstream_of(text: str) -> Upstream:
    """`name[.service|.query]:[address:]port`. Raises SettingsError."""
    name, colon, place = text.partition(":")
    if not colon:
        raise SettingsError(f'Upstream value should be name:addr in "{text}"')
    address, colon, port = place.partition(":")
    if not colon:
        address, port = "", place
    name, _, kind = name.partition(".")
    if kind not in ("", "service", "query"):
        raise SettingsError(f"Upstream type must be blank, 'service', or 'query'. Got: \"{kind}\"")
    return Upstream(name, port_of(port), address, QUERY if kind == "query" else SERVICE)


def port_of(text: str) -> int:
    """Raises SettingsError."""
    if not text.isascii() or not text.isdigit():
        raise SettingsError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def host_and_port(text: str) -> tuple[str, int]:
    """`host:port` or `[host]:port`. Raises SettingsError."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise SettingsError(f"address {text}: missing port in address")
    return host.removeprefix("[").removesuffix("]"), port_of(port)


def of_registration(service: dict[str, Any]) -> Settings:
    """The settings of a proxy registered at the agent, as /v1/agent/service shows it. Raises SettingsError."""
    if service.get("Kind") != "connect-proxy":
        raise SettingsError("expected kind connect-proxy, got " + (service.get("Kind") or "typical"))
    proxy = service.get("Proxy") or {}
    config = proxy.get("Config") or {}
    port = int(config.get("bind_port") or service.get("Port") or 0)
    host = str(proxy.get("LocalServiceAddress") or DEFAULT_BIND)
    application = str(config.get("local_service_address") or f"{host}:{proxy.get('LocalServicePort') or 0}")
    bind = str(config.get("bind_address") or service.get("Address") or DEFAULT_PUBLIC_BIND)
    timeout_s = float(config.get("local_connect_timeout_ms") or DEFAULT_LOCAL_TIMEOUT_S * 1000) / 1000
    return Settings(
        str(proxy.get("DestinationServiceName") or ""),
        Public(bind, port, application, timeout_s) if port else None,
        tuple(map(_upstream, proxy.get("Upstreams") or ())),
    )


def _upstream(given: dict[str, Any]) -> Upstream:
    config = given.get("Config") or {}
    return Upstream(
        name=str(given.get("DestinationName") or ""),
        port=int(given.get("LocalBindPort") or 0),
        bind=str(given.get("LocalBindAddress") or ""),
        kind=str(given.get("DestinationType") or SERVICE),
        datacenter=str(given.get("Datacenter") or ""),
        timeout_s=float(config.get("connect_timeout_ms") or DEFAULT_CONNECT_TIMEOUT_S * 1000) / 1000,
    )
