"""The raft page: what readers in other processes may conclude from it."""

from dataclasses import replace
from pathlib import Path

import pytest

from lictor.page import PageReader, PageWriter, RaftState, Role

LEADER = RaftState(
    role=Role.LEADER, generation=3, term=7, commit_index=41, applied_index=41, lease_expiry_ns=1000, ready=True
)


@pytest.mark.parametrize(
    ("state", "now_ns", "allowed"),
    [
        (LEADER, 999, True),
        (LEADER, 1000, False),
        (replace(LEADER, role=Role.FOLLOWER), 0, False),
        (replace(LEADER, ready=False), 0, False),
        # A follower may have applied and shown entry 41 already.
        (replace(LEADER, applied_index=40), 0, False),
    ],
)
def test_default_reads_need_the_lease_and_everything_committed_applied(
    state: RaftState, now_ns: int, allowed: bool
) -> None:
    assert state.may_serve_default(now_ns) is allowed


def test_consistent_reads_need_that_nobody_else_has_a_vote() -> None:
    assert not LEADER.may_serve_consistent(999)
    alone = replace(LEADER, sole_voter=True)
    assert alone.may_serve_consistent(999) and not alone.may_serve_consistent(1000)
    assert not replace(alone, role=Role.FOLLOWER).may_serve_consistent(999)
    assert not replace(alone, applied_index=40).may_serve_consistent(999)


def test_a_reader_sees_what_was_written_last(tmp_path: Path) -> None:
    writer = PageWriter(tmp_path)
    reader = PageReader(tmp_path)
    assert reader.read() == RaftState()
    writer.write(LEADER)
    assert reader.read() == LEADER
    writer.write(replace(LEADER, sole_voter=True))
    assert reader.read().sole_voter
    writer.write(replace(LEADER, role=Role.SHUTDOWN))
    assert reader.read().role is Role.SHUTDOWN
    reader.close()
    writer.close()


def test_a_writer_that_died_while_writing_is_taken_over(tmp_path: Path) -> None:
    writer = PageWriter(tmp_path)
    writer.write(LEADER)
    page = tmp_path / "run" / "raft.page"
    content = bytearray(page.read_bytes())
    content[0] |= 1
    page.write_bytes(content)
    writer.close()
    successor = PageWriter(tmp_path)
    successor.write(LEADER)
    reader = PageReader(tmp_path)
    assert reader.read() == LEADER
    reader.close()
    successor.close()
