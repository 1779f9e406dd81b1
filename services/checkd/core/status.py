"""Check statuses and how consecutive results become one (`success_before_passing`, `failures_before_critical`).

The counters start at their thresholds, so the first result counts at once; from then on a passing or warning result
needs `success_before_passing` in a row and a critical one `failures_before_critical` in a row. Below the threshold the
status stays as it is (Consul 1.7: StatusHandler). `failures_before_warning` (Consul 1.11) turns a failing check to
warning on its way to critical.
"""

from __future__ import annotations

from enum import Enum

PASSING = "passing"
WARNING = "warning"
CRITICAL = "critical"
MAINTENANCE = "maintenance"
STATUSES = (PASSING, WARNING, CRITICAL)

_RANK = {PASSING: 0, WARNING: 1, CRITICAL: 2, MAINTENANCE: 3}


def worst(statuses: list[str]) -> str:
    """The most severe of some statuses; passing when there is none."""
    return max(statuses, key=_RANK.__getitem__, default=PASSING)


class Verdict(Enum):
    """Why a result did or did not become the status."""

    REACHED = "reached"
    MORE_SUCCESSES_NEEDED = "more successes needed"
    MORE_FAILURES_NEEDED = "more failures needed"


class Threshold:
    """Counts consecutive results of one check."""

    __slots__ = (
        "failures",
        "failures_before_critical",
        "failures_before_warning",
        "success_before_passing",
        "successes",
    )

    def __init__(
        self, success_before_passing: int = 0, failures_before_critical: int = 0, failures_before_warning: int = 0
    ) -> None:
        self.success_before_passing = success_before_passing
        self.failures_before_critical = failures_before_critical
        self.failures_before_warning = failures_before_warning or failures_before_critical
        self.successes = success_before_passing
        self.failures = failures_before_critical

    def count(self, result: str) -> tuple[str | None, Verdict]:
        """The status a result leads to, or None when it is not enough yet."""
        assert result in STATUSES, f"no such status: {result}"
        if result != CRITICAL:
            self.successes += 1
            self.failures = 0
            if self.successes >= self.success_before_passing:
                return result, Verdict.REACHED
            return None, Verdict.MORE_SUCCESSES_NEEDED
        self.failures += 1
        self.successes = 0
        if self.failures >= self.failures_before_critical:
            return CRITICAL, Verdict.REACHED
        if self.failures >= self.failures_before_warning:
            return WARNING, Verdict.REACHED
        return None, Verdict.MORE_FAILURES_NEEDED
