"""Where configuration comes from: the flags of `consul agent` and the files and directories they name."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from lictor.config import decode
from lictor.config.decode import Values
from lictor.config.errors import ConfigError
from lictor.config.goflags import FlagSet

SYNTAXES = ("hcl", "json")

SETTING_FLAGS: dict[str, tuple[str, str, str]] = {
    "advertise": ("value", "advertise_addr", "Address told to the other nodes."),
    "advertise-wan": ("value", "advertise_addr_wan", "Address told to servers of other datacenters."),
    "allow-write-http-from": (
        "strings",
        "http_config.allow_write_http_from",
        "Only allow writes over HTTP from this network, in CIDR notation. May be given several times.",
    ),
    "alt-domain": ("value", "alt_domain", "A second domain to answer DNS questions for."),
    "bind": ("value", "bind_addr", "Address for cluster traffic."),
    "bootstrap": ("bool value", "bootstrap", "Let this server elect itself without others."),
    "bootstrap-expect": ("int value", "bootstrap_expect", "Number of servers to wait for before electing a leader."),
    "check_output_max_size": ("int value", "check_output_max_size", "Bytes kept of a check's output."),
    "client": ("value", "client_addr", "Address for HTTP, HTTPS, gRPC and DNS. Several in one string."),
    "data-dir": ("value", "data_dir", "Directory for the agent's state."),
    "datacenter": ("value", "datacenter", "Datacenter of the agent."),
    "default-query-time": ("value", "default_query_time", "Wait of a blocking query that names none."),
    "disable-host-node-id": ("bool value", "disable_host_node_id", "Make a random node ID, not one of the host."),
    "disable-keyring-file": ("bool value", "disable_keyring_file", "Keep gossip keys in memory only."),
    "dns-port": ("int value", "ports.dns", "DNS port."),
    "domain": ("value", "domain", "Domain to answer DNS questions for."),
    "enable-local-script-checks": ("bool value", "enable_local_script_checks", "Run script checks from files."),
    "enable-script-checks": ("bool value", "enable_script_checks", "Run script checks from files and the API."),
    "encrypt": ("value", "encrypt", "Base64 key that encrypts gossip."),
    "grpc-port": ("int value", "ports.grpc", "gRPC port."),
    "http-port": ("int value", "ports.http", "HTTP port."),
    "https-port": ("int value", "ports.https", "HTTPS port."),
    "join": ("strings", "start_join", "Agent to join at start. May be given several times."),
    "join-wan": ("strings", "start_join_wan", "Server to join over the WAN at start. May be given several times."),
    "log-file": ("value", "log_file", "File to write log lines to; a time is put into its name."),
    "log-json": ("bool value", "log_json", "Write log lines as JSON."),
    "log-level": ("value", "log_level", "Least level to log: trace, debug, info, warn or err."),
    "log-rotate-bytes": ("int value", "log_rotate_bytes", "Begin a new log file after so many bytes."),
    "log-rotate-duration": ("value", "log_rotate_duration", "Begin a new log file after this time."),
    "log-rotate-max-files": ("int value", "log_rotate_max_files", "Old log files to keep."),
    "max-query-time": ("value", "max_query_time", "Longest wait of a blocking query."),
    "node": ("value", "node_name", "Name of this node, unique in the cluster."),
    "node-id": ("value", "node_id", "UUID of this node, unique for all time."),
    "node-meta": ("map", "node_meta", "Metadata of this node as `key:value`. May be given several times."),
    "non-voting-server": ("bool value", "non_voting_server", "Follow as a server without voting."),
    "pid-file": ("value", "pid_file", "File to write the agent's process ID to."),
    "protocol": ("int value", "protocol", "Protocol version to speak."),
    "raft-protocol": ("int value", "raft_protocol", "Raft protocol version to speak."),
    "recursor": ("strings", "recursors", "Upstream DNS server. May be given several times."),
    "rejoin": ("bool value", "rejoin_after_leave", "Join the known cluster again even after leaving it."),
    "retry-interval": ("value", "retry_interval", "Time between attempts to join."),
    "retry-interval-wan": ("value", "retry_interval_wan", "Time between attempts to join over the WAN."),
    "retry-join": ("strings", "retry_join", "Agent to join, trying again until it works. May be given several times."),
    "retry-join-wan": ("strings", "retry_join_wan", "As -retry-join, over the WAN. May be given several times."),
    "retry-max": ("int value", "retry_max", "Attempts to join before giving up; 0 never gives up."),
    "retry-max-wan": ("int value", "retry_max_wan", "As -retry-max, over the WAN."),
    "segment": ("value", "segment", "Network segment; not supported."),
    "serf-lan-bind": ("value", "serf_lan", "Address for LAN gossip."),
    "serf-lan-port": ("int value", "ports.serf_lan", "Port for LAN gossip."),
    "serf-wan-bind": ("value", "serf_wan", "Address for WAN gossip."),
    "serf-wan-port": ("int value", "ports.serf_wan", "Port for WAN gossip."),
    "server": ("bool value", "server", "Run as a server."),
    "server-port": ("int value", "ports.server", "Port servers speak to each other on."),
    "syslog": ("bool value", "enable_syslog", "Log to syslog, too."),
    "ui": ("bool value", "ui", "Serve the web page."),
    "ui-content-path": ("value", "ui_content_path", "URL path of the web page."),
    "ui-dir": ("value", "ui_dir", "Serve the web page's files from this directory."),
}
"""Flag name to kind, configuration key, usage text."""


class Source(NamedTuple):
    """One text to read: where it is from, its syntax (empty when the name tells none), the text."""

    name: str
    syntax: str
    text: str


class CommandLine(NamedTuple):
    """The flags of `consul agent` as given."""

    dev: bool
    paths: list[str]
    """Files and directories in the order given."""
    syntax: str
    """`-config-format`, or empty."""
    settings: Values
    fragments: list[str]
    """`-hcl` texts."""


def agent_flags() -> FlagSet:
    """Every flag of `consul agent`."""
    flags = FlagSet()
    for name, (kind, _, text) in SETTING_FLAGS.items():
        flags.add(name, kind, text, separator=":")
    flags.add("config-file", "strings", "Configuration file to read. May be given several times.")
    flags.add("config-dir", "strings", "Directory of configuration files to read. May be given several times.")
    flags.add("config-format", "value", "Syntax of all configuration files: hcl or json.")
    flags.add("hcl", "strings", "Piece of HCL configuration, read after all files. May be given several times.")
    flags.add("dev", "bool value", "Run one server for development: quick, on loopback, nothing kept.")
    return flags


def command_line(arguments: list[str]) -> CommandLine:
    """Read the arguments of `consul agent`.

    Raises goflags.FlagError, goflags.HelpWanted, and ConfigError for arguments that are no flags.
    """
    given, rest, order = agent_flags().parse(arguments)
    if rest:
        raise ConfigError(f"config: Unknown extra arguments: [{' '.join(rest)}]")
    settings: Values = {}
    for name, value in given.items():
        if name in SETTING_FLAGS:
            place(settings, SETTING_FLAGS[name][1], value)
    return CommandLine(
        dev=given.get("dev", False),
        paths=[value for name, value in order if name in ("config-file", "config-dir")],
        syntax=given.get("config-format", ""),
        settings=settings,
        fragments=given.get("hcl", []),
    )


def place(values: Values, path: str, value: Any) -> None:
    """Set the value at a dotted path, making the objects on the way."""
    *parents, last = path.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[last] = value


def read_paths(paths: list[str], syntax: str) -> tuple[list[Source], list[str]]:
    """The texts of files and of directories' files (by name, not deeper), and warnings about what was passed over.

    Raises ConfigError for what cannot be read.
    """
    sources: list[Source] = []
    warnings: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            for name in sorted(os.listdir(path)):
                inner = os.path.join(path, name)
                if os.path.isfile(inner) and (syntax or syntax_of(inner)):
                    sources.append(Source(inner, syntax or syntax_of(inner), _text(inner)))
        elif syntax or syntax_of(path) or not os.path.exists(path):
            sources.append(Source(path, syntax or syntax_of(path), _text(path)))
        else:
            warnings.append(f"skipping file {path}, extension must be .hcl or .json, or config format must be set")
    return sources, warnings


def syntax_of(path: str) -> str:
    """The syntax a file name tells, or nothing."""
    extension = path.rpartition(".")[2]
    return extension if extension in SYNTAXES and path != extension else ""


def parse(source: Source) -> Values:
    """Read one source; `check` and `service` join the lists `checks` and `services`.

    Raises ConfigError naming the source.
    """
    if not source.text.strip():
        return {}
    try:
        values = decode.read(source.text, source.syntax)
    except ConfigError as error:
        raise ConfigError(f"Error parsing {source.name}: {error}") from None
    for single, several in (("check", "checks"), ("service", "services")):
        if single in values:
            values[several] = [*values.get(several, []), values.pop(single)]
    return values


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"config: Open failed on {path}. open {path}: {reason}") from None
