"""The LMDB keyspace: long keys in order, views, copies, other processes, refusals."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lictor.state.lmdb_store import HEAD_BYTES, LmdbStore, open_store
from lictor.state.memory import MemoryStore
from lictor.state.store import StoreError

MAP_SIZE_BYTES = 1 << 24
lengths = st.sampled_from([1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, HEAD_BYTES + 2, 1500])
long_keys = st.builds(
    lambda fill, length, tail: (fill * length)[:length] + tail,
    st.sampled_from([b"a", b"\xff"]),
    lengths,
    st.sampled_from([b"", b"\0", b"a", b"b", b"\xff"]),
)
changes = st.lists(st.tuples(long_keys, st.sampled_from([None, b"", b"1"])), max_size=30)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> LmdbStore:
    return open_store(tmp_path_factory.mktemp("lmdb"), map_size_bytes=MAP_SIZE_BYTES)


@given(changes, long_keys, long_keys)
@settings(max_examples=150, deadline=None)
def test_keys_of_any_length_behave_as_in_memory(
    shared: LmdbStore, sequence: list[tuple[bytes, bytes | None]], prefix: bytes, start: bytes
) -> None:
    memory = MemoryStore()
    with shared.write() as txn:
        for key, _ in list(txn.scan(b"")):
            assert txn.delete(key)
        for key, value in sequence:
            if value is None:
                assert txn.delete(key) == memory.delete(key)
            else:
                txn.put(key, value)
                memory.put(key, value)
        for reverse in (False, True):
            assert list(txn.scan(b"", reverse=reverse)) == list(memory.scan(b"", reverse=reverse))
            assert list(txn.scan(prefix, reverse=reverse)) == list(memory.scan(prefix, reverse=reverse))
            assert list(txn.scan(b"", start, reverse)) == list(memory.scan(b"", start, reverse))
            assert list(txn.scan(b"a", start, reverse)) == list(memory.scan(b"a", start, reverse))
        for key, _ in sequence:
            assert txn.get(key) == memory.get(key)


def test_a_write_that_raises_leaves_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path, map_size_bytes=MAP_SIZE_BYTES)
    with pytest.raises(RuntimeError), store.write() as txn:
        txn.put(b"a", b"1")
        raise RuntimeError
    with store.read() as reader:
        assert reader.get(b"a") is None
    store.close()


def test_a_view_stays_as_it_was_while_others_write(tmp_path: Path) -> None:
    store = open_store(tmp_path, map_size_bytes=MAP_SIZE_BYTES)
    with store.read() as before:
        with store.write() as txn:
            txn.put(b"a", b"1")
        assert before.get(b"a") is None
    with store.read() as after:
        assert after.get(b"a") == b"1"
    store.close()


def test_another_process_reads_what_was_committed_and_its_death_frees_its_slot(tmp_path: Path) -> None:
    store = open_store(tmp_path, map_size_bytes=MAP_SIZE_BYTES)
    with store.write() as txn:
        txn.put(b"a", b"1")
    store.close()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        reader = open_store(tmp_path, readonly=True, map_size_bytes=MAP_SIZE_BYTES)
        view = reader.read()
        os.write(writing, view.__enter__().get(b"a") or b"nothing")
        os._exit(0)  # dies inside its view
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reading, 10) == b"1"
    os.close(reading)
    os.close(writing)
    store = open_store(tmp_path, map_size_bytes=MAP_SIZE_BYTES)
    with store.write() as txn:
        txn.put(b"a", b"2")
    assert store.release_dead_readers() == 0, "opening to write has already freed it"
    store.close()


def test_a_copy_holds_everything_and_is_not_written_over(tmp_path: Path) -> None:
    store = open_store(tmp_path / "state", map_size_bytes=MAP_SIZE_BYTES)
    with store.write() as txn:
        for number in range(100):
            txn.put(b"%d" % number + b"x" * number * 10, b"v")
    target = tmp_path / "copy"
    store.copy(target)
    with store.read() as reader:
        expected = list(reader.scan(b""))
    with lmdb.open(str(target), subdir=False, readonly=True, lock=False) as env, env.begin() as txn:
        assert txn.stat()["entries"] == len({key[: HEAD_BYTES + 1] for key, _ in expected})
    with pytest.raises(FileExistsError):
        store.copy(target)
    store.close()


def test_what_is_no_state_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"state file .*missing"):
        open_store(tmp_path / "missing", readonly=True)
    (tmp_path / "data.mdb").write_bytes(b"garbage" * 1000)
    with pytest.raises(StoreError, match="state file"):
        open_store(tmp_path)


def test_a_full_file_stops_the_write_with_a_clear_error(tmp_path: Path) -> None:
    store = open_store(tmp_path, map_size_bytes=1 << 16)
    with pytest.raises(StoreError, match="MDB_MAP_FULL"), store.write() as txn:
        txn.put(b"a", b"x" * (1 << 18))
    with store.read() as reader:
        assert reader.get(b"a") is None
    store.close()
