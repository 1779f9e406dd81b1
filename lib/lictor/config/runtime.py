"""The resolved configuration of one agent: what every daemon is started with.

`lictor.config.load` makes a `RuntimeConfig` from flags and files; the supervisor saves it as
`<data_dir>/run/config.json` and hands it to the daemons. Everything in it is final: addresses are literal IPs
(or `unix:///path`), durations are integer nanoseconds (`*_ns`), defaults are Consul 1.7's, derived values are
filled in. Values are frozen; a reload makes a new object. `RuntimeConfig()` alone is a valid client agent on
loopback, which tests start from.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

MICROSECOND_NS = 1_000
MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS

DISABLED_PORT = -1
"""A port with this value is not opened."""

BASE_HEARTBEAT_NS = 1 * SECOND_NS
BASE_ELECTION_NS = 1 * SECOND_NS
BASE_LEADER_LEASE_NS = 500 * MILLISECOND_NS
DEFAULT_RAFT_MULTIPLIER = 5


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every part of the configuration: a frozen value, built by keyword."""


class Ports(Section, frozen=True, kw_only=True):
    """TCP and UDP port numbers; -1 turns a listener off."""

    dns: int = 8600
    http: int = 8500
    https: int = DISABLED_PORT
    grpc: int = DISABLED_PORT
    serf_lan: int = 8301
    serf_wan: int = 8302
    server: int = 8300
    api: int = 8303
    """Where apids forward requests to each other (ours, not Consul's), on the bind address."""
    api_explicit: bool = False
    """True when `ports.api` was set by the user: then a taken port is an error, else a free one is used."""
    sidecar_min_port: int = 21000
    sidecar_max_port: int = 21255
    expose_min_port: int = 21500
    expose_max_port: int = 21755
    proxy_min_port: int = 20000
    proxy_max_port: int = 20255


class Addresses(Section, frozen=True, kw_only=True):
    """Where the client-facing listeners bind: literal IPs; http, https and grpc also `unix:///path`."""

    dns: tuple[str, ...] = ("127.0.0.1",)
    http: tuple[str, ...] = ("127.0.0.1",)
    https: tuple[str, ...] = ("127.0.0.1",)
    grpc: tuple[str, ...] = ("127.0.0.1",)


class SoaConfig(Section, frozen=True, kw_only=True):
    """SOA record numbers in seconds."""

    refresh: int = 3600
    retry: int = 600
    expire: int = 86400
    min_ttl: int = 0


class DnsConfig(Section, frozen=True, kw_only=True):
    """`dns_config`, the domains and the recursors."""

    domain: str = "consul."
    """Always with the trailing dot."""
    alt_domain: str = ""
    """With the trailing dot, or empty."""
    recursors: tuple[str, ...] = ()
    """`host:port`."""
    allow_stale: bool = True
    max_stale_ns: int = 87600 * HOUR_NS
    node_ttl_ns: int = 0
    service_ttl_ns: dict[str, int] = {}
    """Service name, `prefix*` or `*` to TTL."""
    only_passing: bool = False
    enable_truncate: bool = False
    udp_answer_limit: int = 3
    a_record_limit: int = 0
    disable_compression: bool = False
    recursor_timeout_ns: int = 2 * SECOND_NS
    node_meta_txt: bool = True
    """`enable_additional_node_meta_txt`."""
    soa: SoaConfig = SoaConfig()
    use_cache: bool = False
    cache_max_age_ns: int = 0


class GossipConfig(Section, frozen=True, kw_only=True):
    """One gossip pool's timings and addresses."""

    bind_addr: str = "127.0.0.1"
    port: int = 8301
    advertise_addr: str = "127.0.0.1"
    advertise_port: int = 8301
    gossip_nodes: int = 3
    gossip_interval_ns: int = 200 * MILLISECOND_NS
    probe_interval_ns: int = 1 * SECOND_NS
    probe_timeout_ns: int = 500 * MILLISECOND_NS
    suspicion_mult: int = 4
    retransmit_mult: int = 4
    reconnect_timeout_ns: int = 72 * HOUR_NS


def wan_defaults() -> GossipConfig:
    """The WAN pool's profile as Consul runs it (3 gossip nodes, not memberlist's 4)."""
    return GossipConfig(
        port=8302,
        advertise_port=8302,
        gossip_interval_ns=500 * MILLISECOND_NS,
        probe_interval_ns=5 * SECOND_NS,
        probe_timeout_ns=3 * SECOND_NS,
        suspicion_mult=6,
    )


class RaftConfig(Section, frozen=True, kw_only=True):
    """Raft timings, already multiplied by `performance.raft_multiplier`, and log compaction."""

    bind_addr: str = "127.0.0.1"
    """Address of the server port (8300) listener; its port is `ports.server`."""
    advertise_addr: str = "127.0.0.1"
    multiplier: int = DEFAULT_RAFT_MULTIPLIER
    heartbeat_timeout_ns: int = DEFAULT_RAFT_MULTIPLIER * BASE_HEARTBEAT_NS
    election_timeout_ns: int = DEFAULT_RAFT_MULTIPLIER * BASE_ELECTION_NS
    leader_lease_timeout_ns: int = DEFAULT_RAFT_MULTIPLIER * BASE_LEADER_LEASE_NS
    commit_timeout_ns: int = 50 * MILLISECOND_NS
    protocol: int = 3
    snapshot_threshold: int = 16384
    snapshot_interval_ns: int = 30 * SECOND_NS
    trailing_logs: int = 10240


class PerformanceConfig(Section, frozen=True, kw_only=True):
    """`performance`."""

    leave_drain_time_ns: int = 5 * SECOND_NS
    rpc_hold_timeout_ns: int = 7 * SECOND_NS


class LimitsConfig(Section, frozen=True, kw_only=True):
    """`limits`; sizes in bytes."""

    http_max_conns_per_client: int = 200
    https_handshake_timeout_ns: int = 5 * SECOND_NS
    rpc_handshake_timeout_ns: int = 5 * SECOND_NS
    rpc_max_conns_per_client: int = 100
    rpc_rate: float = -1.0
    """Agent calls per second; negative is unlimited."""
    rpc_max_burst: int = 1000
    kv_max_value_size: int = 512 * 1024
    txn_max_req_len: int = 512 * 1024


class HttpConfig(Section, frozen=True, kw_only=True):
    """`http_config`, the web page's settings and what else only apid reads."""

    block_endpoints: tuple[str, ...] = ()
    allow_write_http_from: tuple[str, ...] = ()
    """CIDRs; empty allows all."""
    response_headers: dict[str, str] = {}
    workers: int = 1
    """Processes that share the HTTP port (ours)."""
    fast_lane: bool = True
    """Answer hot requests before the web framework (ours)."""
    ui: bool = False
    ui_dir: str = ""
    ui_content_path: str = "/ui/"
    pretty: bool = False
    """Indent every JSON answer, as -dev does."""
    disable_unprintable_char_filter: bool = False
    discovery_max_stale_ns: int = 0
    enable_debug: bool = False
    translate_wan_addrs: bool = False
    unix_socket_user: str = ""
    unix_socket_group: str = ""
    unix_socket_mode: str = ""


class TelemetryConfig(Section, frozen=True, kw_only=True):
    """`telemetry`."""

    metrics_prefix: str = "consul"
    disable_hostname: bool = False
    allowed_prefixes: tuple[str, ...] = ()
    blocked_prefixes: tuple[str, ...] = ()
    filter_default: bool = True
    prometheus_retention_time_ns: int = 0
    statsd_address: str = ""
    statsite_address: str = ""
    dogstatsd_addr: str = ""
    dogstatsd_tags: tuple[str, ...] = ()
    circonus: dict[str, str] = {}
    """The `telemetry.circonus_*` keys without their prefix; accepted, no such sink is built in."""


class AutopilotConfig(Section, frozen=True, kw_only=True):
    """`autopilot`: only the first values of the replicated configuration."""

    cleanup_dead_servers: bool = True
    last_contact_threshold_ns: int = 200 * MILLISECOND_NS
    max_trailing_logs: int = 250
    min_quorum: int = 0
    server_stabilization_time_ns: int = 10 * SECOND_NS
    redundancy_zone_tag: str = ""
    disable_upgrade_migration: bool = False
    upgrade_version_tag: str = ""
    health_interval_ns: int = 2 * SECOND_NS


class AclTokens(Section, frozen=True, kw_only=True):
    """`acl.tokens`."""

    master: str = ""
    default: str = ""
    agent: str = ""
    agent_master: str = ""
    replication: str = ""


class AclConfig(Section, frozen=True, kw_only=True):
    """`acl` with the deprecated top-level keys merged in."""

    enabled: bool = False
    default_policy: str = "allow"
    down_policy: str = "extend-cache"
    token_ttl_ns: int = 30 * SECOND_NS
    policy_ttl_ns: int = 30 * SECOND_NS
    role_ttl_ns: int = 30 * SECOND_NS
    disabled_ttl_ns: int = 120 * SECOND_NS
    enable_key_list_policy: bool = False
    enable_token_replication: bool = False
    enable_token_persistence: bool = False
    enforce_version_8: bool = True
    tokens: AclTokens = AclTokens()


class ConnectConfig(Section, frozen=True, kw_only=True):
    """`connect` and `auto_encrypt`."""

    enabled: bool = False
    ca_provider: str = "consul"
    ca_config: dict[str, Any] = {}
    auto_encrypt_tls: bool = False
    auto_encrypt_allow_tls: bool = False
    auto_encrypt_dns_san: tuple[str, ...] = ()
    auto_encrypt_ip_san: tuple[str, ...] = ()


class TlsConfig(Section, frozen=True, kw_only=True):
    """TLS settings; files are paths, empty when unset."""

    ca_file: str = ""
    ca_path: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""
    min_version: str = "tls12"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = False
    verify_incoming: bool = False
    verify_incoming_rpc: bool = False
    verify_incoming_https: bool = False
    verify_outgoing: bool = False
    verify_server_hostname: bool = False


class JoinConfig(Section, frozen=True, kw_only=True):
    """Whom to join at start, per pool; addresses as written (`host`, `host:port`, `provider=…`)."""

    start_join: tuple[str, ...] = ()
    retry_join: tuple[str, ...] = ()
    retry_interval_ns: int = 30 * SECOND_NS
    retry_max: int = 0
    """Attempts before giving up with exit code 1; 0 is for ever."""


class ChecksConfig(Section, frozen=True, kw_only=True):
    """What checkd needs about checks and anti-entropy."""

    update_interval_ns: int = 5 * MINUTE_NS
    """`check_update_interval`: how long a change of only the output may wait."""
    output_max_size: int = 4096
    discard_output: bool = False
    deregister_interval_min_ns: int = 1 * MINUTE_NS
    reap_interval_ns: int = 30 * SECOND_NS
    ae_interval_ns: int = 1 * MINUTE_NS
    enable_remote_scripts: bool = False
    """`enable_script_checks`: script checks from files and the API."""
    enable_local_scripts: bool = False
    """Script checks from files."""
    enable_agent_tls: bool = False
    """`enable_agent_tls_for_checks`."""


class CoordinateConfig(Section, frozen=True, kw_only=True):
    """Network coordinates; not settable by users, faster under -dev."""

    disabled: bool = False
    sync_interval_min_ns: int = 15 * SECOND_NS
    sync_rate_target: float = 64.0
    update_period_ns: int = 5 * SECOND_NS
    update_batch_size: int = 128
    update_max_batches: int = 5


class LogConfig(Section, frozen=True, kw_only=True):
    """Where log lines go and which."""

    level: str = "INFO"
    json: bool = False
    file: str = ""
    rotate_bytes: int = 0
    rotate_duration_ns: int = 24 * HOUR_NS
    rotate_max_files: int = 0
    syslog: bool = False
    syslog_facility: str = "LOCAL0"


class RuntimeConfig(Section, frozen=True, kw_only=True):
    """One agent's whole configuration."""

    node_name: str = "localhost"
    node_id: str = ""
    """UUID, kept in `<data_dir>/node-id`."""
    node_meta: dict[str, str] = {}
    datacenter: str = "dc1"
    primary_datacenter: str = "dc1"
    data_dir: str = ""
    """Absolute; under -dev a directory made for this run."""
    dev_mode: bool = False
    server_mode: bool = False
    bootstrap: bool = False
    """May elect itself at once; `bootstrap_expect` of 1 becomes this. `dev_mode` implies it without setting it."""
    bootstrap_expect: int = 0
    non_voting_server: bool = False
    protocol: int = 2
    pid_file: str = ""

    bind_addr: str = "127.0.0.1"
    """What cluster listeners (server, api, gossip) bind; may be 0.0.0.0 or ::."""
    advertise_addr_lan: str = "127.0.0.1"
    """The node's address as told to peers; always a real IP."""
    advertise_addr_wan: str = "127.0.0.1"
    tagged_addresses: dict[str, str] = {}
    """`lan`, `wan`, `lan_ipv4`, … and what the user added."""
    client_addrs: tuple[str, ...] = ("127.0.0.1",)
    ports: Ports = Ports()
    addresses: Addresses = Addresses()

    dns: DnsConfig = DnsConfig()
    gossip_lan: GossipConfig = GossipConfig()
    gossip_wan: GossipConfig = msgspec.field(default_factory=wan_defaults)
    join_lan: JoinConfig = JoinConfig()
    join_wan: JoinConfig = JoinConfig()
    rejoin_after_leave: bool = False
    encrypt_key: str = ""
    """Base64 gossip key, or empty."""
    encrypt_verify_incoming: bool = True
    encrypt_verify_outgoing: bool = True
    disable_keyring_file: bool = False
    raft: RaftConfig = RaftConfig()
    performance: PerformanceConfig = PerformanceConfig()
    autopilot: AutopilotConfig = AutopilotConfig()
    limits: LimitsConfig = LimitsConfig()
    http: HttpConfig = HttpConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    acl: AclConfig = AclConfig()
    connect: ConnectConfig = ConnectConfig()
    tls: TlsConfig = TlsConfig()
    checks_config: ChecksConfig = ChecksConfig()
    coordinates: CoordinateConfig = CoordinateConfig()
    log: LogConfig = LogConfig()

    default_query_time_ns: int = 300 * SECOND_NS
    max_query_time_ns: int = 600 * SECOND_NS
    session_ttl_min_ns: int = 10 * SECOND_NS
    leave_on_terminate: bool = True
    skip_leave_on_interrupt: bool = False
    disable_remote_exec: bool = True
    disable_host_node_id: bool = True
    disable_update_check: bool = False
    disable_anonymous_signature: bool = False
    enable_central_service_config: bool = False

    services: tuple[dict[str, Any], ...] = ()
    """Definitions of the files, each as `PUT /v1/agent/service/register` takes it, plus `Token`."""
    checks: tuple[dict[str, Any], ...] = ()
    """Definitions of the files, each as `PUT /v1/agent/check/register` takes it, plus `Token`."""
    watches: tuple[dict[str, Any], ...] = ()
    """Watch definitions of the files, keys as written."""
    config_entries_bootstrap: tuple[dict[str, Any], ...] = ()
    """Configuration entries the leader creates when absent, as `PUT /v1/config` takes them."""
    revision: str = ""
    version: str = "1.7.2"
    """The Consul version whose behaviour this agent has (shown in tags and answers)."""

    @property
    def is_secondary(self) -> bool:
        """Whether another datacenter is the primary one."""
        return bool(self.primary_datacenter) and self.primary_datacenter != self.datacenter

    def save(self, path: Path | str) -> None:
        """Write as JSON, atomically, readable by the owner only (it holds tokens and keys)."""
        target = Path(path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(self))
        temporary.replace(target)

    @classmethod
    def load(cls, path: Path | str) -> RuntimeConfig:
        """Read what `save` wrote.

        Raises OSError when it cannot be read and msgspec.DecodeError when it is not a configuration.
        """
        return msgspec.json.decode(Path(path).read_bytes(), type=cls)


def run_dir(data_dir: str) -> Path:
    """The directory of the files by which the daemons of one agent find each other."""
    return Path(data_dir) / "run"


def config_path(data_dir: str) -> Path:
    """Where the supervisor keeps the resolved configuration."""
    return run_dir(data_dir) / "config.json"


def with_tokens(config: RuntimeConfig, tokens: AclTokens) -> RuntimeConfig:
    """The configuration with other tokens of the agent."""
    replace = msgspec.structs.replace
    return replace(config, acl=replace(config.acl, tokens=tokens))
