"""How often the node sends its network coordinate: the cluster as a whole stays below a rate (Consul 1.7)."""

from __future__ import annotations

from random import Random

from checkd.core.duration import SECOND_NS


def coordinate_wait_ns(random: Random, nodes: int, minimum_ns: int, rate_per_s: float) -> int:
    """Time to the next update: nodes divided by the rate, at least the minimum, plus up to as much again."""
    assert rate_per_s > 0, "a rate is positive"
    interval_ns = max(minimum_ns, int(nodes / rate_per_s * SECOND_NS))
    return interval_ns + random.randrange(max(interval_ns, 1))
