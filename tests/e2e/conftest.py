"""Four test hosts with the walk-through's addresses, shared by the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.needs import missing, need
from tools.testhosts import NamespaceNetwork, NamespacesNotAllowed

ADDRESSES = tuple(f"192.168.99.{last}" for last in range(128, 133))


@pytest.fixture(scope="module")
def network() -> Iterator[NamespaceNetwork]:
    """Five hosts: the walk-through's four and one for a client agent."""
    for name in ("curl", "dig"):
        need(name)
    try:
        made = NamespaceNetwork(ADDRESSES, "e2e")
    except NamespacesNotAllowed as refusal:
        missing(f"no network namespaces: {refusal}")
    yield made
    made.destroy()
