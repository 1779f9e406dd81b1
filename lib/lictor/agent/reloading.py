"""What a reload changes: the reloadable settings of the new configuration on top of the running one.

Everything else needs a restart and stays silently as it is (Consul 1.7: reload).
"""

from __future__ import annotations

import msgspec

from lictor.config.runtime import RuntimeConfig
from lictor.tls.wanted import wants_tls

_WHOLE = ("services", "checks", "watches", "node_meta", "config_entries_bootstrap")
"""Taken from the new configuration as they are."""


def reloaded(running: RuntimeConfig, fresh: RuntimeConfig) -> RuntimeConfig:
    """The configuration to run on with."""
    replace = msgspec.structs.replace
    dns = replace(fresh.dns, domain=running.dns.domain, alt_domain=running.dns.alt_domain)
    return replace(
        running,
        **{name: getattr(fresh, name) for name in _WHOLE},
        dns=dns,
        acl=replace(running.acl, tokens=replace(fresh.acl.tokens, master=running.acl.tokens.master)),
        tls=fresh.tls if wants_tls(running) else running.tls,
        log=replace(running.log, level=fresh.log.level),
        telemetry=replace(
            running.telemetry,
            allowed_prefixes=fresh.telemetry.allowed_prefixes,
            blocked_prefixes=fresh.telemetry.blocked_prefixes,
        ),
        checks_config=replace(
            running.checks_config,
            discard_output=fresh.checks_config.discard_output,
            enable_agent_tls=fresh.checks_config.enable_agent_tls,
        ),
        limits=replace(
            running.limits,
            rpc_rate=fresh.limits.rpc_rate,
            rpc_max_burst=fresh.limits.rpc_max_burst,
            rpc_max_conns_per_client=fresh.limits.rpc_max_conns_per_client,
            http_max_conns_per_client=fresh.limits.http_max_conns_per_client,
        ),
    )
