"""Datacenters by distance: the own one first, then by the median round trip to their servers, then by name."""

from types import SimpleNamespace

import pytest

from apid.node.datacenters import datacenters_by_distance
from apid.node.distances import Distances
from apid.node.gossip import Gossip
from lictor.pb.lictor.v1 import gossip_pb2


def coordinate(seconds: float) -> gossip_pb2.Coordinate:
    return gossip_pb2.Coordinate(vec=[seconds] + [0.0] * 7, error=1.5, adjustment=0.0, height=0.0)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ({}, ["bj", "cd", "gz", "sh"]),
        ({"s.sh": 0.01, "g.gz": 0.02, "c.cd": 0.03}, ["bj", "sh", "gz", "cd"]),
        ({"s.sh": 0.02, "g.gz": 0.01}, ["bj", "gz", "sh", "cd"]),
        ({"s.sh": 0.02, "g.gz": 0.02}, ["bj", "gz", "sh", "cd"]),
        # One server far away does not move its datacenter: the median counts.
        ({"s.sh": 0.02, "g.gz": 0.01, "g2.gz": 0.01, "g3.gz": 9.0}, ["bj", "gz", "sh", "cd"]),
    ],
)
def test_datacenters_come_by_median_distance_and_unknown_ones_last(
    tmp_path: object, places: dict[str, float], expected: list[str]
) -> None:
    gossip = Gossip(str(tmp_path), with_wan=True)
    names = {"b.bj", "s.sh", "g.gz", "c.cd", *places}
    members = [gossip_pb2.Member(name=name, tags={"dc": name.partition(".")[2]}) for name in sorted(names)]
    gossip.wan.take(gossip_pb2.MemberEvent(kind=gossip_pb2.MemberEvent.KIND_SNAPSHOT, members=members))
    distances = Distances(gossip, "bj")
    distances._local_name = "b.bj"
    distances.coordinates = {"b.bj": coordinate(0.0), **{name: coordinate(place) for name, place in places.items()}}
    node = SimpleNamespace(config=SimpleNamespace(datacenter="bj"), gossip=gossip, distances=distances)
    assert datacenters_by_distance(node) == expected  # type: ignore[arg-type]


def test_a_datacenter_whose_servers_have_all_left_is_gone(tmp_path: object) -> None:
    """Failed ones may come back, and keep it; members that left are known for a while, but not for this."""
    wan = Gossip(str(tmp_path), with_wan=True).wan
    statuses = {
        "b.bj": gossip_pb2.MEMBER_STATUS_ALIVE,
        "s.sh": gossip_pb2.MEMBER_STATUS_LEFT,
        "g.gz": gossip_pb2.MEMBER_STATUS_LEFT,
        "g2.gz": gossip_pb2.MEMBER_STATUS_FAILED,
        "c.cd": gossip_pb2.MEMBER_STATUS_LEAVING,
    }
    members = [
        gossip_pb2.Member(name=name, tags={"dc": name.partition(".")[2]}, status=status)
        for name, status in statuses.items()
    ]
    wan.take(gossip_pb2.MemberEvent(kind=gossip_pb2.MemberEvent.KIND_SNAPSHOT, members=members))
    assert wan.datacenters() == {"bj", "gz", "cd"}
    assert {member.name for member in wan.present()} == set(statuses) - {"s.sh", "g.gz"}
