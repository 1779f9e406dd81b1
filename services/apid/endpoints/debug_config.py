"""`DebugConfig` of /v1/agent/self: the running configuration under Consul's names.

Durations are Go texts, and every text whose name speaks of a key, a token or a secret reads `hidden`, also when it
is empty. Some settings that nobody gave are shown as zero, as Consul does: their defaults are those of its parts.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from apid.endpoints.debug_definitions import HIDDEN, SECRET_WORDS, check_shown, hide, in_order, service_shown
from lictor.config.ciphers import CIPHER_SUITES
from lictor.config.runtime import (
    AclConfig,
    ConnectConfig,
    GossipConfig,
    LogConfig,
    RaftConfig,
    RuntimeConfig,
    wan_defaults,
)
from lictor.connect.provider_config import provider_settings
from lictor.state.gotext import format_duration

MAPPED_IPV4_PREFIX = bytes(10) + b"\xff\xff"
SEGMENT_LIMIT = 64


def debug_config(config: RuntimeConfig) -> dict[str, Any]:
    """Everything that clients and people look up there."""
    shown: dict[str, Any] = {}
    for part in (_identity, _network, _consensus, _gossip, _dns, _http, _access, _checks, _definitions, _telemetry):
        shown.update(part(config))
    hidden = {name: hide(name, value) for name, value in shown.items()}
    ordered: dict[str, Any] = in_order(hidden | _freely_typed(config))
    return ordered


def _unless_default(value: Any, default: Any, zero: Any = 0) -> Any:
    return zero if value == default else value


def _span_unless_default(value_ns: int, default_ns: int) -> str:
    return format_duration(_unless_default(value_ns, default_ns))


def _freely_typed(config: RuntimeConfig) -> dict[str, Any]:
    """What has no type of its own in Consul: shown as it is."""
    provider = provider_settings(config.connect.ca_config)
    if provider.get("PrivateKey"):
        provider["PrivateKey"] = HIDDEN
    return {
        "ConnectCAConfig": provider,
        "ACLTokenTTL": format_duration(config.acl.token_ttl_ns),
        "DNSServiceTTL": {name: format_duration(ttl_ns) for name, ttl_ns in config.dns.service_ttl_ns.items()},
    }


def _identity(config: RuntimeConfig) -> dict[str, Any]:
    return {
        "Bootstrap": config.bootstrap,
        "BootstrapExpect": config.bootstrap_expect,
        "DataDir": config.data_dir,
        "Datacenter": config.datacenter,
        "DevMode": config.dev_mode,
        "EnableDebug": config.http.enable_debug,
        "EnableSyslog": config.log.syslog,
        "EnterpriseRuntimeConfig": {},
        "LogFile": config.log.file,
        "LogJSON": config.log.json,
        "LogRotateBytes": config.log.rotate_bytes,
        "LogRotateDuration": _span_unless_default(config.log.rotate_duration_ns, LogConfig().rotate_duration_ns),
        "LogRotateMaxFiles": config.log.rotate_max_files,
        "SyslogFacility": config.log.syslog_facility,
        "LogLevel": config.log.level,
        "NodeID": config.node_id,
        "NodeMeta": dict(config.node_meta),
        "NodeName": config.node_name,
        "NonVotingServer": config.non_voting_server,
        "PidFile": config.pid_file,
        "PrimaryDatacenter": config.primary_datacenter,
        "Revision": config.revision,
        "ServerMode": config.server_mode,
        "ServerName": _unless_default(config.tls.server_name, config.node_name, ""),
        "Version": config.version,
        "VersionPrerelease": "",
    }


def _network(config: RuntimeConfig) -> dict[str, Any]:
    ports = config.ports
    return {
        "AdvertiseAddrLAN": config.advertise_addr_lan,
        "AdvertiseAddrWAN": config.advertise_addr_wan,
        "BindAddr": config.bind_addr,
        "ClientAddrs": list(config.client_addrs),
        "ConnectSidecarMaxPort": ports.sidecar_max_port,
        "ConnectSidecarMinPort": ports.sidecar_min_port,
        "ExposeMaxPort": ports.expose_max_port,
        "ExposeMinPort": ports.expose_min_port,
        "GRPCAddrs": _addresses("tcp", config.addresses.grpc, ports.grpc),
        "GRPCPort": ports.grpc,
        "HTTPAddrs": _addresses("tcp", config.addresses.http, ports.http),
        "HTTPPort": ports.http,
        "HTTPSAddrs": _addresses("tcp", config.addresses.https, ports.https),
        "HTTPSPort": ports.https,
        "RPCAdvertiseAddr": f"tcp://{config.raft.advertise_addr}:{ports.server}",
        "RPCBindAddr": f"tcp://{config.raft.bind_addr}:{ports.server}",
        "SegmentLimit": SEGMENT_LIMIT,
        "SegmentName": "",
        "SegmentNameLimit": SEGMENT_LIMIT,
        "Segments": [],
        "SerfAdvertiseAddrLAN": f"tcp://{config.gossip_lan.advertise_addr}:{config.gossip_lan.advertise_port}",
        "SerfAdvertiseAddrWAN": f"tcp://{config.gossip_wan.advertise_addr}:{config.gossip_wan.advertise_port}",
        "SerfBindAddrLAN": f"tcp://{config.gossip_lan.bind_addr}:{config.gossip_lan.port}",
        "SerfBindAddrWAN": f"tcp://{config.gossip_wan.bind_addr}:{config.gossip_wan.port}",
        "SerfPortLAN": ports.serf_lan,
        "SerfPortWAN": ports.serf_wan,
        "ServerPort": ports.server,
        "TaggedAddresses": dict(config.tagged_addresses),
    }


def _addresses(network: str, hosts: tuple[str, ...], port: int) -> list[str]:
    if port < 0:
        return []
    return [host if host.startswith("unix://") else f"{network}://{host}:{port}" for host in hosts]


def _consensus(config: RuntimeConfig) -> dict[str, Any]:
    raft, autopilot, plain = config.raft, config.autopilot, RaftConfig()
    return {
        "AutopilotCleanupDeadServers": autopilot.cleanup_dead_servers,
        "AutopilotDisableUpgradeMigration": autopilot.disable_upgrade_migration,
        "AutopilotLastContactThreshold": format_duration(autopilot.last_contact_threshold_ns),
        "AutopilotMaxTrailingLogs": autopilot.max_trailing_logs,
        "AutopilotMinQuorum": autopilot.min_quorum,
        "AutopilotRedundancyZoneTag": autopilot.redundancy_zone_tag,
        "AutopilotUpgradeVersionTag": autopilot.upgrade_version_tag,
        "AutopilotServerStabilizationTime": format_duration(autopilot.server_stabilization_time_ns),
        "ConsulRaftElectionTimeout": format_duration(raft.election_timeout_ns),
        "ConsulRaftHeartbeatTimeout": format_duration(raft.heartbeat_timeout_ns),
        "ConsulRaftLeaderLeaseTimeout": format_duration(raft.leader_lease_timeout_ns),
        "ConsulServerHealthInterval": format_duration(autopilot.health_interval_ns),
        "RPCHoldTimeout": format_duration(config.performance.rpc_hold_timeout_ns),
        "LeaveDrainTime": format_duration(config.performance.leave_drain_time_ns),
        "RPCProtocol": config.protocol,
        "RaftProtocol": _unless_default(raft.protocol, plain.protocol),
        "RaftSnapshotInterval": _span_unless_default(raft.snapshot_interval_ns, plain.snapshot_interval_ns),
        "RaftSnapshotThreshold": _unless_default(raft.snapshot_threshold, plain.snapshot_threshold),
        "RaftTrailingLogs": _unless_default(raft.trailing_logs, plain.trailing_logs),
        "SessionTTLMin": _span_unless_default(config.session_ttl_min_ns, RuntimeConfig().session_ttl_min_ns),
        "LeaveOnTerm": config.leave_on_terminate,
        "SkipLeaveOnInt": config.skip_leave_on_interrupt,
    }


def _gossip(config: RuntimeConfig) -> dict[str, Any]:
    lan, wan, join_lan, join_wan = config.gossip_lan, config.gossip_wan, config.join_lan, config.join_wan
    plain_lan, plain_wan = GossipConfig(), wan_defaults()
    return {
        "DisableKeyringFile": config.disable_keyring_file,
        "EncryptKey": config.encrypt_key,
        "EncryptVerifyIncoming": config.encrypt_verify_incoming,
        "EncryptVerifyOutgoing": config.encrypt_verify_outgoing,
        "GossipLANGossipInterval": format_duration(lan.gossip_interval_ns),
        "GossipLANGossipNodes": lan.gossip_nodes,
        "GossipLANRetransmitMult": lan.retransmit_mult,
        "GossipLANProbeInterval": format_duration(lan.probe_interval_ns),
        "GossipLANProbeTimeout": format_duration(lan.probe_timeout_ns),
        "GossipLANSuspicionMult": lan.suspicion_mult,
        "GossipWANGossipInterval": format_duration(wan.gossip_interval_ns),
        "GossipWANGossipNodes": wan.gossip_nodes,
        "GossipWANRetransmitMult": wan.retransmit_mult,
        "GossipWANProbeInterval": format_duration(wan.probe_interval_ns),
        "GossipWANProbeTimeout": format_duration(wan.probe_timeout_ns),
        "GossipWANSuspicionMult": wan.suspicion_mult,
        "RejoinAfterLeave": config.rejoin_after_leave,
        "ReconnectTimeoutLAN": _span_unless_default(lan.reconnect_timeout_ns, plain_lan.reconnect_timeout_ns),
        "ReconnectTimeoutWAN": _span_unless_default(wan.reconnect_timeout_ns, plain_wan.reconnect_timeout_ns),
        "RetryJoinIntervalLAN": format_duration(join_lan.retry_interval_ns),
        "RetryJoinIntervalWAN": format_duration(join_wan.retry_interval_ns),
        "RetryJoinLAN": [_without_secrets(text) for text in join_lan.retry_join],
        "RetryJoinMaxAttemptsLAN": join_lan.retry_max,
        "RetryJoinMaxAttemptsWAN": join_wan.retry_max,
        "RetryJoinWAN": [_without_secrets(text) for text in join_wan.retry_join],
        "StartJoinAddrsLAN": list(join_lan.start_join),
        "StartJoinAddrsWAN": list(join_wan.start_join),
    }


def _without_secrets(text: str) -> str:
    """`provider=… key=value …` with the values of secrets hidden."""
    words = text.split()
    return " ".join(
        f"{word.partition('=')[0]}={HIDDEN}" if any(secret in word.lower() for secret in SECRET_WORDS) else word
        for word in words
    )


def _dns(config: RuntimeConfig) -> dict[str, Any]:
    dns = config.dns
    return {
        "DNSAddrs": [
            f"{network}://{host}:{config.ports.dns}"
            for host in (config.addresses.dns if config.ports.dns >= 0 else ())
            for network in ("tcp", "udp")
        ],
        "DNSAltDomain": dns.alt_domain,
        "DNSARecordLimit": dns.a_record_limit,
        "DNSAllowStale": dns.allow_stale,
        "DNSCacheMaxAge": format_duration(dns.cache_max_age_ns),
        "DNSDisableCompression": dns.disable_compression,
        "DNSDomain": dns.domain,
        "DNSEnableTruncate": dns.enable_truncate,
        "DNSMaxStale": format_duration(dns.max_stale_ns),
        "DNSNodeMetaTXT": dns.node_meta_txt,
        "DNSNodeTTL": format_duration(dns.node_ttl_ns),
        "DNSOnlyPassing": dns.only_passing,
        "DNSPort": config.ports.dns,
        "DNSRecursorTimeout": format_duration(dns.recursor_timeout_ns),
        "DNSRecursors": [_as_given(recursor) for recursor in dns.recursors],
        "DNSSOA": {
            "Expire": dns.soa.expire,
            "Minttl": dns.soa.min_ttl,
            "Refresh": dns.soa.refresh,
            "Retry": dns.soa.retry,
        },
        "DNSUDPAnswerLimit": dns.udp_answer_limit,
        "DNSUseCache": dns.use_cache,
    }


def _as_given(recursor: str) -> str:
    """A recursor without the port that everybody means."""
    return recursor.removesuffix(":53").strip("[]")


def _http(config: RuntimeConfig) -> dict[str, Any]:
    http, limits = config.http, config.limits
    return {
        "AllowWriteHTTPFrom": list(http.allow_write_http_from),
        "DiscoveryMaxStale": format_duration(http.discovery_max_stale_ns),
        "DisableHTTPUnprintableCharFilter": http.disable_unprintable_char_filter,
        "EnableUI": http.ui,
        "HTTPBlockEndpoints": list(http.block_endpoints),
        "HTTPMaxConnsPerClient": limits.http_max_conns_per_client,
        "HTTPResponseHeaders": dict(http.response_headers),
        "HTTPSHandshakeTimeout": format_duration(limits.https_handshake_timeout_ns),
        "KVMaxValueSize": limits.kv_max_value_size,
        "RPCHandshakeTimeout": format_duration(limits.rpc_handshake_timeout_ns),
        "RPCMaxBurst": limits.rpc_max_burst,
        "RPCMaxConnsPerClient": limits.rpc_max_conns_per_client,
        "RPCRateLimit": -1 if limits.rpc_rate < 0 else limits.rpc_rate,
        "TranslateWANAddrs": http.translate_wan_addrs,
        "TxnMaxReqLen": limits.txn_max_req_len,
        "UIContentPath": http.ui_content_path,
        "UIDir": http.ui_dir,
        "UnixSocketGroup": http.unix_socket_group,
        "UnixSocketMode": http.unix_socket_mode,
        "UnixSocketUser": http.unix_socket_user,
        "DefaultQueryTime": format_duration(config.default_query_time_ns),
        "MaxQueryTime": format_duration(config.max_query_time_ns),
    }


def _access(config: RuntimeConfig) -> dict[str, Any]:
    acl, tls, connect = config.acl, config.tls, config.connect
    return {
        "ACLAgentMasterToken": acl.tokens.agent_master,
        "ACLAgentToken": acl.tokens.agent,
        "ACLDatacenter": config.primary_datacenter,
        "ACLDefaultPolicy": acl.default_policy,
        "ACLDisabledTTL": format_duration(acl.disabled_ttl_ns),
        "ACLDownPolicy": acl.down_policy,
        "ACLEnableKeyListPolicy": acl.enable_key_list_policy,
        "ACLEnableTokenPersistence": acl.enable_token_persistence,
        "ACLEnforceVersion8": acl.enforce_version_8,
        "ACLMasterToken": acl.tokens.master,
        "ACLPolicyTTL": format_duration(acl.policy_ttl_ns),
        "ACLReplicationToken": acl.tokens.replication,
        "ACLRoleTTL": _span_unless_default(acl.role_ttl_ns, AclConfig().role_ttl_ns),
        "ACLToken": acl.tokens.default,
        "ACLTokenReplication": acl.enable_token_replication,
        "ACLsEnabled": acl.enabled,
        "AutoEncryptAllowTLS": connect.auto_encrypt_allow_tls,
        "AutoEncryptDNSSAN": list(connect.auto_encrypt_dns_san),
        "AutoEncryptIPSAN": [_sixteen_bytes(address) for address in connect.auto_encrypt_ip_san],
        "AutoEncryptTLS": connect.auto_encrypt_tls,
        "CAFile": tls.ca_file,
        "CAPath": tls.ca_path,
        "CertFile": tls.cert_file,
        "ConnectCAProvider": _unless_default(connect.ca_provider, ConnectConfig().ca_provider, ""),
        "ConnectEnabled": connect.enabled,
        "ConnectTestCALeafRootChangeSpread": "0s",
        "KeyFile": tls.key_file,
        "TLSCipherSuites": [CIPHER_SUITES[name].number for name in tls.cipher_suites],
        "TLSMinVersion": tls.min_version,
        "TLSPreferServerCipherSuites": tls.prefer_server_cipher_suites,
        "VerifyIncoming": tls.verify_incoming,
        "VerifyIncomingHTTPS": tls.verify_incoming_https,
        "VerifyIncomingRPC": tls.verify_incoming_rpc,
        "VerifyOutgoing": tls.verify_outgoing,
        "VerifyServerHostname": tls.verify_server_hostname,
    }


def _sixteen_bytes(address: str) -> list[int]:
    """An IP address as the numbers that Go's JSON shows."""
    packed = ipaddress.ip_address(address).packed
    return list(packed if len(packed) == len(MAPPED_IPV4_PREFIX) + 4 else MAPPED_IPV4_PREFIX + packed)


def _checks(config: RuntimeConfig) -> dict[str, Any]:
    checks = config.checks_config
    return {
        "AEInterval": format_duration(checks.ae_interval_ns),
        "CheckDeregisterIntervalMin": format_duration(checks.deregister_interval_min_ns),
        "CheckOutputMaxSize": checks.output_max_size,
        "CheckReapInterval": format_duration(checks.reap_interval_ns),
        "CheckUpdateInterval": format_duration(checks.update_interval_ns),
        "DisableAnonymousSignature": config.disable_anonymous_signature,
        "DisableCoordinates": config.coordinates.disabled,
        "DisableHostNodeID": config.disable_host_node_id,
        "DisableRemoteExec": config.disable_remote_exec,
        "DisableUpdateCheck": config.disable_update_check,
        "DiscardCheckOutput": checks.discard_output,
        "EnableAgentTLSForChecks": checks.enable_agent_tls,
        "EnableCentralServiceConfig": config.enable_central_service_config,
        "EnableLocalScriptChecks": checks.enable_local_scripts,
        "EnableRemoteScriptChecks": checks.enable_remote_scripts,
        "ConsulCoordinateUpdateBatchSize": config.coordinates.update_batch_size,
        "ConsulCoordinateUpdateMaxBatches": config.coordinates.update_max_batches,
        "ConsulCoordinateUpdatePeriod": format_duration(config.coordinates.update_period_ns),
        "SyncCoordinateIntervalMin": format_duration(config.coordinates.sync_interval_min_ns),
        "SyncCoordinateRateTarget": int(config.coordinates.sync_rate_target),
    }


def _definitions(config: RuntimeConfig) -> dict[str, Any]:
    output_max_size = config.checks_config.output_max_size
    return {
        "Checks": [check_shown(check, output_max_size) for check in config.checks],
        "ConfigEntryBootstrap": [_named_as_in_go(entry) for entry in config.config_entries_bootstrap],
        "Services": [service_shown(service, output_max_size) for service in config.services],
        # What a watch is told is taken out of its definition as the watch is started.
        "Watches": [{} for _ in config.watches],
    }


_CIRCONUS = {
    "CirconusAPIApp": "api_app",
    "CirconusAPIToken": "api_token",
    "CirconusAPIURL": "api_url",
    "CirconusBrokerID": "broker_id",
    "CirconusBrokerSelectTag": "broker_select_tag",
    "CirconusCheckDisplayName": "check_display_name",
    "CirconusCheckForceMetricActivation": "check_force_metric_activation",
    "CirconusCheckID": "check_id",
    "CirconusCheckInstanceID": "check_instance_id",
    "CirconusCheckSearchTag": "check_search_tag",
    "CirconusCheckTags": "check_tags",
    "CirconusSubmissionInterval": "submission_interval",
    "CirconusSubmissionURL": "submission_url",
}


def _named_as_in_go(entry: dict[str, Any]) -> dict[str, Any]:
    return {"".join(word[:1].upper() + word[1:] for word in key.split("_")): value for key, value in entry.items()}


def _telemetry(config: RuntimeConfig) -> dict[str, Any]:
    telemetry = config.telemetry
    circonus = {name: telemetry.circonus.get(key, "") for name, key in _CIRCONUS.items()}
    return {
        "Telemetry": {
            **circonus,
            "AllowedPrefixes": list(telemetry.allowed_prefixes),
            "BlockedPrefixes": list(telemetry.blocked_prefixes),
            "DisableHostname": telemetry.disable_hostname,
            "DogstatsdAddr": telemetry.dogstatsd_addr,
            "DogstatsdTags": list(telemetry.dogstatsd_tags),
            "FilterDefault": telemetry.filter_default,
            "MetricsPrefix": telemetry.metrics_prefix,
            "PrometheusRetentionTime": format_duration(telemetry.prometheus_retention_time_ns),
            "StatsdAddr": telemetry.statsd_address,
            "StatsiteAddr": telemetry.statsite_address,
        }
    }
