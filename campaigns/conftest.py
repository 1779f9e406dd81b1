"""Test hosts for the campaigns."""

from collections.abc import Iterator

import pytest

from tools.testhosts import NamespaceNetwork

ADDRESSES = tuple(f"10.77.0.{last}" for last in range(1, 6))


@pytest.fixture
def network() -> Iterator[NamespaceNetwork]:
    """Five hosts, fresh for each test."""
    made = NamespaceNetwork(ADDRESSES, "camp")
    yield made
    made.destroy()
