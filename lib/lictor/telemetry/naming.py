"""Full names and which of them are let out (Consul 1.7: telemetry.metrics_prefix, disable_hostname, prefix_filter)."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from lictor.config.runtime import TelemetryConfig


@dataclass(frozen=True, slots=True)
class Naming:
    """What surrounds a series' name. `host` is "" where gauges carry none."""

    prefix: str = "consul"
    host: str = ""
    allowed: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()
    default: bool = True

    def name(self, series: str, is_gauge: bool = False) -> str:
        """The full name: prefix, for gauges the host, then the series."""
        parts = [self.prefix] if self.prefix else []
        if is_gauge and self.host:
            parts.append(self.host)
        return ".".join((*parts, series))

    def lets_out(self, full_name: str) -> bool:
        """The longest entry that the name begins with decides; of equally long ones the block; else the default."""
        allowed = max((len(entry) for entry in self.allowed if full_name.startswith(entry)), default=-1)
        blocked = max((len(entry) for entry in self.blocked if full_name.startswith(entry)), default=-1)
        if allowed == blocked:
            return self.default if allowed < 0 else False
        return allowed > blocked


def has_external_sink(config: TelemetryConfig) -> bool:
    """Whether figures leave the agent by other ways than its JSON answer."""
    return bool(
        config.statsd_address
        or config.statsite_address
        or config.dogstatsd_addr
        or config.prometheus_retention_time_ns > 0
    )


def naming_of(config: TelemetryConfig) -> Naming:
    """By the configuration. Gauges carry the host name only where an external sink would mix hosts."""
    host = "" if config.disable_hostname or not has_external_sink(config) else socket.gethostname()
    return Naming(config.metrics_prefix, host, config.allowed_prefixes, config.blocked_prefixes, config.filter_default)
