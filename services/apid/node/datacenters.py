"""Known datacenters, ordered by how far they are (Consul 1.7: agent/router)."""

from __future__ import annotations

from apid.node.context import Node


def datacenters_by_distance(node: Node) -> list[str]:
    """Own datacenter first, then by the median distance of its servers, then by name.

    Distances come from the WAN pool's coordinates; datacenters without one come last.
    """
    own = node.config.datacenter
    others = node.gossip.wan.datacenters() - {own}
    distance_of = node.distances.to_datacenters() if others else {}
    unknown = float("inf")
    return [own, *sorted(others, key=lambda name: (distance_of.get(name, unknown), name))]
