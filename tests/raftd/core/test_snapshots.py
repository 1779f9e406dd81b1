"""Snapshots, compaction, restart (Raft dissertation 5)."""

from raftd.core.api import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    LogSummary,
    Server,
    SnapshotChunk,
    recovery_meta,
)
from tests.raftd.core.bench import Bench


def lagging(size_bytes: int = 95) -> tuple[Bench, str]:
    """A cluster whose n3 needs a snapshot of `size_bytes`."""
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.cut = {"n3"}
    for _ in range(10):
        bench.propose(leader, b"x")
    meta = leader.take_snapshot(size_bytes)
    bench.propose(leader, b"after")
    bench.advance(100)
    return bench, meta.id


def test_a_server_far_behind_gets_a_snapshot_in_chunks() -> None:
    bench, _ = lagging()
    bench.cut = set()
    bench.delivered.clear()
    bench.advance(1500)
    chunks = [m for m in bench.delivered if isinstance(m, SnapshotChunk)]
    assert [chunk.offset for chunk in chunks] == list(range(0, 95, 10))
    assert bench["n3"].commands() == [b"after"]
    assert bench["n3"].raft.first_index == bench["n1"].raft.first_index


def test_an_interrupted_transfer_goes_on_where_it_stopped() -> None:
    bench, _ = lagging()
    bench.cut = set()
    bench.blocks = lambda message: isinstance(message, SnapshotChunk) and message.offset >= 50
    bench.advance(500)
    assert len(bench["n3"].incoming) == 50
    bench.cut = {"n3"}
    bench.advance(3000)
    bench.cut, bench.blocks = set(), lambda message: False
    bench.delivered.clear()
    bench.advance(3000)
    offsets = [m.offset for m in bench.delivered if isinstance(m, SnapshotChunk)]
    assert [offset for offset in offsets if offset > 0] == [50, 60, 70, 80, 90]
    assert bench["n3"].commands() == [b"after"]


def test_a_lost_chunk_is_sent_again() -> None:
    bench, _ = lagging()
    bench.cut = set()
    lost: list[int] = []

    def lose_first(message: object) -> bool:
        if isinstance(message, SnapshotChunk) and message.offset == 30 and not lost:
            lost.append(message.offset)
            return True
        return False

    bench.blocks = lose_first
    bench.advance(5000)
    assert lost and bench["n3"].commands() == [b"after"]


def test_a_file_that_is_being_sent_stays_and_so_does_the_log_after_it() -> None:
    bench, name = lagging()
    leader = bench["n1"]
    bench.cut = set()
    bench.blocks = lambda message: isinstance(message, SnapshotChunk) and message.offset >= 50
    bench.advance(500)
    assert leader.raft.snapshots_in_use() == {name}
    first_index = leader.raft.first_index
    bench.propose(leader, b"more")
    leader.take_snapshot(10)
    assert leader.raft.first_index == first_index


def test_entries_after_a_matching_snapshot_are_kept() -> None:
    """Figure 5.3, step 6: they may have been acknowledged."""
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.propose(leader, b"a", b"b", b"c")
    meta = leader.take_snapshot(10, keep=10)
    follower = bench["n2"]
    last_index = follower.raft.last_index
    bench.propose(leader, b"d")
    for _ in range(2):
        follower.raft.step(bench.now_ns, SnapshotChunk("n1", "n2", 2, 99, meta, 0, bytes(10)))
        follower.drain()
    assert follower.raft.last_index == last_index + 1
    assert follower.raft.first_index == 1


def test_a_restarted_server_goes_on_from_snapshot_and_log() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.propose(leader, b"a", b"b")
    bench.advance(50)
    bench["n2"].take_snapshot(10, keep=1)
    bench.propose(leader, b"c")
    node = bench.restart("n2")
    assert node.raft.first_index == 4
    bench.advance(500)
    assert node.commands() == [b"c"]
    assert node.raft.configuration == bench.configuration


def test_a_log_that_does_not_reach_its_snapshot_is_reset_at_start() -> None:
    """A crash between storing an installed snapshot and resetting the log."""
    bench, _ = lagging()
    stored = bench["n3"].stored
    stored.snapshot, stored.snapshot_data = bench["n1"].stored.snapshot, bench["n1"].stored.snapshot_data
    meta = stored.snapshot
    assert meta is not None
    node = bench.restart("n3")
    ready = node.raft.ready()
    assert ready.log_reset == meta
    assert node.raft.first_index == meta.index + 1


def test_configurations_outlive_the_log_they_were_in() -> None:
    bench = Bench(3)
    leader = bench.elect("n1")
    leader.raft.propose_configuration_change(bench.now_ns, ConfigurationChange(ChangeKind.REMOVE, "n3"))
    bench.advance(200)
    bench.propose(leader, b"x")
    leader.take_snapshot(10)
    assert leader.raft.first_index == leader.raft.last_index + 1
    node = bench.restart("n1")
    assert node.raft.configuration.ids == ("n1", "n2")


def test_recovery_puts_a_configuration_in_force() -> None:
    """peers.json: the only survivor goes on alone."""
    bench = Bench(3)
    leader = bench.elect("n1")
    bench.propose(leader, b"x")
    alone = Configuration((Server("n1", "n1:8300"),))
    stored = leader.stored
    meta = recovery_meta(stored.summary(), stored.snapshot, "recovered", alone, 1)
    stored.snapshot, stored.snapshot_data = meta, b"s"
    stored.log.clear()
    stored.before = (meta.index, meta.term)
    node = bench.restart("n1")
    assert node.raft.configuration == alone
    bench.cut = {"n2", "n3"}
    bench.advance(20)
    assert bench.propose(node, b"y") == meta.index + 2
    assert node.commands() == [b"y"]


def test_an_empty_log_is_described_as_such() -> None:
    summary = LogSummary()
    assert (summary.first_index, summary.last_index, summary.last_term, summary.term(0)) == (1, 0, 0, 0)
