"""The tags by which members know each other: Consul's, and one of ours (Consul 1.7: server and client serf setup)."""

from lictor.config.runtime import DISABLED_PORT, RuntimeConfig

API_TAG = "lictor_api"
SERF_VERSIONS = {"vsn": "2", "vsn_min": "2", "vsn_max": "3"}
RAFT_VERSION = "3"
BUILD_REVISION_LENGTH = 8


def _common(config: RuntimeConfig) -> dict[str, str]:
    return {
        "dc": config.datacenter,
        "segment": "",
        "id": config.node_id,
        "build": f"{config.version}:{config.revision[:BUILD_REVISION_LENGTH]}",
        "acls": "1" if config.acl.enabled else "0",
        **SERF_VERSIONS,
    }


def client_tags(config: RuntimeConfig) -> dict[str, str]:
    return {"role": "node", **_common(config)}


def server_tags(config: RuntimeConfig, wan: bool) -> dict[str, str]:
    """The same in both pools, but for the port by which LAN servers are flooded into the WAN pool."""
    tags = {"role": "consul", "raft_vsn": RAFT_VERSION, "port": str(config.ports.server), **_common(config)}
    if not wan and config.ports.serf_wan != DISABLED_PORT:
        tags["wan_join_port"] = str(config.gossip_wan.advertise_port)
    if config.bootstrap or config.dev_mode:
        tags["bootstrap"] = "1"
    if config.bootstrap_expect:
        tags["expect"] = str(config.bootstrap_expect)
    if config.non_voting_server:
        tags["nonvoter"] = "1"
    if config.tls.verify_outgoing or config.tls.ca_file or config.tls.ca_path:
        tags["use_tls"] = "1"
    return tags
