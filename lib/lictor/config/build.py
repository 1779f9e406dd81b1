"""From merged values to a `RuntimeConfig`: defaults filled in, addresses resolved, contradictions refused.

Source of the defaults and rules: Consul 1.7's agent configuration.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import NamedTuple

from lictor.config import decode, definitions, interfaces, sockaddr
from lictor.config import defaults as dev
from lictor.config.ciphers import CIPHER_SUITES
from lictor.config.decode import Values
from lictor.config.errors import ConfigError, several
from lictor.config.runtime import (
    BASE_ELECTION_NS,
    BASE_HEARTBEAT_NS,
    BASE_LEADER_LEASE_NS,
    DEFAULT_RAFT_MULTIPLIER,
    HOUR_NS,
    MILLISECOND_NS,
    MINUTE_NS,
    SECOND_NS,
    AclConfig,
    AclTokens,
    Addresses,
    AutopilotConfig,
    ChecksConfig,
    ConnectConfig,
    CoordinateConfig,
    DnsConfig,
    GossipConfig,
    HttpConfig,
    JoinConfig,
    LimitsConfig,
    LogConfig,
    PerformanceConfig,
    Ports,
    RaftConfig,
    RuntimeConfig,
    SoaConfig,
    TelemetryConfig,
    TlsConfig,
)
from lictor.config.settings import UNIX_PREFIX, Settings, is_any, joined, parse_ip
from lictor.config.validate import validate
from lictor.config.validate_definitions import check_definitions

DNS_PORT = 53
FILE_TTL_DEFAULT_NS = 30 * SECOND_NS


class Built(NamedTuple):
    """A configuration and what the user should be warned about."""

    config: RuntimeConfig
    warnings: list[str]


class ClusterAddresses(NamedTuple):
    """Where the node is bound and what it tells others."""

    bind: str
    lan: str
    wan: str
    tagged: dict[str, str]


def build(values: Values, dev_mode: bool = False, source: sockaddr.Source = interfaces.addresses) -> Built:
    """The configuration that these merged values mean.

    Raises ConfigError with everything that is wrong.
    """
    if dev_mode:
        values = decode.merge(dev.DEV, values)
    settings = Settings(values)
    addresses = _cluster_addresses(settings, source)
    server = settings.boolean("server")
    datacenter = settings.text("datacenter", "dc1").lower()
    node_name = (settings.text("node_name") or socket.gethostname()).strip()
    data_dir = settings.text("data_dir")
    client_addrs = settings.addresses("client_addr", ("127.0.0.1",))
    bootstrap, expect = _bootstrap(settings)
    acl = _acl(settings)
    ports = _ports(settings)
    _in_order(ports)
    primary = settings.text("primary_datacenter") or settings.text("acl_datacenter") or datacenter
    if settings.has("acl_datacenter"):
        settings.warnings.append(
            "The 'acl_datacenter' field is deprecated. Use the 'primary_datacenter' field instead."
        )
    config = RuntimeConfig(
        node_name=node_name,
        node_id=settings.text("node_id"),
        node_meta=settings.get("node_meta", {}),
        datacenter=datacenter,
        primary_datacenter=primary.lower(),
        data_dir=os.path.abspath(data_dir) if data_dir else "",
        dev_mode=dev_mode,
        server_mode=server,
        bootstrap=bootstrap,
        bootstrap_expect=expect,
        non_voting_server=settings.boolean("non_voting_server"),
        protocol=settings.integer("protocol", 2),
        pid_file=settings.text("pid_file"),
        bind_addr=addresses.bind,
        advertise_addr_lan=addresses.lan,
        advertise_addr_wan=addresses.wan,
        tagged_addresses=addresses.tagged,
        client_addrs=client_addrs,
        ports=ports,
        addresses=Addresses(
            dns=_dns_addresses(settings, client_addrs),
            http=settings.addresses("addresses.http", client_addrs, unix=True),
            https=settings.addresses("addresses.https", client_addrs, unix=True),
            grpc=settings.addresses("addresses.grpc", client_addrs, unix=True),
        ),
        dns=_dns(settings),
        gossip_lan=_gossip(settings, "lan", addresses.bind, addresses.lan, ports.serf_lan),
        gossip_wan=_gossip(settings, "wan", addresses.bind, addresses.wan, ports.serf_wan),
        join_lan=_join(settings, ""),
        join_wan=_join(settings, "_wan"),
        rejoin_after_leave=settings.boolean("rejoin_after_leave"),
        encrypt_key=settings.text("encrypt"),
        encrypt_verify_incoming=settings.boolean("encrypt_verify_incoming", True),
        encrypt_verify_outgoing=settings.boolean("encrypt_verify_outgoing", True),
        disable_keyring_file=settings.boolean("disable_keyring_file"),
        raft=_raft(settings, addresses, dev_mode),
        performance=PerformanceConfig(
            leave_drain_time_ns=settings.span("performance.leave_drain_time", 5 * SECOND_NS),
            rpc_hold_timeout_ns=settings.span("performance.rpc_hold_timeout", 7 * SECOND_NS),
        ),
        autopilot=_autopilot(settings, dev_mode),
        limits=_limits(settings),
        http=_http(settings, dev_mode),
        telemetry=_telemetry(settings),
        acl=acl,
        connect=_connect(settings),
        tls=_tls(settings, node_name),
        checks_config=_checks(settings),
        coordinates=CoordinateConfig(
            disabled=settings.boolean("disable_coordinates"),
            update_period_ns=dev.DEV_COORDINATE_UPDATE_NS if dev_mode else 5 * SECOND_NS,
        ),
        log=_log(settings),
        default_query_time_ns=settings.span("default_query_time", 300 * SECOND_NS),
        max_query_time_ns=settings.span("max_query_time", 600 * SECOND_NS),
        session_ttl_min_ns=settings.span("session_ttl_min", 0) or 10 * SECOND_NS,
        leave_on_terminate=settings.boolean("leave_on_terminate", not server),
        skip_leave_on_interrupt=settings.boolean("skip_leave_on_interrupt", server),
        disable_remote_exec=settings.boolean("disable_remote_exec", True),
        disable_host_node_id=settings.boolean("disable_host_node_id", True),
        disable_update_check=settings.boolean("disable_update_check"),
        disable_anonymous_signature=settings.boolean("disable_anonymous_signature"),
        enable_central_service_config=settings.boolean("enable_central_service_config"),
        services=tuple(definitions.service(item) for item in settings.get("services", ())),
        checks=tuple(definitions.check(item) for item in settings.get("checks", ())),
        watches=tuple(settings.get("watches", ())),
        config_entries_bootstrap=tuple(settings.get("config_entries.bootstrap", ())),
    )
    check_definitions(settings)
    validate(config, settings)
    return Built(config, settings.warnings)


def _bootstrap(settings: Settings) -> tuple[bool, int]:
    bootstrap = settings.boolean("bootstrap")
    expect = settings.integer("bootstrap_expect", 0)
    if expect == 1:
        settings.warnings.append("BootstrapExpect is set to 1; this is the same as Bootstrap mode.")
        return True, 0
    return bootstrap, expect


def _cluster_addresses(settings: Settings, source: sockaddr.Source) -> ClusterAddresses:
    bind = _bind_address(settings)
    lan = _advertised(settings, "advertise_addr", "")
    if not lan:
        lan = _detected(bind, source) if is_any(bind) else bind
    wan = _advertised(settings, "advertise_addr_wan", lan)
    tagged = dict(settings.get("tagged_addresses", {}))
    for pool, address in (("lan", lan), ("wan", wan)):
        tagged[pool] = address
        tagged[f"{pool}_ipv6" if ":" in address else f"{pool}_ipv4"] = address
        for family in ("ipv4", "ipv6"):
            key = f"advertise_addr_{family}" if pool == "lan" else f"advertise_addr_wan_{family}"
            given = settings.address(key, "")
            if given:
                tagged[f"{pool}_{family}"] = given
            if given and (":" in given) != (family == "ipv6"):
                raise ConfigError(f"{key} must be an {family} address")
    return ClusterAddresses(bind, lan, wan, tagged)


def _bind_address(settings: Settings) -> str:
    given = settings.text("bind_addr", "0.0.0.0")
    if given.startswith(UNIX_PREFIX):
        raise ConfigError("bind_addr cannot be a unix socket")
    found = settings.addresses("bind_addr", () if settings.has("bind_addr") else ("0.0.0.0",))
    if settings.errors:
        raise ConfigError(several(settings.errors))
    if not found:
        raise ConfigError("bind_addr cannot be empty")
    if len(found) > 1:
        raise ConfigError("bind_addr cannot contain multiple addresses. Use 'addresses.{dns,http,https}' instead.")
    return found[0]


def _advertised(settings: Settings, name: str, default: str) -> str:
    address = settings.address(name, default)
    if is_any(address):
        what = "Advertise WAN address" if name.endswith("wan") else "Advertise address"
        raise ConfigError(f"{what} cannot be 0.0.0.0, :: or [::]")
    return address


def _detected(bind: str, source: sockaddr.Source) -> str:
    """The one private IPv4 (public IPv6) address of the machine, for an agent bound to all."""
    if bind == "::":
        kind, found = "public IPv6", sockaddr.public_ipv6(source())
    else:
        kind, found = "private IPv4", sockaddr.private_ipv4(source())
    if not found:
        raise ConfigError(f"No {kind} address found")
    if len(found) > 1:
        raise ConfigError(f"Multiple {kind} addresses found. Please configure one with 'bind' and/or 'advertise'.")
    return found[0]


def _ports(settings: Settings) -> Ports:
    return Ports(
        dns=settings.port("dns", 8600),
        http=settings.port("http", 8500),
        https=settings.port("https", -1),
        grpc=settings.port("grpc", -1),
        serf_lan=settings.port("serf_lan", 8301),
        serf_wan=settings.port("serf_wan", 8302),
        server=settings.port("server", 8300),
        api=settings.port("api", 8303),
        api_explicit=settings.has("ports.api"),
        sidecar_min_port=settings.port("sidecar_min_port", 21000),
        sidecar_max_port=settings.port("sidecar_max_port", 21255),
        expose_min_port=settings.port("expose_min_port", 21500),
        expose_max_port=settings.port("expose_max_port", 21755),
        proxy_min_port=settings.port("proxy_min_port", 20000),
        proxy_max_port=settings.port("proxy_max_port", 20255),
    )


def _in_order(ports: Ports) -> None:
    """The ranges of ports must be none the wrong way round. Raises ConfigError."""
    for name, low, high in (
        ("proxy", ports.proxy_min_port, ports.proxy_max_port),
        ("sidecar", ports.sidecar_min_port, ports.sidecar_max_port),
        ("expose", ports.expose_min_port, ports.expose_max_port),
    ):
        if high < low:
            raise ConfigError(f"{name}_min_port must be less than {name}_max_port. To disable, set both to zero.")


def _dns_addresses(settings: Settings, default: tuple[str, ...]) -> tuple[str, ...]:
    found = settings.addresses("addresses.dns", default, unix=True)
    if any(address.startswith(UNIX_PREFIX) for address in found):
        raise ConfigError("DNS address cannot be a unix socket")
    return found


def _dns(settings: Settings) -> DnsConfig:
    at = "dns_config."
    ttls = {
        name: settings.span_of(f'dns_config.service_ttl["{name}"]', text, 0)
        for name, text in settings.get(at + "service_ttl", {}).items()
    }
    recursors: list[str] = []
    for text in settings.names("recursors"):
        if text.startswith(UNIX_PREFIX):
            raise ConfigError(f"DNS Recursors cannot be unix sockets: {text}")
        recursor = _recursor(text)
        if recursor is None:
            settings.errors.append(f'Invalid recursor address: "{text}"')
        elif recursor not in recursors:
            recursors.append(recursor)
    return DnsConfig(
        domain=dotted(settings.text("domain", "consul.")),
        alt_domain=dotted(settings.text("alt_domain")),
        recursors=tuple(recursors),
        allow_stale=settings.boolean(at + "allow_stale", True),
        max_stale_ns=settings.span(at + "max_stale", 87600 * HOUR_NS),
        node_ttl_ns=settings.span(at + "node_ttl", 0),
        service_ttl_ns=ttls,
        only_passing=settings.boolean(at + "only_passing"),
        enable_truncate=settings.boolean(at + "enable_truncate"),
        udp_answer_limit=settings.integer(at + "udp_answer_limit", 3),
        a_record_limit=settings.integer(at + "a_record_limit", 0),
        disable_compression=settings.boolean(at + "disable_compression"),
        recursor_timeout_ns=settings.span(at + "recursor_timeout", 2 * SECOND_NS),
        node_meta_txt=settings.boolean(at + "enable_additional_node_meta_txt", True),
        soa=SoaConfig(
            refresh=settings.integer(at + "soa.refresh", 3600),
            retry=settings.integer(at + "soa.retry", 600),
            expire=settings.integer(at + "soa.expire", 86400),
            min_ttl=settings.integer(at + "soa.min_ttl", 0),
        ),
        use_cache=settings.boolean(at + "use_cache"),
        cache_max_age_ns=settings.span(at + "cache_max_age", 0),
    )


def _recursor(text: str) -> str | None:
    """`host:port` of a DNS server; port 53 when none is given. A host name is looked up, its IPv4 address first."""
    if (address := parse_ip(text)) is not None:
        return joined(address, DNS_PORT)
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, str(DNS_PORT)
    if not (host and port.isdecimal()):
        return None
    address = parse_ip(host) or _looked_up(host)
    return None if address is None else joined(address, int(port))


def _looked_up(host: str) -> str | None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    by_family = sorted(found, key=lambda item: item[0] != socket.AF_INET)
    return str(by_family[0][4][0])


def dotted(domain: str) -> str:
    """The domain with its trailing dot; empty stays empty."""
    return f"{domain.rstrip('.')}." if domain else ""


def _gossip(settings: Settings, pool: str, bind: str, advertise: str, port: int) -> GossipConfig:
    at = f"gossip_{pool}."
    wan = pool == "wan"
    bound = settings.address(f"serf_{pool}", bind)
    return GossipConfig(
        bind_addr=bound,
        port=port,
        advertise_addr=advertise,
        advertise_port=port,
        gossip_nodes=settings.integer(at + "gossip_nodes", 3),
        gossip_interval_ns=settings.span(at + "gossip_interval", (500 if wan else 200) * MILLISECOND_NS),
        probe_interval_ns=settings.span(at + "probe_interval", (5 if wan else 1) * SECOND_NS),
        probe_timeout_ns=settings.span(at + "probe_timeout", (3000 if wan else 500) * MILLISECOND_NS),
        suspicion_mult=settings.integer(at + "suspicion_mult", 6 if wan else 4),
        retransmit_mult=settings.integer(at + "retransmit_mult", 4),
        reconnect_timeout_ns=settings.span("reconnect_timeout_wan" if wan else "reconnect_timeout", 72 * HOUR_NS),
    )


def _join(settings: Settings, suffix: str) -> JoinConfig:
    return JoinConfig(
        start_join=settings.names(f"start_join{suffix}"),
        retry_join=settings.names(f"retry_join{suffix}"),
        retry_interval_ns=settings.span(f"retry_interval{suffix}", 30 * SECOND_NS),
        retry_max=settings.integer(f"retry_max{suffix}", 0),
    )


def _raft(settings: Settings, addresses: ClusterAddresses, dev_mode: bool) -> RaftConfig:
    multiplier = settings.integer("performance.raft_multiplier", DEFAULT_RAFT_MULTIPLIER)
    if not 1 <= multiplier <= 10:
        raise ConfigError(f"performance.raft_multiplier cannot be {multiplier}. Must be between 1 and 10")
    return RaftConfig(
        bind_addr=addresses.bind,
        advertise_addr=addresses.lan,
        multiplier=multiplier,
        heartbeat_timeout_ns=multiplier * (dev.DEV_HEARTBEAT_NS if dev_mode else BASE_HEARTBEAT_NS),
        election_timeout_ns=multiplier * (dev.DEV_ELECTION_NS if dev_mode else BASE_ELECTION_NS),
        leader_lease_timeout_ns=multiplier * (dev.DEV_LEADER_LEASE_NS if dev_mode else BASE_LEADER_LEASE_NS),
        protocol=settings.integer("raft_protocol", 3) or 3,
        snapshot_threshold=settings.integer("raft_snapshot_threshold", 0) or 16384,
        snapshot_interval_ns=settings.span("raft_snapshot_interval", 0) or 30 * SECOND_NS,
        trailing_logs=settings.integer("raft_trailing_logs", 0) or 10240,
    )


def _autopilot(settings: Settings, dev_mode: bool) -> AutopilotConfig:
    at = "autopilot."
    return AutopilotConfig(
        cleanup_dead_servers=settings.boolean(at + "cleanup_dead_servers", True),
        last_contact_threshold_ns=settings.span(at + "last_contact_threshold", 200 * MILLISECOND_NS),
        max_trailing_logs=settings.integer(at + "max_trailing_logs", 250),
        min_quorum=settings.integer(at + "min_quorum", 0),
        server_stabilization_time_ns=settings.span(at + "server_stabilization_time", 10 * SECOND_NS),
        redundancy_zone_tag=settings.text(at + "redundancy_zone_tag"),
        disable_upgrade_migration=settings.boolean(at + "disable_upgrade_migration"),
        upgrade_version_tag=settings.text(at + "upgrade_version_tag"),
        health_interval_ns=dev.DEV_HEALTH_INTERVAL_NS if dev_mode else 2 * SECOND_NS,
    )


def _limits(settings: Settings) -> LimitsConfig:
    at = "limits."
    return LimitsConfig(
        http_max_conns_per_client=settings.integer(at + "http_max_conns_per_client", 200),
        https_handshake_timeout_ns=settings.span(at + "https_handshake_timeout", 5 * SECOND_NS),
        rpc_handshake_timeout_ns=settings.span(at + "rpc_handshake_timeout", 5 * SECOND_NS),
        rpc_max_conns_per_client=settings.integer(at + "rpc_max_conns_per_client", 100),
        rpc_rate=float(settings.get(at + "rpc_rate", -1.0)),
        rpc_max_burst=settings.integer(at + "rpc_max_burst", 1000),
        kv_max_value_size=settings.integer(at + "kv_max_value_size", 512 * 1024),
        txn_max_req_len=settings.integer(at + "txn_max_req_len", 512 * 1024),
    )


def _networks(settings: Settings, path: str) -> tuple[str, ...]:
    """Networks in CIDR notation, without the bits of hosts."""
    found = []
    for text in settings.texts(path):
        try:
            if "/" not in text:
                raise ValueError
            found.append(str(ipaddress.ip_network(text.strip(), strict=False)))
        except ValueError:
            settings.errors.append(f"{path.rpartition('.')[2]}: invalid cidr: {text}")
    return tuple(found)


def _http(settings: Settings, dev_mode: bool) -> HttpConfig:
    at = "http_config."
    return HttpConfig(
        block_endpoints=settings.texts(at + "block_endpoints"),
        allow_write_http_from=_networks(settings, at + "allow_write_http_from"),
        response_headers=settings.get(at + "response_headers", {}),
        workers=settings.integer(at + "workers", 1),
        fast_lane=settings.boolean(at + "fast_lane", True),
        ui=settings.boolean("ui"),
        ui_dir=settings.text("ui_dir"),
        ui_content_path=f"/{settings.text('ui_content_path', '/ui/').strip('/')}/".replace("//", "/"),
        pretty=dev_mode,
        disable_unprintable_char_filter=settings.boolean("disable_http_unprintable_char_filter"),
        discovery_max_stale_ns=settings.span("discovery_max_stale", 0),
        enable_debug=settings.boolean("enable_debug"),
        translate_wan_addrs=settings.boolean("translate_wan_addrs"),
        unix_socket_user=settings.text("unix_sockets.user"),
        unix_socket_group=settings.text("unix_sockets.group"),
        unix_socket_mode=settings.text("unix_sockets.mode"),
    )


def _telemetry(settings: Settings) -> TelemetryConfig:
    at = "telemetry."
    allowed: list[str] = []
    blocked: list[str] = []
    for rule in settings.texts(at + "prefix_filter"):
        if rule.startswith("+"):
            allowed.append(rule[1:])
        elif rule.startswith("-"):
            blocked.append(rule[1:])
        elif rule:
            settings.warnings.append(f"Filter rule must begin with either '+' or '-': \"{rule}\"")
        else:
            settings.warnings.append("Cannot have empty filter rule in prefix_filter")
    given = settings.get("telemetry", {})
    return TelemetryConfig(
        metrics_prefix=settings.text(at + "metrics_prefix", "consul"),
        disable_hostname=settings.boolean(at + "disable_hostname"),
        allowed_prefixes=tuple(allowed),
        blocked_prefixes=tuple(blocked),
        filter_default=settings.boolean(at + "filter_default", True),
        prometheus_retention_time_ns=settings.span_of(
            "prometheus_retention_time", settings.get(at + "prometheus_retention_time", None), 0
        ),
        statsd_address=settings.text(at + "statsd_address"),
        statsite_address=settings.text(at + "statsite_address"),
        dogstatsd_addr=settings.text(at + "dogstatsd_addr"),
        dogstatsd_tags=settings.texts(at + "dogstatsd_tags"),
        circonus={key.removeprefix("circonus_"): text for key, text in given.items() if key.startswith("circonus_")},
    )


def _acl(settings: Settings) -> AclConfig:
    default_ttl_ns = settings.span("acl_ttl", FILE_TTL_DEFAULT_NS)
    replication = settings.text("acl_replication_token")
    return AclConfig(
        enabled=settings.boolean("acl.enabled", settings.has("acl_datacenter")),
        default_policy=settings.text("acl.default_policy", settings.text("acl_default_policy", "allow")),
        down_policy=settings.text("acl.down_policy", settings.text("acl_down_policy", "extend-cache")),
        token_ttl_ns=settings.span("acl.token_ttl", default_ttl_ns),
        policy_ttl_ns=settings.span("acl.policy_ttl", FILE_TTL_DEFAULT_NS),
        role_ttl_ns=settings.span("acl.role_ttl", 0) or FILE_TTL_DEFAULT_NS,
        enable_key_list_policy=settings.boolean(
            "acl.enable_key_list_policy", settings.boolean("acl_enable_key_list_policy")
        ),
        enable_token_replication=settings.boolean(
            "acl.enable_token_replication",
            settings.boolean("enable_acl_replication") or replication != "",
        ),
        enable_token_persistence=settings.boolean("acl.enable_token_persistence"),
        enforce_version_8=settings.boolean("acl_enforce_version_8", True),
        tokens=AclTokens(
            master=settings.text("acl.tokens.master", settings.text("acl_master_token")),
            default=settings.text("acl.tokens.default", settings.text("acl_token")),
            agent=settings.text("acl.tokens.agent", settings.text("acl_agent_token")),
            agent_master=settings.text("acl.tokens.agent_master", settings.text("acl_agent_master_token")),
            replication=settings.text("acl.tokens.replication", replication),
        ),
    )


def _connect(settings: Settings) -> ConnectConfig:
    allow_tls = settings.boolean("auto_encrypt.allow_tls")
    return ConnectConfig(
        enabled=settings.boolean("connect.enabled") or allow_tls,
        ca_provider=settings.text("connect.ca_provider") or "consul",
        ca_config=settings.get("connect.ca_config", {}),
        auto_encrypt_tls=settings.boolean("auto_encrypt.tls"),
        auto_encrypt_allow_tls=allow_tls,
        auto_encrypt_dns_san=settings.texts("auto_encrypt.dns_san"),
        auto_encrypt_ip_san=_ip_addresses(settings),
    )


def _ip_addresses(settings: Settings) -> tuple[str, ...]:
    found = []
    for text in settings.texts("auto_encrypt.ip_san"):
        if parse_ip(text) is None:
            settings.warnings.append(f'Cannot parse ip "{text}" from AutoEncrypt.IPSAN')
        else:
            found.append(text)
    return tuple(found)


def _tls(settings: Settings, node_name: str) -> TlsConfig:
    hostname = settings.boolean("verify_server_hostname")
    listed = settings.text("tls_cipher_suites").strip()
    suites = tuple(listed.split(",")) if listed else ()
    unknown = next((suite for suite in suites if suite not in CIPHER_SUITES), None)
    if unknown is not None:
        settings.errors.append(f'tls_cipher_suites: invalid tls cipher suites: unsupported cipher "{unknown}"')
    return TlsConfig(
        ca_file=settings.text("ca_file"),
        ca_path=settings.text("ca_path"),
        cert_file=settings.text("cert_file"),
        key_file=settings.text("key_file"),
        server_name=settings.text("server_name", node_name),
        min_version=settings.text("tls_min_version", "tls12"),
        cipher_suites=suites,
        prefer_server_cipher_suites=settings.boolean("tls_prefer_server_cipher_suites"),
        verify_incoming=settings.boolean("verify_incoming"),
        verify_incoming_rpc=settings.boolean("verify_incoming_rpc"),
        verify_incoming_https=settings.boolean("verify_incoming_https"),
        verify_outgoing=settings.boolean("verify_outgoing") or hostname,
        verify_server_hostname=hostname,
    )


def _checks(settings: Settings) -> ChecksConfig:
    remote = settings.boolean("enable_script_checks")
    return ChecksConfig(
        update_interval_ns=settings.span("check_update_interval", 5 * MINUTE_NS),
        output_max_size=settings.integer("check_output_max_size", 4096),
        discard_output=settings.boolean("discard_check_output"),
        enable_remote_scripts=remote,
        enable_local_scripts=settings.boolean("enable_local_script_checks", remote),
        enable_agent_tls=settings.boolean("enable_agent_tls_for_checks"),
    )


def _log(settings: Settings) -> LogConfig:
    return LogConfig(
        level=settings.text("log_level", "INFO"),
        json=settings.boolean("log_json"),
        file=settings.text("log_file"),
        rotate_bytes=settings.integer("log_rotate_bytes", 0),
        rotate_duration_ns=settings.span("log_rotate_duration", 24 * HOUR_NS),
        rotate_max_files=settings.integer("log_rotate_max_files", 0),
        syslog=settings.boolean("enable_syslog"),
        syslog_facility=settings.text("syslog_facility", "LOCAL0"),
    )
