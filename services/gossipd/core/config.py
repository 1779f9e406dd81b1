"""The numbers that define a pool's behaviour. Durations are nanoseconds. Values of memberlist, Serf and Consul 1.7."""

from dataclasses import dataclass, replace

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS

# Protocol versions PMin PMax PCur DMin DMax DCur, as Consul 1.7.2 announces them.
VERSIONS = bytes((1, 5, 2, 2, 5, 4))


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """One pool as one node takes part in it."""

    name: str
    address: bytes
    port: int
    versions: bytes = VERSIONS

    # Failure detection (memberlist). The probe timeout must be shorter than the interval.
    probe_interval_ns: int = SECOND_NS
    probe_timeout_ns: int = 500 * MILLISECOND_NS
    indirect_checks: int = 3
    stream_pings: bool = True
    suspicion_mult: int = 4
    suspicion_max_timeout_mult: int = 6
    awareness_max_multiplier: int = 8
    dead_node_reclaim_ns: int = 30 * SECOND_NS

    # Dissemination (memberlist).
    gossip_interval_ns: int = 200 * MILLISECOND_NS
    gossip_nodes: int = 3
    gossip_to_the_dead_ns: int = 30 * SECOND_NS
    retransmit_mult: int = 4
    push_pull_interval_ns: int = 30 * SECOND_NS
    packet_bytes: int = 1400
    # What sealing a packet adds: encryption's version, nonce and tag; nothing without keys.
    sealing_overhead_bytes: int = 0
    stream_timeout_ns: int = 10 * SECOND_NS

    # Membership history (Serf).
    reap_interval_ns: int = 15 * SECOND_NS
    reconnect_interval_ns: int = 30 * SECOND_NS
    reconnect_timeout_ns: int = 72 * HOUR_NS
    tombstone_timeout_ns: int = 24 * HOUR_NS
    recent_intent_timeout_ns: int = 300 * SECOND_NS
    broadcast_timeout_ns: int = 5 * SECOND_NS
    leave_propagate_delay_ns: int = 3 * SECOND_NS
    queue_check_interval_ns: int = 30 * SECOND_NS
    min_queue_depth: int = 4096

    # Events and queries (Serf).
    user_event_bytes: int = 512
    query_bytes: int = 1024
    query_response_bytes: int = 1024
    query_timeout_mult: int = 16
    coordinates: bool = True
    rejoin_after_leave: bool = False

    def __post_init__(self) -> None:
        assert 0 < self.probe_timeout_ns <= self.probe_interval_ns, "a probe's timeout is within its interval"
        assert self.gossip_interval_ns > 0 and self.gossip_nodes > 0, "gossip needs an interval and nodes"


def lan(name: str, address: bytes, port: int) -> PoolConfig:
    """Nodes of one datacenter."""
    return PoolConfig(name, address, port)


def wan(name: str, address: bytes, port: int) -> PoolConfig:
    """Servers of all datacenters, as Consul runs it (three gossip nodes, not memberlist's four)."""
    return PoolConfig(
        name,
        address,
        port,
        probe_interval_ns=5 * SECOND_NS,
        probe_timeout_ns=3 * SECOND_NS,
        suspicion_mult=6,
        push_pull_interval_ns=60 * SECOND_NS,
        gossip_interval_ns=500 * MILLISECOND_NS,
        gossip_to_the_dead_ns=60 * SECOND_NS,
        stream_timeout_ns=30 * SECOND_NS,
    )


def local(name: str, address: bytes, port: int) -> PoolConfig:
    """Nodes of one machine."""
    return PoolConfig(
        name,
        address,
        port,
        probe_timeout_ns=200 * MILLISECOND_NS,
        indirect_checks=1,
        retransmit_mult=2,
        suspicion_mult=3,
        push_pull_interval_ns=15 * SECOND_NS,
        gossip_interval_ns=100 * MILLISECOND_NS,
        gossip_to_the_dead_ns=15 * SECOND_NS,
        stream_timeout_ns=SECOND_NS,
    )


def tuned(
    config: PoolConfig,
    *,
    gossip_nodes: int,
    gossip_interval_ns: int,
    probe_interval_ns: int,
    probe_timeout_ns: int,
    suspicion_mult: int,
    retransmit_mult: int,
    reconnect_timeout_ns: int,
) -> PoolConfig:
    """The pool with what an operator may set (`gossip_lan`, `gossip_wan`, `reconnect_timeout`)."""
    return replace(
        config,
        gossip_nodes=max(1, gossip_nodes),
        gossip_interval_ns=max(MILLISECOND_NS, gossip_interval_ns),
        probe_interval_ns=max(MILLISECOND_NS, probe_interval_ns),
        probe_timeout_ns=max(MILLISECOND_NS, min(probe_timeout_ns, probe_interval_ns)),
        suspicion_mult=suspicion_mult,
        retransmit_mult=retransmit_mult,
        reconnect_timeout_ns=reconnect_timeout_ns,
    )


def with_history(config: PoolConfig, *, coordinates: bool, rejoin_after_leave: bool) -> PoolConfig:
    """The pool with Serf's switches set."""
    return replace(config, coordinates=coordinates, rejoin_after_leave=rejoin_after_leave)
