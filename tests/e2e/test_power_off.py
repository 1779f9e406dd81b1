"""A server loses its power: packets to it vanish, and nobody is told."""

import time

import pytest

from tests.e2e.outage import PRODUCTION, leader_among, probing, start_all
from tools.agents import wait_until
from tools.testhosts import Host, NamespaceNetwork

DNS_GAP_MAX_S = 2.0
HTTP_GAP_MAX_S = 5.0
"""Without a leader there is no default read: lease, election and the way to the new leader. Consul: about 20 s."""
OUTAGE_S = 8.0
"""Longer than either gap may be."""

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def hosts(network: NamespaceNetwork) -> list[Host]:
    start_all(network.hosts[:3], network.hosts[4], *PRODUCTION)
    return network.hosts


def test_a_client_agents_users_notice_little_when_the_leader_is_powered_off(
    hosts: list[Host], network: NamespaceNetwork
) -> None:
    servers, client = hosts[:3], hosts[4]
    leader = wait_until("one leader", lambda: leader_among(servers), 30)
    others = [server for server in servers if server is not leader]
    with probing(client) as finish:
        network.cut(leader)
        end = time.monotonic() + OUTAGE_S
        wait_until("another leads", lambda: (new := leader_among(others)) and new is not leader, 30)
        wait_until("the outage is over", lambda: time.monotonic() > end, OUTAGE_S + 5)
        seen = finish()
    network.heal(leader)
    print({protocol: round(report["gap_s"], 2) for protocol, report in seen.items()})
    assert seen["dns"]["gap_s"] < DNS_GAP_MAX_S, seen
    assert seen["http"]["gap_s"] < HTTP_GAP_MAX_S, seen
