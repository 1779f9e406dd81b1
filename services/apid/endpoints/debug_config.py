"""`DebugConfig` of /v1/agent/self: the running configuration under Consul's names, secrets hidden.

Durations are Go texts, as Consul shows them.
"""

from __future__ import annotations

from typing import Any

from lictor.config.runtime import RuntimeConfig
from lictor.state.gotext import format_duration

HIDDEN = "hidden"


def debug_config(config: RuntimeConfig) -> dict[str, Any]:
    """Everything that clients and people look up there."""
    shown: dict[str, Any] = {}
    for part in (_identity, _network, _consensus, _gossip, _dns, _http, _access, _checks, _telemetry):
        shown.update(part(config))
    return dict(sorted(shown.items()))


def _secret(value: str) -> str:
    return HIDDEN if value else ""


def _identity(config: RuntimeConfig) -> dict[str, Any]:
    return {
        "Bootstrap": config.bootstrap,
        "BootstrapExpect": config.bootstrap_expect,
        "DataDir": config.data_dir,
        "Datacenter": config.datacenter,
        "DevMode": config.dev_mode,
        "EnableDebug": config.http.enable_debug,
        "EnableSyslog": config.log.syslog,
        "LogFile": config.log.file,
        "LogLevel": config.log.level,
        "NodeID": config.node_id,
        "NodeMeta": dict(config.node_meta),
        "NodeName": config.node_name,
        "NonVotingServer": config.non_voting_server,
        "PidFile": config.pid_file,
        "PrimaryDatacenter": config.primary_datacenter,
        "Revision": config.revision,
        "ServerMode": config.server_mode,
        "ServerName": config.tls.server_name,
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
        "GRPCAddrs": _addresses("tcp", config.addresses.grpc, ports.grpc),
        "GRPCPort": ports.grpc,
        "HTTPAddrs": _addresses("tcp", config.addresses.http, ports.http),
        "HTTPPort": ports.http,
        "HTTPSAddrs": _addresses("tcp", config.addresses.https, ports.https),
        "HTTPSPort": ports.https,
        "RPCAdvertiseAddr": f"tcp://{config.raft.advertise_addr}:{ports.server}",
        "RPCBindAddr": f"tcp://{config.raft.bind_addr}:{ports.server}",
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
    raft, autopilot = config.raft, config.autopilot
    return {
        "AutopilotCleanupDeadServers": autopilot.cleanup_dead_servers,
        "AutopilotDisableUpgradeMigration": autopilot.disable_upgrade_migration,
        "AutopilotLastContactThreshold": format_duration(autopilot.last_contact_threshold_ns),
        "AutopilotMaxTrailingLogs": autopilot.max_trailing_logs,
        "AutopilotMinQuorum": autopilot.min_quorum,
        "AutopilotServerStabilizationTime": format_duration(autopilot.server_stabilization_time_ns),
        "ConsulRaftElectionTimeout": format_duration(raft.election_timeout_ns),
        "ConsulRaftHeartbeatTimeout": format_duration(raft.heartbeat_timeout_ns),
        "ConsulRaftLeaderLeaseTimeout": format_duration(raft.leader_lease_timeout_ns),
        "RPCHoldTimeout": format_duration(config.performance.rpc_hold_timeout_ns),
        "LeaveDrainTime": format_duration(config.performance.leave_drain_time_ns),
        "RaftProtocol": raft.protocol,
        "RaftSnapshotInterval": format_duration(raft.snapshot_interval_ns),
        "RaftSnapshotThreshold": raft.snapshot_threshold,
        "RaftTrailingLogs": raft.trailing_logs,
        "SessionTTLMin": format_duration(config.session_ttl_min_ns),
        "LeaveOnTerm": config.leave_on_terminate,
        "SkipLeaveOnInt": config.skip_leave_on_interrupt,
    }


def _gossip(config: RuntimeConfig) -> dict[str, Any]:
    lan, wan = config.gossip_lan, config.gossip_wan
    return {
        "EncryptKey": _secret(config.encrypt_key),
        "EncryptVerifyIncoming": config.encrypt_verify_incoming,
        "EncryptVerifyOutgoing": config.encrypt_verify_outgoing,
        "GossipLANGossipInterval": format_duration(lan.gossip_interval_ns),
        "GossipLANProbeInterval": format_duration(lan.probe_interval_ns),
        "GossipLANProbeTimeout": format_duration(lan.probe_timeout_ns),
        "GossipLANSuspicionMult": lan.suspicion_mult,
        "GossipWANGossipInterval": format_duration(wan.gossip_interval_ns),
        "GossipWANProbeInterval": format_duration(wan.probe_interval_ns),
        "GossipWANProbeTimeout": format_duration(wan.probe_timeout_ns),
        "GossipWANSuspicionMult": wan.suspicion_mult,
        "RejoinAfterLeave": config.rejoin_after_leave,
        "RetryJoinLAN": [HIDDEN for _ in config.join_lan.retry_join],
        "RetryJoinWAN": [HIDDEN for _ in config.join_wan.retry_join],
        "StartJoinAddrsLAN": list(config.join_lan.start_join),
        "StartJoinAddrsWAN": list(config.join_wan.start_join),
    }


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
        "DNSDisableCompression": dns.disable_compression,
        "DNSDomain": dns.domain,
        "DNSEnableTruncate": dns.enable_truncate,
        "DNSMaxStale": format_duration(dns.max_stale_ns),
        "DNSNodeTTL": format_duration(dns.node_ttl_ns),
        "DNSOnlyPassing": dns.only_passing,
        "DNSPort": config.ports.dns,
        "DNSRecursors": list(dns.recursors),
        "DNSServiceTTL": {name: format_duration(ttl_ns) for name, ttl_ns in dns.service_ttl_ns.items()},
        "DNSUDPAnswerLimit": dns.udp_answer_limit,
        "DNSUseCache": dns.use_cache,
    }


def _http(config: RuntimeConfig) -> dict[str, Any]:
    http, limits = config.http, config.limits
    return {
        "AllowWriteHTTPFrom": list(http.allow_write_http_from),
        "DiscoveryMaxStale": format_duration(http.discovery_max_stale_ns),
        "EnableUI": http.ui,
        "HTTPBlockEndpoints": list(http.block_endpoints),
        "HTTPMaxConnsPerClient": limits.http_max_conns_per_client,
        "HTTPResponseHeaders": dict(http.response_headers),
        "KVMaxValueSize": limits.kv_max_value_size,
        "RPCMaxBurst": limits.rpc_max_burst,
        "RPCMaxConnsPerClient": limits.rpc_max_conns_per_client,
        "TranslateWANAddrs": http.translate_wan_addrs,
        "TxnMaxReqLen": limits.txn_max_req_len,
        "UIContentPath": http.ui_content_path,
        "UIDir": http.ui_dir,
        "DefaultQueryTime": format_duration(config.default_query_time_ns),
        "MaxQueryTime": format_duration(config.max_query_time_ns),
    }


def _access(config: RuntimeConfig) -> dict[str, Any]:
    acl, tls = config.acl, config.tls
    return {
        "ACLAgentMasterToken": _secret(acl.tokens.agent_master),
        "ACLAgentToken": _secret(acl.tokens.agent),
        "ACLDatacenter": config.primary_datacenter,
        "ACLDefaultPolicy": acl.default_policy,
        "ACLDownPolicy": acl.down_policy,
        "ACLMasterToken": _secret(acl.tokens.master),
        "ACLPolicyTTL": format_duration(acl.policy_ttl_ns),
        "ACLReplicationToken": _secret(acl.tokens.replication),
        "ACLRoleTTL": format_duration(acl.role_ttl_ns),
        "ACLToken": _secret(acl.tokens.default),
        "ACLTokenReplication": acl.enable_token_replication,
        "ACLTokenTTL": format_duration(acl.token_ttl_ns),
        "ACLsEnabled": acl.enabled,
        "AutoEncryptAllowTLS": config.connect.auto_encrypt_allow_tls,
        "AutoEncryptTLS": config.connect.auto_encrypt_tls,
        "CAFile": tls.ca_file,
        "CAPath": tls.ca_path,
        "CertFile": tls.cert_file,
        "ConnectCAProvider": config.connect.ca_provider,
        "ConnectEnabled": config.connect.enabled,
        "KeyFile": HIDDEN,
        "TLSMinVersion": tls.min_version,
        "VerifyIncoming": tls.verify_incoming,
        "VerifyIncomingHTTPS": tls.verify_incoming_https,
        "VerifyIncomingRPC": tls.verify_incoming_rpc,
        "VerifyOutgoing": tls.verify_outgoing,
        "VerifyServerHostname": tls.verify_server_hostname,
    }


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
        "SyncCoordinateIntervalMin": format_duration(config.coordinates.sync_interval_min_ns),
        "SyncCoordinateRateTarget": config.coordinates.sync_rate_target,
    }


def _telemetry(config: RuntimeConfig) -> dict[str, Any]:
    telemetry = config.telemetry
    return {
        "Telemetry": {
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
