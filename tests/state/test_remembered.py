"""What a reader remembers of services never shows: answers are those of a reader that remembers nothing."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from lictor.state import commands as c
from lictor.state import render
from lictor.state.apply import apply, apply_batch
from lictor.state.commands import AnyCommand, encode_command
from lictor.state.lmdb_store import LmdbStore, open_store
from lictor.state.memory import MemoryStore
from lictor.state.queries import catalog, health, instances, internal
from lictor.state.rows import Check, Node, Service
from lictor.state.store import ReadTxn
from tests.state.commands_strategy import sequences

NAMES = ("a", "A", "b", "web", "a-proxy")


def answers(txn: ReadTxn) -> list[tuple[int, bytes]]:
    """Every answer about services, with its index."""
    listed = catalog.services(txn)
    summed_up = internal.services(txn)
    dumped = internal.nodes(txn)
    found = [
        (dumped.index, render.node_dumps(dumped.value)),
        (listed.index, render.services(listed.value)),
        (summed_up.index, render.service_summaries(summed_up.value)),
    ]
    for name in NAMES:
        for connect in (False, True):
            registered = catalog.service(txn, name, connect=connect)
            found.append((registered.index, render.service_nodes(registered.value)))
            for passing in (False, True):
                healthy = health.service(txn, name, passing=passing, connect=connect)
                found.append((healthy.index, render.instances(healthy.value)))
    return found


@given(sequences)
@settings(max_examples=150, deadline=None)
def test_a_remembering_reader_answers_as_one_that_remembers_nothing(sequence: list[AnyCommand]) -> None:
    memory = MemoryStore()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(instances, "MANY", 1)
        store = open_store(Path(folder))
        reader = LmdbStore(store._env, readonly=True)
        for index, command in enumerate(sequence, 2):
            entry = (index, encode_command(command))
            with store.write() as txn:
                apply_batch(txn, [entry])
            with memory.write() as plain:
                apply_batch(plain, [entry])
            with reader.read() as remembering:
                assert remembering.memory is not None
                assert answers(remembering) == answers(memory)
        store.close()


def test_a_change_to_one_instance_reads_and_renders_that_one_alone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        reader = LmdbStore(store._env, readonly=True)
        count = 100

        def register(index: int, number: int, status: str) -> None:
            name = f"n{number:03}"
            checks = [Check(name, "alive", "alive", status, service_id="web")]
            node, service = Node("", name, "10.0.0.1", "dc1"), Service("", "web", "web", port=80)
            with store.write() as txn:
                apply(txn, index, c.Register(node, service, checks))

        for number in range(count):
            register(number + 2, number, "passing")
        with reader.read() as txn:
            first = health.service(txn, "web").value
            render.instances(first)
        with reader.read() as txn:
            assert health.service(txn, "web").value is first
        register(count + 2, 7, "critical")
        with reader.read() as txn:
            second = health.service(txn, "web").value
            assert len(health.service(txn, "web", passing=True).value) == count - 1
        assert [number for number in range(count) if second[number] is not first[number]] == [7]
        store.close()
