"""The formulas of SWIM, Lifeguard and memberlist as pure functions; sources beside each."""

import math

PUSH_PULL_SCALE_THRESHOLD = 32


def digits(node_count: int) -> int:
    """ceil(log10(n + 1)): how many times a rumour's retransmission multiplier counts."""
    return math.ceil(math.log10(node_count + 1))


def retransmit_limit(multiplier: int, node_count: int) -> int:
    """How often a broadcast is sent before it is dropped (SWIM 4.1: lambda log n)."""
    return multiplier * digits(node_count)


def suspicion_min_ns(multiplier: int, node_count: int, probe_interval_ns: int) -> int:
    """The shortest time between suspecting a node and declaring it dead."""
    scale = max(1.0, math.log10(max(1.0, node_count)))
    return multiplier * int(scale * 1000) * probe_interval_ns // 1000


def suspicion_remaining_ns(confirmations: int, expected: int, elapsed_ns: int, min_ns: int, max_ns: int) -> int:
    """Lifeguard's local health aware suspicion: independent confirmations shorten the time logarithmically."""
    share = math.log(confirmations + 1) / math.log(expected + 1)
    timeout_ms = math.floor((max_ns - share * (max_ns - min_ns)) / 1e6)
    return max(timeout_ms * 1_000_000, min_ns) - elapsed_ns


def push_pull_interval_ns(interval_ns: int, node_count: int) -> int:
    """Push/pull gets rarer in large pools: the interval grows with each doubling above 32 nodes."""
    if node_count <= PUSH_PULL_SCALE_THRESHOLD:
        return interval_ns
    return (math.ceil(math.log2(node_count) - math.log2(PUSH_PULL_SCALE_THRESHOLD)) + 1) * interval_ns


def query_timeout_ns(gossip_interval_ns: int, multiplier: int, node_count: int) -> int:
    """How long answers to a query are awaited by default."""
    return gossip_interval_ns * multiplier * digits(node_count)
