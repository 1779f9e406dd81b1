"""A dead service, and a dead host, soon stop being given out: a short run of `python -m bench detection`."""

from collections.abc import Iterator

import pytest

from bench.detection import (
    CATALOG_S,
    CLIENTS,
    INTERVAL_S,
    SERVERS,
    Lab,
    gossip_detection_s,
    host_rounds,
    lab,
    service_rounds,
)
from tests.needs import missing
from tools.testhosts import NamespacesNotAllowed

pytestmark = pytest.mark.netns

SERVICE_ROUNDS = 2


@pytest.fixture(scope="module")
def running() -> Iterator[Lab]:
    """Three servers and three client agents."""
    try:
        with lab("e2edetect") as made:
            yield made
    except NamespacesNotAllowed as refusal:
        missing(f"no network namespaces: {refusal}")


def test_a_killed_service_is_given_out_no_longer_than_its_check_interval_and_a_second(running: Lab) -> None:
    for found in service_rounds(running, SERVICE_ROUNDS):
        assert found.worst <= INTERVAL_S + CATALOG_S, found


def test_a_dead_hosts_service_is_given_out_no_longer_than_gossip_takes(running: Lab) -> None:
    for found in host_rounds(running, 1):
        assert found.worst <= gossip_detection_s(len(SERVERS) + len(CLIENTS)) + CATALOG_S, found
