"""When a snapshot is due, and how much of the log stays behind it."""

import pytest

from raftd.snapshotter import SNAPSHOT_AGE_MAX_NS, AppliedAt, due

MINUTE_NS = 60 * 1_000_000_000


@pytest.mark.parametrize(
    ("applied", "snapshot", "age_ns", "wanted"),
    [
        (99, 0, 0, False),
        (100, 0, 0, True),
        (199, 100, SNAPSHOT_AGE_MAX_NS - 1, False),
        (101, 100, SNAPSHOT_AGE_MAX_NS, True),
        (100, 100, 100 * SNAPSHOT_AGE_MAX_NS, False),
    ],
)
def test_a_snapshot_is_due_after_many_entries_or_after_a_long_time_with_any(
    applied: int, snapshot: int, age_ns: int, wanted: bool
) -> None:
    assert due(applied, snapshot, 100, age_ns) is wanted


def test_the_last_entry_before_a_time_is_known_from_what_was_seen() -> None:
    applied_at = AppliedAt()
    assert applied_at.older_than(10 * MINUTE_NS) == 0
    for minute, index in ((1, 10), (2, 20), (3, 20), (50, 70)):
        applied_at.saw(minute * MINUTE_NS, index)
    assert applied_at.older_than(0) == 0
    assert applied_at.older_than(MINUTE_NS) == 10
    assert applied_at.older_than(2 * MINUTE_NS + 1) == 20
    assert applied_at.older_than(40 * MINUTE_NS) == 20
    assert applied_at.older_than(60 * MINUTE_NS) == 70
