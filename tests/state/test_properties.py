"""What holds for every sequence of commands, on both keyspaces."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given, settings

from lictor.state import keys, render
from lictor.state.apply import apply, apply_batch
from lictor.state.commands import AnyCommand, Failed, TxnResult, encode_command
from lictor.state.lmdb_store import open_store
from lictor.state.memory import MemoryStore
from lictor.state.queries import catalog, health, intention, kv, prepared, session
from lictor.state.queries.read import Read
from lictor.state.store import ReadTxn
from lictor.state.topics import Waiters
from tests.state.commands_strategy import sequences

Reads = dict[str, Callable[[ReadTxn], tuple[Read[Any], bytes]]]


def _with(read: Read[Any], body: bytes) -> tuple[Read[Any], bytes]:
    return read, body


READS: Reads = {
    "nodes": lambda txn: _with(read := catalog.nodes(txn), render.nodes(read.value)),
    "services": lambda txn: _with(read := catalog.services(txn), render.services(read.value)),
    "service a": lambda txn: _with(read := catalog.service(txn, "a"), render.service_nodes(read.value)),
    "connect a": lambda txn: _with(read := catalog.service(txn, "a", connect=True), render.service_nodes(read.value)),
    "node n1": lambda txn: _with(read := catalog.node_services(txn, "n1"), render.node_services(read.value)),
    "health a": lambda txn: _with(read := health.service(txn, "a"), render.instances(read.value)),
    "health connect a": lambda txn: _with(read := health.service(txn, "a", connect=True), render.instances(read.value)),
    "checks of n1": lambda txn: _with(read := health.node_checks(txn, "n1"), render.checks(read.value)),
    "checks of a": lambda txn: _with(read := health.service_checks(txn, "a"), render.checks(read.value)),
    "critical": lambda txn: _with(read := health.state(txn, "critical"), render.checks(read.value)),
    "any": lambda txn: _with(read := health.state(txn, "any"), render.checks(read.value)),
    "key k/a": lambda txn: _with(
        read := kv.get(txn, b"k/a"), b"" if read.value is None else render.kv_entry(b"k/a", read.value)
    ),
    "keys": lambda txn: _with(read := kv.list_prefix(txn, b""), render.kv_entries(read.value)),
    "sessions": lambda txn: _with(read := session.list_all(txn), render.sessions(read.value)),
    "sessions of n1": lambda txn: _with(read := session.of_node(txn, "n1"), render.sessions(read.value)),
    "queries": lambda txn: _with(read := prepared.list_all(txn), render.queries(read.value)),
    "intentions": lambda txn: _with(read := intention.list_all(txn), render.intentions(read.value)),
}
# Their index may fall: an absent key reports its table's, and a service that vanishes, appears or loses a proxy changes
# whose index is reported. A client that sees that starts over from 0.
MAY_FALL = {"service a", "connect a", "health a", "health connect a", "node n1", "key k/a"}


@given(sequences)
@settings(max_examples=150, deadline=None)
def test_memory_and_lmdb_hold_the_same_after_the_same_commands(sequence: list[AnyCommand]) -> None:
    memory = MemoryStore()
    entries = [(index, encode_command(command)) for index, command in enumerate(sequence, 2)]
    with tempfile.TemporaryDirectory() as directory:
        store = open_store(Path(directory), map_size_bytes=1 << 24)
        with store.write() as txn:
            on_lmdb = apply_batch(txn, entries)
        on_memory = apply_batch(memory, entries)
        with store.read() as reader:
            assert list(reader.scan(b"")) == memory.items()
            assert list(reader.scan(b"", reverse=True)) == memory.items()[::-1]
        store.close()
    assert on_lmdb == on_memory


@given(sequences)
@settings(max_examples=100, deadline=None)
def test_a_batch_gives_what_its_commands_give_one_by_one(sequence: list[AnyCommand]) -> None:
    batch, single = MemoryStore(), MemoryStore()
    applied = apply_batch(batch, [(index, encode_command(command)) for index, command in enumerate(sequence, 2)])
    outcomes = [apply(single, index, command) for index, command in enumerate(sequence, 2)]
    assert applied.results == [result for result, _ in outcomes]
    assert applied.topics == set().union(*(topics for _, topics in outcomes))
    assert batch.items() == single.items()


@given(sequences)
@settings(max_examples=150, deadline=None)
def test_a_refused_command_changes_nothing(sequence: list[AnyCommand]) -> None:
    store = MemoryStore()
    for index, command in enumerate(sequence, 2):
        before = store.items()
        result, topics = apply(store, index, command)
        if isinstance(result, Failed) or (isinstance(result, TxnResult) and result.errors):
            assert store.items() == before
            assert not topics


@given(sequences)
@settings(max_examples=150, deadline=None)
def test_a_table_index_never_decreases(sequence: list[AnyCommand]) -> None:
    store = MemoryStore()
    before: dict[bytes, bytes] = {}
    for index, command in enumerate(sequence, 2):
        apply(store, index, command)
        now = dict(store.scan(b"I"))
        for name, value in before.items():
            if not name.startswith(keys.index("service.")):
                assert now[name] >= value, name
        before = now


@given(sequences)
@settings(max_examples=200, deadline=None)
def test_a_visible_change_moves_the_index_and_wakes_its_watchers(sequence: list[AnyCommand]) -> None:
    store = MemoryStore()
    for index, command in enumerate(sequence, 2):
        before = {name: question(store) for name, question in READS.items()}
        waiters: Waiters[str] = Waiters()
        for name, (read, _) in before.items():
            waiters.add(name, read.topics)
        _, topics = apply(store, index, command)
        woken = waiters.woken(topics)
        for name, question in READS.items():
            old, old_body = before[name]
            new, new_body = question(store)
            assert new.index >= 1
            if new_body != old_body:
                assert name in woken, f"{name} changed and nobody is woken by {command}"
                assert new.index > old.index or name in MAY_FALL, f"{name} changed under the same index by {command}"
            if name not in MAY_FALL:
                assert new.index >= old.index, f"{name} went back"
