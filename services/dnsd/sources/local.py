"""Facts from this server's own copy of the replicated state, read without any message.

A read is a lookup in the memory-mapped state file (`lictor.state`), microseconds long and consistent within a view.
Stamps are the store's own indexes: a packet made from a service's instances stands while `service.<name>` has its
index. Names are looked up whatever their case but indexed as registered, so a stamp also counts the instances: one
registered under another spelling changes the count.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from dnsd.core import records
from dnsd.core.cache import Stamp
from dnsd.core.facts import Instance
from dnsd.core.needs import AddressOwner, NodeNamed, ServiceInstances, Unavailable
from dnsd.sources.rows import instance_facts, node_facts
from dnsd.sources.source import Found
from lictor.acl import ALLOW_ALL, Authorizer
from lictor.page import NEVER_NS, PageReader, boottime_ns
from lictor.state import keys
from lictor.state.lmdb_store import LmdbStore, open_store
from lictor.state.machine.catalog import service_index
from lictor.state.queries import catalog, health
from lictor.state.queries.instances import names_of
from lictor.state.rows import Node, decode_node, decode_service
from lictor.state.store import ReadTxn, StoreError

log = logging.getLogger("agent.dns")

COUNT_MARK = 0x23
"""First byte (`#`) of stamps that count the keys under a prefix instead of reading one."""
COUNT_BYTES = 4
MAX_REMEMBERED_SERVICES = 4096
MAX_COUNTED_PREFIXES = 16384
UNKNOWN_GENERATION = 0
"""In the raft page until raftd has opened its state."""

_SERVICES_INDEX = keys.index("services")
_NODES_INDEX = keys.index("nodes")


class Memory:
    """What outlives a view: decoded services, counts, the map of addresses; all checked by stamps before use."""

    def __init__(self) -> None:
        self.services: dict[tuple[str, bool], tuple[list[Instance], tuple[Stamp, ...]]] = {}
        self.counts: dict[bytes, tuple[bytes | None, bytes]] = {}
        self.owners: dict[str, str] = {}
        self.owners_stamps: tuple[Stamp, ...] = ()

    def clear(self) -> None:
        """The store was replaced."""
        self.services.clear()
        self.counts.clear()
        self.owners.clear()
        self.owners_stamps = ()


class StateView:
    """One transaction of the state."""

    __slots__ = ("_authorizer", "_datacenter", "_memory", "_services_index", "_txn")

    def __init__(
        self, txn: ReadTxn, memory: Memory, datacenter: str, authorizer: Authorizer | None = ALLOW_ALL
    ) -> None:
        """`authorizer` is what may be shown; None when we ask with an unknown token."""
        self._txn = txn
        self._memory = memory
        self._authorizer = authorizer
        self._datacenter = datacenter.lower()
        self._services_index: tuple[bytes | None] | None = None

    def get(self, stamp: bytes) -> bytes | None:
        if stamp[0] == COUNT_MARK:
            return self._count(stamp[1:])
        return self._txn.get(stamp)

    def find(self, need: Any) -> Found | None:
        authorizer = self._authorizer
        if isinstance(need, AddressOwner):
            return self._find_owner(need, _known(authorizer))
        if isinstance(need, ServiceInstances) and need.datacenter.lower() == self._datacenter:
            return self._find_instances(need, _known(authorizer))
        if isinstance(need, NodeNamed) and need.datacenter.lower() == self._datacenter:
            return self._find_node(need, _known(authorizer))
        return None

    def _count(self, prefix: bytes) -> bytes:
        services_index = self._present_services_index()
        counts = self._memory.counts
        known = counts.get(prefix)
        if known is not None and known[0] == services_index:
            return known[1]
        count = sum(1 for _ in self._txn.scan(prefix)).to_bytes(COUNT_BYTES, "big")
        self._remember_count(prefix, count)
        return count

    def _remember_count(self, prefix: bytes, count: bytes) -> None:
        counts = self._memory.counts
        if len(counts) >= MAX_COUNTED_PREFIXES:
            counts.clear()
        counts[prefix] = (self._present_services_index(), count)

    def _present_services_index(self) -> bytes | None:
        if self._services_index is None:
            self._services_index = (self._txn.get(_SERVICES_INDEX),)
        return self._services_index[0]

    def _is_unchanged(self, stamps: tuple[Stamp, ...]) -> bool:
        return bool(stamps) and all(self.get(stamp) == value for stamp, value in stamps)

    def _find_instances(self, need: ServiceInstances, authorizer: Authorizer) -> Found:
        services = self._memory.services
        key = (need.service, need.connect)
        known = services.get(key)
        if known is None or not self._is_unchanged(known[1]):
            known = self._read_instances(need.service, need.connect)
            if len(services) >= MAX_REMEMBERED_SERVICES:
                services.clear()
            services[key] = known
        instances, stamps = known
        if not authorizer.allows_all:
            instances = _readable(need, instances, authorizer)
        if not need.tag:
            return Found(instances, stamps)
        tag = need.tag.lower()
        return Found([instance for instance in instances if tag in instance.tags], stamps)

    def _read_instances(self, service: str, connect: bool) -> tuple[list[Instance], tuple[Stamp, ...]]:
        rows = health.service(self._txn, service, connect=connect).value
        prefix = keys.connect_instances(service) if connect else keys.instances(service)
        stamps: list[Stamp] = [
            (key, self._txn.get(key)) for key in sorted({keys.index(service_index(name)) for name in names_of(rows)})
        ]
        count = len(rows).to_bytes(COUNT_BYTES, "big")
        self._remember_count(prefix, count)
        stamps.append((b"#" + prefix, count))
        return [instance_facts(row) for row in rows], tuple(stamps)

    def _find_node(self, need: NodeNamed, authorizer: Authorizer) -> Found:
        key = keys.node(need.node)
        raw = self._txn.get(key)
        if raw is not None:
            row: Node | None = decode_node(raw)
            stamps: tuple[Stamp, ...] = ((key, raw),)
        else:
            row = catalog.find_node_by_id_prefix(self._txn, need.node)
            stamps = ((_NODES_INDEX, self._txn.get(_NODES_INDEX)),)
        return Found(node_facts(row) if row is not None and authorizer.node_read(row.node) else None, stamps)

    def _find_owner(self, need: AddressOwner, authorizer: Authorizer) -> Found:
        memory = self._memory
        if not self._is_unchanged(memory.owners_stamps):
            memory.owners = self._read_owners(authorizer)
            memory.owners_stamps = tuple([(key, self._txn.get(key)) for key in (_NODES_INDEX, _SERVICES_INDEX)])
        return Found(memory.owners.get(need.address), memory.owners_stamps)

    def _read_owners(self, authorizer: Authorizer) -> dict[str, str]:
        """Canonical address to `<node>.node` or `<service>.service`; nodes before services, the first of each."""
        owners: dict[str, str] = {}
        for _, raw in self._txn.scan(b"N"):
            node = decode_node(raw)
            address = records.parse_address(node.address)
            if address is not None and authorizer.node_read(node.node):
                owners.setdefault(str(address), f"{node.node}.node")
        for _, raw in self._txn.scan(b"S"):
            service = decode_service(raw)
            address = records.parse_address(service.address)
            if address is not None and authorizer.node_read(service.node) and authorizer.service_read(service.service):
                owners.setdefault(str(address), f"{service.service}.service")
        return owners


def _known(authorizer: Authorizer | None) -> Authorizer:
    if authorizer is None:
        raise Unavailable("ACL not found")
    return authorizer


def _readable(need: ServiceInstances, instances: list[Instance], authorizer: Authorizer) -> list[Instance]:
    if need.connect and not authorizer.service_read(need.service):
        return []
    return [
        instance
        for instance in instances
        if authorizer.node_read(instance.node.node) and authorizer.service_read(instance.service)
    ]


class Freshness(NamedTuple):
    """How good this server's state is right now."""

    known_leader: bool
    may_serve_default: bool
    """This server is the leader under a lease."""
    age_s: float | None
    """Since the leader was last heard; None when it never was."""


class StateFile:
    """Finds the state directory that is current and opens it; opens the next when raftd changes over."""

    def __init__(self, data_dir: str | Path) -> None:
        self._data_dir = Path(data_dir)
        self._page: PageReader | None = None
        self._store: LmdbStore | None = None
        self._generation = -1

    def store(self) -> tuple[LmdbStore, bool]:
        """The current store, and whether it is another one than last time.

        Raises Unavailable while there is none.
        """
        try:
            if self._page is None:
                self._page = PageReader(self._data_dir)
            generation = self._page.read().generation
            if self._store is not None and generation in (self._generation, UNKNOWN_GENERATION):
                return self._store, False
            if generation == UNKNOWN_GENERATION:
                generation = self._read_current()
            opened = open_store(self._data_dir / "raft" / f"state-{generation}", readonly=True)
        except (OSError, StoreError) as error:
            raise Unavailable(f"no state yet: {error}") from error
        if self._store is not None:
            self._store.close()
        self._store, self._generation = opened, generation
        return opened, True

    def _read_current(self) -> int:
        """The generation that was current when raftd last ran. Raises OSError."""
        name = (self._data_dir / "raft" / "CURRENT").read_text().strip()
        digits = name.removeprefix("state-")
        if not digits.isascii() or not digits.isdigit():
            raise OSError(f"raft/CURRENT does not name a state directory: {name[:40]!r}")
        return int(digits)

    def freshness(self) -> Freshness:
        """What the raft page says; only after `store`."""
        assert self._page is not None, "asked before the store"
        state = self._page.read()
        now_ns = boottime_ns()
        if state.may_serve_default(now_ns):
            return Freshness(True, True, 0.0)
        if state.leader_contact_ns == NEVER_NS:
            return Freshness(state.known_leader, False, None)
        return Freshness(state.known_leader, False, max(0, now_ns - state.leader_contact_ns) / 1e9)

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        if self._page is not None:
            self._page.close()
            self._page = None


class LocalState:
    """This server's state file and what is remembered of it."""

    def __init__(self, data_dir: str | Path, datacenter: str) -> None:
        self._file = StateFile(data_dir)
        self._datacenter = datacenter
        self._memory = Memory()

    def open(self) -> tuple[LmdbStore, bool]:
        """The current store, and whether it is another one than last time. Raises Unavailable while there is none."""
        store, is_new = self._file.store()
        if is_new:
            self._memory.clear()
        return store, is_new

    def view_of(self, txn: ReadTxn, authorizer: Authorizer | None) -> StateView:
        """What a transaction of the current store shows; without an authorizer the token is unknown."""
        return StateView(txn, self._memory, self._datacenter, authorizer)

    def forget_owners(self) -> None:
        """What may be shown is something else now."""
        self._memory.owners_stamps = ()

    def freshness(self) -> Freshness:
        """How good the state is right now; only after `open`."""
        return self._file.freshness()

    def close(self) -> None:
        """Close the store."""
        self._file.close()
