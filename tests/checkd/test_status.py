"""How results become a status: exact counting."""

from __future__ import annotations

import pytest

from checkd.core.status import CRITICAL, PASSING, WARNING, Threshold, worst

LETTERS = {"p": PASSING, "w": WARNING, "c": CRITICAL, "-": None}


@pytest.mark.parametrize(
    ("success", "critical", "warning", "results", "statuses"),
    [
        (0, 0, 0, "pcwp", "pcwp"),
        # The first result counts at once, whatever the thresholds.
        (3, 3, 0, "p", "p"),
        (3, 3, 0, "c", "c"),
        # From then on so many in a row are needed.
        (0, 3, 0, "pcccp", "p--cp"),
        (0, 3, 0, "pccpccc", "p--p--c"),
        (3, 0, 0, "cppp", "c--p"),
        (2, 2, 0, "pcpcpcc", "p----" + "-c"),
        (2, 0, 0, "cww", "c-w"),
        # failures_before_warning lies on the way to critical.
        (0, 4, 2, "pcccc", "p-wwc"),
    ],
)
def test_consecutive_results_are_counted_exactly(
    success: int, critical: int, warning: int, results: str, statuses: str
) -> None:
    threshold = Threshold(success, critical, warning)
    reached = [threshold.count(str(LETTERS[letter]))[0] for letter in results]
    assert reached == [LETTERS[letter] for letter in statuses]


def test_the_worst_status_wins() -> None:
    assert worst([]) == PASSING
    assert worst([PASSING, WARNING]) == WARNING
    assert worst([CRITICAL, "maintenance", WARNING]) == "maintenance"
