"""Whether an agent's configuration has anything to do with TLS; imports nothing that costs."""

from __future__ import annotations

from lictor.config.runtime import RuntimeConfig

GRANT = "auto_encrypt"
"""The run file of what auto_encrypt got; an agent that starts gets it anew."""


def wants_tls(config: RuntimeConfig) -> bool:
    """Whether the ports between agents speak TLS, in or out."""
    tls = config.tls
    given = tls.ca_file or tls.ca_path or (tls.cert_file and tls.key_file)
    verified = tls.verify_incoming or tls.verify_incoming_rpc or tls.verify_incoming_https or tls.verify_outgoing
    return bool(given or verified or auto_encrypted(config))


def auto_encrypted(config: RuntimeConfig) -> bool:
    """Whether this agent gets its certificate from the servers: only clients do."""
    return config.connect.auto_encrypt_tls and not config.server_mode
