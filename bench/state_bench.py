"""What the state library costs: applying key sets in batches, reading a key, rendering a service's health.

    python bench/state_bench.py [rounds]

Prints microseconds per operation, the best of the rounds, over LMDB in a temporary directory. On a busy machine only
the proportions mean something.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lictor.state import commands as c
from lictor.state import render
from lictor.state.apply import apply, apply_batch
from lictor.state.lmdb_store import LmdbStore, open_store
from lictor.state.queries import catalog, health, kv
from lictor.state.rows import Check, Node, Service

KEYS = 1000
BATCH = 64
INSTANCES = 10
ROUNDS_DEFAULT = 5


def _best_us(rounds: int, operations: int, run: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(rounds):
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return best / operations * 1e6


def _fill(store: LmdbStore) -> int:
    """Ten instances of `web` on ten nodes, each with a node check and a check of its own; the last index used."""
    index = 1
    with store.write() as txn:
        for number in range(INSTANCES):
            index += 1
            name = f"node-{number}"
            apply(
                txn,
                index,
                c.Register(
                    Node("", name, f"10.0.0.{number}", "dc1", {"lan": f"10.0.0.{number}"}, {"zone": "a"}),
                    Service("", "web-1", "web", tags=["a", "b"], port=8080, meta={"version": "1"}),
                    [
                        Check(name, "serfHealth", "Serf Health Status", "passing", output="Agent alive and reachable"),
                        Check(name, "service:web-1", "web", "passing", service_id="web-1", output="HTTP GET: 200 OK"),
                    ],
                ),
            )
    return index


def measure_state(rounds: int = ROUNDS_DEFAULT) -> None:
    """Prints the cost of each operation."""
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(Path(directory))
        index = _fill(store)

        def set_keys() -> None:
            nonlocal index
            for first in range(0, KEYS, BATCH):
                entries = []
                for number in range(first, first + BATCH):
                    index += 1
                    value = b"value %d" % index
                    entries.append((index, c.encode_command(c.KV("set", b"bench/%d" % number, value))))
                with store.write() as txn:
                    apply_batch(txn, entries)

        def get_keys() -> None:
            for number in range(KEYS):
                with store.read() as txn:
                    kv.get(txn, b"bench/%d" % number)

        def get_and_render_keys() -> None:
            for number in range(KEYS):
                key = b"bench/%d" % number
                with store.read() as txn:
                    entry = kv.get(txn, key).value
                assert entry is not None
                render.kv_entries([(key, entry)])

        def health_of_service() -> None:
            for _ in range(100):
                with store.read() as txn:
                    render.instances(health.service(txn, "web", passing=True).value)

        def catalog_of_service() -> None:
            for _ in range(100):
                with store.read() as txn:
                    render.service_nodes(catalog.service(txn, "web").value)

        results = [
            (f"key set, in batches of {BATCH} (encode, apply, commit)", _best_us(rounds, KEYS, set_keys)),
            ("key get (transaction, look-up, decode)", _best_us(rounds, KEYS, get_keys)),
            ("key get and render", _best_us(rounds, KEYS, get_and_render_keys)),
            (f"health/service?passing, {INSTANCES} instances, rendered", _best_us(rounds, 100, health_of_service)),
            (f"catalog/service, {INSTANCES} instances, rendered", _best_us(rounds, 100, catalog_of_service)),
        ]
        store.close()
    for name, microseconds in results:
        print(f"{microseconds:9.1f} us  {name}")


if __name__ == "__main__":
    measure_state(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS_DEFAULT)
