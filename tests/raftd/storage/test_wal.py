"""The write-ahead log against crashes and damage, byte by byte."""

import errno
import os
import random
import shutil
from collections import deque
from pathlib import Path

import pytest

from raftd.core.entry import Entry, EntryKind, HardState
from raftd.storage.errors import CorruptError, DiskFailedError, DiskFullError
from raftd.storage.files import Files
from raftd.storage.wal import LogWrite, Wal

SEED = 20260413


def entry(index: int, term: int = 1, data: bytes | None = None) -> Entry:
    return Entry(index, term, EntryKind.COMMAND, b"data-%d" % index if data is None else data)


def write(wal: Wal, *writes: LogWrite) -> None:
    wal.write(deque(writes))


def entries_of(wal: Wal) -> list[Entry]:
    first, last = wal.summary.first_index, wal.summary.last_index
    found: list[Entry] = []
    while first + len(found) <= last:
        found += wal.entries(first + len(found), last, 1 << 20)
    return found


def reopened(directory: Path) -> Wal:
    return Wal(directory, Files(durable=False))


def only_segment(directory: Path) -> Path:
    (path,) = directory.glob("*.wal")
    return path


def three_batches(directory: Path) -> list[int]:
    """Batches of 3, 1 and 2 entries; the end of the good records after each."""
    wal = Wal(directory, Files(durable=False))
    ends = []
    for batch in ([1, 2, 3], [4], [5, 6]):
        write(wal, LogWrite(None, HardState(batch[0], f"vote-{batch[0]}"), [entry(i) for i in batch]))
        ends.append(wal._segments[-1].end)
    wal.close()
    return ends


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    three_batches(tmp_path)
    wal = reopened(tmp_path)
    assert entries_of(wal) == [entry(i) for i in range(1, 7)]
    assert wal.hard_state == HardState(5, "vote-5")
    assert wal.entries(2, 5, 1) == [entry(2)]
    assert wal.entries(2, 5, 1 << 20) == [entry(i) for i in (2, 3, 4, 5)]
    wal.close()


def test_a_log_cut_at_any_offset_keeps_every_whole_batch(tmp_path: Path) -> None:
    ends = three_batches(tmp_path / "whole")
    content = only_segment(tmp_path / "whole").read_bytes()[: ends[-1]]
    counts = (3, 4, 6)
    start = Wal(tmp_path / "empty", Files())._segments[-1].end
    for length in range(start, len(content) + 1):
        shutil.rmtree(tmp_path / "cut", ignore_errors=True)
        shutil.copytree(tmp_path / "whole", tmp_path / "cut")
        only_segment(tmp_path / "cut").write_bytes(content[:length])
        wal = reopened(tmp_path / "cut")
        whole = sum(end <= length for end in ends)
        assert wal.summary.last_index == (counts[whole - 1] if whole else 0), f"length {length}"
        write(wal, LogWrite(entries=[entry(wal.summary.last_index + 1, 9)]))
        wal.close()
        wal = reopened(tmp_path / "cut")
        assert wal.summary.last_term == 9
        wal.close()


def test_a_log_cut_inside_its_head_refuses_to_open(tmp_path: Path) -> None:
    start = Wal(tmp_path / "empty", Files())._segments[-1].end
    three_batches(tmp_path / "whole")
    content = only_segment(tmp_path / "whole").read_bytes()
    for length in range(start):
        only_segment(tmp_path / "whole").write_bytes(content[:length])
        with pytest.raises(CorruptError, match="offset"):
            reopened(tmp_path / "whole")


def test_every_flipped_bit_before_the_last_batch_refuses_to_open(tmp_path: Path) -> None:
    ends = three_batches(tmp_path)
    path = only_segment(tmp_path)
    content = path.read_bytes()
    draw = random.Random(SEED)
    for offset in range(ends[1]):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(CorruptError) as caught:
            reopened(tmp_path)
        assert path.name in str(caught.value), f"seed {SEED} offset {offset}"
        assert "offset" in str(caught.value) and "rejoin" in str(caught.value)


def test_a_flipped_bit_in_the_last_batch_never_gives_wrong_data(tmp_path: Path) -> None:
    ends = three_batches(tmp_path)
    path = only_segment(tmp_path)
    content = path.read_bytes()
    draw = random.Random(SEED)
    for offset in range(ends[1], ends[2]):
        damaged = bytearray(content)
        damaged[offset] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        wal = reopened(tmp_path)
        assert entries_of(wal) == [entry(i) for i in range(1, 5)], f"seed {SEED} offset {offset}"
        wal.close()


def test_after_an_orderly_stop_a_flipped_bit_anywhere_refuses_to_open(tmp_path: Path) -> None:
    three_batches(tmp_path)
    wal = reopened(tmp_path)
    end = wal._segments[-1].end
    wal.finish()
    wal.close()
    path = only_segment(tmp_path)
    content = path.read_bytes()
    for offset in range(0, end, 7):
        damaged = bytearray(content)
        damaged[offset] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(CorruptError):
            reopened(tmp_path)


def test_a_missing_segment_refuses_to_open(tmp_path: Path) -> None:
    wal = Wal(tmp_path, Files(), segment_bytes=200)
    for index in range(1, 20):
        write(wal, LogWrite(entries=[entry(index)]))
    wal.close()
    paths = sorted(tmp_path.glob("*.wal"))
    assert len(paths) > 3
    paths[1].unlink()
    with pytest.raises(CorruptError, match=paths[1].name):
        reopened(tmp_path)


def test_a_conflicting_tail_is_cut_also_across_segments(tmp_path: Path) -> None:
    wal = Wal(tmp_path, Files(), segment_bytes=200)
    for index in range(1, 20):
        write(wal, LogWrite(entries=[entry(index)]))
    write(wal, LogWrite(entries=[entry(5, 2), entry(6, 2)]))
    assert wal.entries(3, 6, 1 << 20)[0] == entry(3)
    expected = [entry(3), entry(4), entry(5, 2), entry(6, 2)]
    assert [item for low in (3, 4, 5, 6) for item in wal.entries(low, low, 1)] == expected
    wal.close()
    wal = reopened(tmp_path)
    assert [item for low in (3, 4, 5, 6) for item in wal.entries(low, low, 1)] == expected
    assert wal.summary.last_index == 6
    wal.close()


def test_compaction_removes_whole_segments_and_keeps_the_rest_readable(tmp_path: Path) -> None:
    wal = Wal(tmp_path, Files(), segment_bytes=300)
    for index in range(1, 40):
        write(wal, LogWrite(entries=[entry(index)]))
    before = len(list(tmp_path.glob("*.wal")))
    wal.compact(30)
    assert len(list(tmp_path.glob("*.wal"))) < before
    wal.close()
    wal = reopened(tmp_path)
    assert wal.summary.before_index <= 30
    assert [item for low in range(31, 40) for item in wal.entries(low, low, 1)] == [entry(i) for i in range(31, 40)]
    wal.close()


def test_a_reset_forgets_everything_and_goes_on_behind_the_snapshot(tmp_path: Path) -> None:
    three_batches(tmp_path)
    wal = reopened(tmp_path)
    write(wal, LogWrite((100, 7), HardState(8, "a"), [entry(101, 8)]))
    wal.close()
    wal = reopened(tmp_path)
    assert (wal.summary.before_index, wal.summary.before_term) == (100, 7)
    assert entries_of(wal) == [entry(101, 8)]
    assert wal.hard_state == HardState(8, "a")
    assert len(list(tmp_path.glob("*.wal"))) == 1
    wal.close()


class FaultyFiles(Files):
    """Runs out of space, or fails to sync, when told to."""

    full = False
    sync_fails = False
    room_bytes = 0

    def write(self, descriptor: int, path: Path, data: bytes, offset: int) -> None:
        if self.full:
            os.pwrite(descriptor, data[: self.room_bytes], offset)
            raise DiskFullError(f"{path}: write failed: {os.strerror(errno.ENOSPC)}")
        super().write(descriptor, path, data, offset)

    def sync(self, descriptor: int, path: Path) -> None:
        if self.sync_fails:
            raise DiskFailedError(f"{path}: fdatasync failed: {os.strerror(errno.EIO)}")
        super().sync(descriptor, path)


def test_a_full_disk_leaves_the_write_to_be_repeated(tmp_path: Path) -> None:
    files = FaultyFiles()
    wal = Wal(tmp_path, files)
    write(wal, LogWrite(entries=[entry(1)]))
    waiting = deque([LogWrite(None, HardState(3, "x"), [entry(2), entry(3)])])
    files.full, files.room_bytes = True, 20
    with pytest.raises(DiskFullError, match="No space left"):
        wal.write(waiting)
    assert len(waiting) == 1
    files.full = False
    wal.write(waiting)
    assert not waiting
    wal.close()
    wal = reopened(tmp_path)
    assert entries_of(wal) == [entry(1), entry(2), entry(3)]
    wal.close()


def test_a_crash_while_the_disk_is_full_loses_only_what_was_not_durable(tmp_path: Path) -> None:
    files = FaultyFiles()
    wal = Wal(tmp_path, files)
    write(wal, LogWrite(entries=[entry(1)]))
    files.full, files.room_bytes = True, 50
    with pytest.raises(DiskFullError):
        write(wal, LogWrite(entries=[entry(2), entry(3)]))
    wal.close()
    wal = reopened(tmp_path)
    assert entries_of(wal) == [entry(1)]
    wal.close()


def test_a_failed_sync_is_final(tmp_path: Path) -> None:
    files = FaultyFiles()
    wal = Wal(tmp_path, files)
    files.sync_fails = True
    with pytest.raises(DiskFailedError, match="fdatasync"):
        write(wal, LogWrite(entries=[entry(1)]))
    wal.close()


def test_random_histories_read_back_as_a_plain_list_would(tmp_path: Path) -> None:
    for seed in range(SEED, SEED + 30):
        draw = random.Random(seed)
        directory = tmp_path / str(seed)
        wal = Wal(directory, Files(durable=False), segment_bytes=draw.choice((150, 400, 2000)))
        model: dict[int, Entry] = {}
        last, floor, term, state = 0, 0, 1, HardState()
        for _ in range(draw.randrange(5, 60)):
            choice = draw.random()
            if choice < 0.08 and last > floor:
                floor = draw.randint(floor, last)
                wal.compact(floor)
                continue
            if choice < 0.12:
                last = floor = last + draw.randint(0, 5)
                model.clear()
                write(wal, LogWrite(reset=(last, term)))
                continue
            if choice < 0.2:
                state = HardState(term, draw.choice("abc"))
                write(wal, LogWrite(hard_state=state))
                continue
            if choice < 0.35 and last > floor:
                term += 1
                last = draw.randint(floor, last)
                model = {index: item for index, item in model.items() if index <= last}
            added = [entry(last + 1 + i, term, draw.randbytes(draw.randrange(80))) for i in range(draw.randint(1, 4))]
            last = added[-1].index
            model.update((item.index, item) for item in added)
            write(wal, LogWrite(entries=added))
            if draw.random() < 0.2:
                wal.close()
                wal = Wal(directory, Files(durable=False), segment_bytes=300)
        wal.close()
        wal = reopened(directory)
        assert wal.summary.last_index == last, f"seed {seed}"
        assert wal.hard_state == state, f"seed {seed}"
        for index in range(floor + 1, last + 1):
            assert wal.entries(index, index, 1) == [model[index]], f"seed {seed} index {index}"
        wal.close()
