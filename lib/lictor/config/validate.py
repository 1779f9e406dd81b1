"""What a configuration must not be: contradictions and values out of range, worded as Consul words them."""

from __future__ import annotations

import base64
import os
import re

from lictor.config.errors import ConfigError, several
from lictor.config.runtime import RuntimeConfig
from lictor.config.settings import UNIX_PREFIX, Settings, is_any, joined
from lictor.service_faults import joined_faults, meta_fault, proxy_faults

GOSSIP_KEY_BYTES = (16, 24, 32)
DOCUMENTATION = "See https://www.consul.io/docs/internals/consensus.html#deployment-table"

_DATACENTER = re.compile(r"[a-z0-9_-]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_UI_PATH = re.compile(r"[/a-zA-Z0-9_-]*")
_UI_VERSION_PART = re.compile(r"/v[0-9]+/")
_RESERVED_LABELS = ("service", "connect", "node", "query", "addr")
_CA_PROVIDERS = ("consul", "vault", "aws-pca")
_BOTH_UI_SETTINGS = (
    "Both the ui and ui-dir flags were specified, please provide only one.\n"
    "If trying to use your own web UI resources, use the ui-dir flag.\n"
    "If using Consul version 0.7.0 or later, the web UI is included in the binary so use ui to enable it"
)


def validate(config: RuntimeConfig, settings: Settings) -> None:
    """Refuse what cannot work; add warnings to `settings` for what works badly.

    Raises ConfigError with the first thing that is wrong, or with all of `settings.errors` when it comes to those.
    """
    _identity(config)
    _web_page(config)
    _unsupported(settings)
    _dns(config)
    _bootstrap(config, settings)
    _numbers(config)
    if fault := meta_fault(config.node_meta):
        raise ConfigError(f"node_meta invalid: {fault}")
    if config.encrypt_key:
        gossip_key(config.encrypt_key)
    _listeners(config)
    if settings.errors:
        raise ConfigError(several(settings.errors))
    _services(config)
    if config.connect.ca_provider not in _CA_PROVIDERS:
        raise ConfigError(f"{config.connect.ca_provider} is not a valid CA provider")
    if config.connect.auto_encrypt_allow_tls and not (config.tls.verify_incoming or config.tls.verify_incoming_rpc):
        settings.warnings.append(
            "if auto_encrypt.allow_tls is turned on, either verify_incoming or verify_incoming_rpc should be enabled."
            " It is necessary to turn it off during a migration to TLS, but it should definitely be turned on"
            " afterwards."
        )


def _identity(config: RuntimeConfig) -> None:
    if not config.datacenter:
        raise ConfigError("datacenter cannot be empty")
    if not _DATACENTER.fullmatch(config.datacenter):
        raise ConfigError(f'datacenter cannot be "{config.datacenter}". Please use only [a-z0-9-_]')
    if not config.data_dir and not config.dev_mode:
        raise ConfigError("data_dir cannot be empty")
    if config.data_dir and os.path.exists(config.data_dir) and not os.path.isdir(config.data_dir):
        raise ConfigError(f'data_dir "{config.data_dir}" is not a directory')
    if not config.node_name:
        raise ConfigError("node_name cannot be empty")
    if not _DATACENTER.fullmatch(config.primary_datacenter):
        raise ConfigError(f'acl_datacenter cannot be "{config.primary_datacenter}". Please use only [a-z0-9-_]')


def _web_page(config: RuntimeConfig) -> None:
    path = config.http.ui_content_path
    if not _UI_PATH.fullmatch(path):
        raise ConfigError(f"ui-content-path can only contain alphanumeric, -, _, or /. received: {path}")
    if _UI_VERSION_PART.search(path):
        raise ConfigError(f"ui-content-path cannot have 'v[0-9]'. received: {path}")
    if config.http.ui and config.http.ui_dir:
        raise ConfigError(_BOTH_UI_SETTINGS)


def _dns(config: RuntimeConfig) -> None:
    if config.dns.udp_answer_limit < 0:
        raise ConfigError(
            f"dns_config.udp_answer_limit cannot be {config.dns.udp_answer_limit}."
            " Must be greater than or equal to zero"
        )
    if config.dns.a_record_limit < 0:
        raise ConfigError(
            f"dns_config.a_record_limit cannot be {config.dns.a_record_limit}. Must be greater than or equal to zero"
        )
    for recursor in config.dns.recursors:
        if is_any(recursor.rpartition(":")[0].strip("[]")):
            raise ConfigError("DNS recursor address cannot be 0.0.0.0, :: or [::]")
    first, *further = config.dns.alt_domain.rstrip(".").split(".")
    if further and first in (*_RESERVED_LABELS, config.datacenter):
        labels = ",".join((*_RESERVED_LABELS, config.datacenter))
        raise ConfigError(f"alt_domain cannot start with {{{labels}}}")


def _bootstrap(config: RuntimeConfig, settings: Settings) -> None:
    expect = config.bootstrap_expect
    if config.bootstrap and not config.server_mode:
        raise ConfigError("'bootstrap = true' requires 'server = true'")
    if expect < 0:
        raise ConfigError(f"bootstrap_expect cannot be {expect}. Must be greater than or equal to zero")
    if expect > 0 and not config.server_mode:
        raise ConfigError("'bootstrap_expect > 0' requires 'server = true'")
    if expect > 0 and config.dev_mode:
        raise ConfigError("'bootstrap_expect > 0' not allowed in dev mode")
    if expect > 0 and config.bootstrap:
        raise ConfigError("'bootstrap_expect > 0' and 'bootstrap = true' are mutually exclusive")
    if expect == 2:
        settings.warnings.append(
            f"bootstrap_expect = 2: A cluster with 2 servers will provide no failure tolerance. {DOCUMENTATION}"
        )
    if expect > 2 and expect % 2 == 0:
        settings.warnings.append(
            "bootstrap_expect is even number: A cluster with an even number of servers does not achieve"
            f" optimum fault tolerance. {DOCUMENTATION}"
        )
    if config.bootstrap:
        settings.warnings.append("bootstrap = true: do not enable unless necessary")
    if expect > 1:
        settings.warnings.append(f"bootstrap_expect > 0: expecting {expect} servers")


def _numbers(config: RuntimeConfig) -> None:
    if config.autopilot.max_trailing_logs < 0:
        raise ConfigError(
            f"autopilot.max_trailing_logs cannot be {config.autopilot.max_trailing_logs}."
            " Must be greater than or equal to zero"
        )
    if config.checks_config.output_max_size < 1:
        raise ConfigError(
            "check_output_max_size must be positive, to discard check output use the discard_check_output flag"
        )
    if config.http.workers < 1:
        raise ConfigError(f"http_config.workers cannot be {config.http.workers}. Must be at least 1")
    if config.ports.serf_lan < 1 or (config.server_mode and config.ports.server < 1):
        raise ConfigError("ports.serf_lan and, on a server, ports.server cannot be turned off")


def _unsupported(settings: Settings) -> None:
    for segment in settings.get("segments", ()):
        if segment.get("port", 0) <= 0:
            raise ConfigError(f'Port for segment "{segment.get("name", "")}" cannot be <= 0')
    if settings.text("segment"):
        raise ConfigError("Network segments are not supported in this version of Consul")
    if settings.get("segments", ()):
        raise ConfigError("Network segments are not supported in this version of Consul")


def gossip_key(text: str) -> bytes:
    """The bytes of a base64 gossip key. Raises ConfigError when it is none."""
    good = _BASE64.match(text)
    assert good is not None, "the pattern matches anything"
    if good.end() < len(text) or len(text) % 4:
        raise ConfigError(f"encrypt has invalid key: illegal base64 data at input byte {_base64_fault(text)}")
    key = base64.b64decode(text)
    if len(key) not in GOSSIP_KEY_BYTES:
        raise ConfigError("encrypt has invalid key: key size must be 16, 24 or 32 bytes")
    return key


def _base64_fault(text: str) -> int:
    """Where Go's decoder stops: at the first byte that is out of place, or at the unfinished group's beginning."""
    good = _BASE64.match(text)
    assert good is not None, "the pattern matches anything"
    return good.end() if good.end() < len(text) else len(text) // 4 * 4


def _services(config: RuntimeConfig) -> None:
    """What contradicts a service's kind."""
    for service in config.services:
        connect = service.get("Connect", {})
        has_sidecar = "SidecarService" in connect
        faults = proxy_faults(
            service.get("Kind", ""),
            service.get("Port", 0),
            connect.get("Native", False),
            has_sidecar,
            service.get("Proxy", {}),
        )
        if faults:
            raise ConfigError(f'service "{service.get("Name", "")}": {joined_faults(faults)}')


def _listeners(config: RuntimeConfig) -> None:
    """No two listeners may share an address."""
    taken: dict[str, str] = {}
    ports = config.ports
    client = [
        ("DNS", config.addresses.dns, ports.dns),
        ("HTTP", config.addresses.http, ports.http),
        ("HTTPS", config.addresses.https, ports.https),
        ("gRPC", config.addresses.grpc, ports.grpc),
    ]
    cluster = [("Serf Advertise LAN", (config.advertise_addr_lan,), ports.serf_lan)]
    if config.server_mode:
        cluster.append(("RPC Advertise", (config.advertise_addr_lan,), ports.server))
        cluster.append(("Serf Advertise WAN", (config.advertise_addr_wan,), ports.serf_wan))
    for name, addresses, port in [*client, *cluster]:
        if port < 0:
            continue
        for address in addresses:
            key = address if address.startswith(UNIX_PREFIX) else joined(address, port)
            if port == 0 and key != address:
                continue
            if key in taken:
                raise ConfigError(f"{name} address {key} already configured for {taken[key]}")
            taken[key] = name
