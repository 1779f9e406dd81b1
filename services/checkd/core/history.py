"""The last changes of one check's status, and why: what an operator asks after a blip."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple

HISTORY_LENGTH = 32
MAX_REASON_LENGTH = 512
SECOND_NS = 1_000_000_000


class Flip(NamedTuple):
    """One change of status: when (Unix nanoseconds), from what to what, and the output that caused it."""

    unix_ns: int
    before: str
    after: str
    reason: str

    def shown(self) -> dict[str, Any]:
        """As the API shows it, the time as RFC 3339 with milliseconds."""
        at = datetime.fromtimestamp(self.unix_ns / SECOND_NS, UTC).isoformat(timespec="milliseconds")
        return {"Time": at.replace("+00:00", "Z"), "From": self.before, "To": self.after, "Reason": self.reason}


def flip(unix_ns: int, before: str, after: str, reason: str) -> Flip:
    """A change with its reason cut to a sensible length."""
    return Flip(unix_ns, before, after, reason[:MAX_REASON_LENGTH])
