"""From the agent's configuration to what answering needs."""

from __future__ import annotations

from dnsd.core import names
from dnsd.core.settings import Settings
from dnsd.recursors import Recursors
from dnsd.sources.staleness import Staleness
from lictor.config.runtime import SECOND_NS, RuntimeConfig

DEFAULT_DNS_PORT = 53


def settings_of(config: RuntimeConfig) -> Settings:
    """`dns_config`, domains and datacenter in the units of DNS.

    Raises names.InvalidName for a domain that is none.
    """
    dns = config.dns
    return Settings(
        domain=names.fold(names.from_text(dns.domain)),
        alt_domain=names.fold(names.from_text(dns.alt_domain)) if dns.alt_domain else None,
        datacenter=config.datacenter,
        node_name=config.node_name,
        node_ttl_s=dns.node_ttl_ns // SECOND_NS,
        service_ttls_s={name.lower(): ttl_ns // SECOND_NS for name, ttl_ns in dns.service_ttl_ns.items()},
        only_passing=dns.only_passing,
        enable_truncate=dns.enable_truncate,
        udp_answer_limit=dns.udp_answer_limit,
        a_record_limit=dns.a_record_limit,
        compress=not dns.disable_compression,
        node_meta_txt=dns.node_meta_txt,
        soa_numbers=(dns.soa.refresh, dns.soa.retry, dns.soa.expire, dns.soa.min_ttl),
        has_recursors=bool(dns.recursors),
        translate_wan=config.http.translate_wan_addrs,
    )


def staleness_of(config: RuntimeConfig) -> Staleness:
    """How old facts may be."""
    dns = config.dns
    return Staleness(
        allow_stale=dns.allow_stale,
        max_stale_s=dns.max_stale_ns / SECOND_NS,
        use_cache=dns.use_cache,
        cache_max_age_s=dns.cache_max_age_ns / SECOND_NS,
    )


def recursors_of(config: RuntimeConfig) -> Recursors:
    """The upstream resolvers."""
    return Recursors(tuple(map(with_port, config.dns.recursors)), config.dns.recursor_timeout_ns / SECOND_NS)


def with_port(address: str) -> str:
    """`host:port` of a recursor that may be written without its port."""
    if address.startswith("["):
        return address if "]:" in address else f"{address}:{DEFAULT_DNS_PORT}"
    if address.count(":") > 1:
        return f"[{address}]:{DEFAULT_DNS_PORT}"
    return address if ":" in address else f"{address}:{DEFAULT_DNS_PORT}"
