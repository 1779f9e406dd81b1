"""Which records decide an answer: while their bytes stand, a kept answer is as good as a new one.

The first record named must be there for an answer to be kept; the others may come into being later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from lictor.state import keys
from lictor.state.machine.catalog import service_index
from lictor.state.queries.instances import names_of

VersionKeys: TypeAlias = Callable[[Any], tuple[bytes, ...]]
"""From a query's value to the keys of the records; none: the answer may not be kept."""

_SERVICES_INDEX = keys.index("services")


def of_tables(*names: str) -> VersionKeys:
    """The indexes of whole tables, for answers drawn from any of their rows."""
    indexes = tuple(keys.index(name) for name in names)
    return lambda _: indexes


def of_service(name: str) -> VersionKeys:
    """The index of a service, which moves with its instances, their nodes and all their checks."""

    def versions(found: Sequence[Any]) -> tuple[bytes, ...]:
        if not found or {registered.lower() for registered in names_of(found)} != {name.lower()}:
            return ()
        return keys.index(service_index(name)), _SERVICES_INDEX

    return versions


SERVICES = of_tables("services")
NODES = of_tables("nodes", "coordinates")
CHECKS = of_tables("checks", "nodes", "coordinates")
"""Unless node metadata narrows them: then a service's index is told."""
CATALOG = of_tables("services", "nodes", "checks", "coordinates")
"""Whatever is registered, in whatever order `near` puts it."""
INSTANCES = of_tables("services", "nodes", "checks")
"""Instances in their own order."""
KEY_VALUE = of_tables("kvs", "tombstones")
