"""All instances of a service, read anew only where something changed.

The index record of an instance (`s…`, `t…`) holds the index of the last command that changed the instance, its node or
any of their checks. A reader that remembers what it read (`ReadTxn.memory`: one dictionary per open store) walks those
records, takes what is unchanged from memory and reads the rest. While the indexes of the names and the table of
services stand, it walks nothing and gives the very same list, with whatever was rendered from it.

Remembered lists are shared: who wants another order or selection makes a list of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lictor.state import keys
from lictor.state.machine.catalog import service_index
from lictor.state.queries.read import Instance, ServiceNode
from lictor.state.rows import Check, Node, decode_check, decode_node, decode_service
from lictor.state.store import ReadTxn

MANY = 32
"""Lists of so many instances also remember how each of them is rendered."""
MAX_REMEMBERED = 65_536
"""Instances over all services; beyond that all are forgotten."""
_MEMORY = "instances"
_SERVICES_INDEX = keys.index("services")


def only_passing(items: Sequence[Instance]) -> list[Instance]:
    """Those whose every check passes; the last takes the place of one that goes, the order that Consul gives."""
    kept = list(items)
    position = 0
    while position < len(kept):
        if kept[position].passes():
            position += 1
        else:
            last = kept.pop()
            if position < len(kept):
                kept[position] = last
    return kept


class Instances(list[Instance]):
    """Instances with their service names (of differing case, or several behind a connect name)."""

    __slots__ = ("_passing", "names", "rendered")

    def __init__(self, items: list[Instance], names: frozenset[str]) -> None:
        super().__init__(items)
        self.names = names
        self.rendered: dict[str, bytes] | None = None
        """Whole bodies by kind, on remembered lists."""
        self._passing: Instances | None = None

    def passing(self) -> Instances:
        """Those whose every check passes. `names` stay those of all, they decide the index."""
        found = self._passing
        if found is None:
            found = Instances(only_passing(self), self.names)
            if self.rendered is not None:
                found.rendered = {}
                self._passing = found
        return found


class _Known:
    """What was last read of one service."""

    __slots__ = ("instances", "places", "stamps")

    def __init__(
        self,
        instances: Instances,
        places: dict[bytes, tuple[bytes, Instance]],
        stamps: list[tuple[bytes, bytes | None]],
    ) -> None:
        self.instances = instances
        self.places = places
        self.stamps = stamps


class _Memory:
    """What was last read of each service, by the prefix of its index records."""

    __slots__ = ("count", "services")

    def __init__(self) -> None:
        self.services: dict[bytes, _Known] = {}
        self.count = 0

    def keep(self, prefix: bytes, known: _Known) -> None:
        self.drop(prefix)
        self.count += len(known.instances)
        if self.count > MAX_REMEMBERED:
            self.services.clear()
            self.count = len(known.instances)
        self.services[prefix] = known

    def drop(self, prefix: bytes) -> None:
        known = self.services.pop(prefix, None)
        if known is not None:
            self.count -= len(known.instances)


def instances_with_checks(txn: ReadTxn, name: str, connect: bool = False) -> Instances:
    """Every instance of the name, or with `connect` those that take connect traffic for it, in order of nodes."""
    prefix = keys.connect_instances(name) if connect else keys.instances(name)
    memory = txn.memory
    if memory is None:
        return _read(txn, prefix, {})[0]
    remembered = memory.get(_MEMORY)
    if remembered is None:
        remembered = memory[_MEMORY] = _Memory()
    known: _Known | None = remembered.services.get(prefix)
    get = txn.get
    if known is not None and all(get(key) == value for key, value in known.stamps):
        return known.instances
    found, places = _read(txn, prefix, known.places if known is not None else {})
    if found:
        stamps = [(key, get(key)) for key in sorted(keys.index(service_index(name)) for name in found.names)]
        stamps.append((_SERVICES_INDEX, get(_SERVICES_INDEX)))
        found.rendered = {}
        remembered.keep(prefix, _Known(found, places, stamps))
    elif known is not None:
        remembered.drop(prefix)
    return found


def are_many(txn: ReadTxn, name: str, connect: bool = False) -> bool:
    """Whether it pays to read all of the service's instances with their checks only to show them without."""
    if txn.memory is None:
        return False
    prefix = keys.connect_instances(name) if connect else keys.instances(name)
    return sum(1 for _ in zip(range(MANY), txn.scan(prefix), strict=False)) == MANY


def _read(
    txn: ReadTxn, prefix: bytes, before: dict[bytes, tuple[bytes, Instance]]
) -> tuple[Instances, dict[bytes, tuple[bytes, Instance]]]:
    length = len(prefix)
    node_memory: dict[bytes, tuple[Node, list[Check]]] = {}
    places: dict[bytes, tuple[bytes, Instance]] = {}
    for key, version in txn.scan(prefix):
        place = key[length:]
        known = before.get(place)
        if known is None or known[0] != version:
            known = (version, _read_instance(txn, place, node_memory))
        places[place] = known
    items = [item for _, item in places.values()]
    return Instances(items, frozenset([item.service.service for item in items])), places


def _read_instance(txn: ReadTxn, place: bytes, node_memory: dict[bytes, tuple[Node, list[Check]]]) -> Instance:
    raw = txn.get(b"S" + place)
    assert raw is not None, "an instance index without its instance"
    node_key = place.partition(b"\0")[0]
    node = node_memory.get(node_key)
    if node is None:
        node = node_memory[node_key] = _node_and_checks(txn, node_key)
    return Instance(node[0], decode_service(raw), node[1] + _checks_at(txn, node_key, b"e" + place + b"\0"))


def _node_and_checks(txn: ReadTxn, node_key: bytes) -> tuple[Node, list[Check]]:
    raw = txn.get(b"N" + node_key)
    assert raw is not None, "an instance without its node"
    return decode_node(raw), _checks_at(txn, node_key, b"e" + node_key + b"\0\0")


def _checks_at(txn: ReadTxn, node_key: bytes, prefix: bytes) -> list[Check]:
    found = []
    length = len(prefix)
    base = b"C" + node_key + b"\0"
    get = txn.get
    for key, _ in txn.scan(prefix):
        raw = get(base + key[length:])
        assert raw is not None, "a check index without its check"
        found.append(decode_check(raw))
    return found


def names_of(items: Sequence[Instance | ServiceNode]) -> frozenset[str]:
    """The service names in a list of instances."""
    return items.names if isinstance(items, Instances) else frozenset([item.service.service for item in items])


def remembered_bodies(items: Any) -> dict[str, bytes] | None:
    """Where whole bodies rendered from the list are kept; None when it is not a remembered one."""
    return items.rendered if isinstance(items, Instances) else None
