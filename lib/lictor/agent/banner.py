"""What `consul agent` prints before the log begins, in Consul's words."""

from __future__ import annotations

import os
import sys

from lictor.config.runtime import RuntimeConfig

MARK = "==> "
INDENT = "    "
START = "Starting Consul agent..."
LOG_BEGINS = "Log data will now stream in as it occurs:"
RUNNING = "Consul agent running!"


def lines(config: RuntimeConfig) -> list[str]:
    """The facts about the agent, one per line."""
    segment = "<all>" if config.server_mode else ""
    ports, tls = config.ports, config.tls
    incoming = tls.verify_incoming or tls.verify_incoming_rpc or tls.verify_incoming_https
    return [
        f"       Version: 'v{config.version}'",
        f"       Node ID: '{config.node_id}'",
        f"     Node name: '{config.node_name}'",
        f"    Datacenter: '{config.datacenter}' (Segment: '{segment}')",
        f"        Server: {_go(config.server_mode)} (Bootstrap: {_go(config.bootstrap)})",
        f"   Client Addr: [{' '.join(config.client_addrs)}] (HTTP: {ports.http}, HTTPS: {ports.https},"
        f" gRPC: {ports.grpc}, DNS: {ports.dns})",
        f"  Cluster Addr: {config.advertise_addr_lan} (LAN: {ports.serf_lan}, WAN: {ports.serf_wan})",
        f"       Encrypt: Gossip: {_go(bool(config.encrypt_key))}, TLS-Outgoing: {_go(tls.verify_outgoing)},"
        f" TLS-Incoming: {_go(incoming)}, Auto-Encrypt-TLS:"
        f" {_go(config.connect.auto_encrypt_tls or config.connect.auto_encrypt_allow_tls)}",
    ]


def output(text: str) -> None:
    """Print a marked line."""
    _write(1, MARK + text)


def info(text: str) -> None:
    """Print an indented line."""
    _write(1, INDENT + text if text else "")


def error(text: str) -> None:
    """Print a marked line on standard error."""
    _write(2, MARK + text)


def _write(descriptor: int, line: str) -> None:
    sys.stdout.flush()
    try:
        os.write(descriptor, line.encode() + b"\n")
    except OSError:
        return


def _go(value: bool) -> str:
    return "true" if value else "false"
