"""What the leader refuses before a command enters the log: rules over its own clock, tables or configuration.

Lock-delay is such a rule: after a session's end its keys cannot be locked for a while. The table is the leader's own
and forgotten when leadership changes; `Applied.released_locks` feeds it.
"""

from __future__ import annotations

from collections.abc import Iterable

from lictor.state.commands import (
    KV,
    AnyCommand,
    Failed,
    Outcome,
    Result,
    SessionCreate,
    Txn,
    TxnError,
    TxnKV,
    TxnResult,
)
from lictor.state.gotext import DurationError, format_duration, parse_duration_ns, quote
from lictor.state.writer import ReleasedLock

SESSION_TTL_MIN_NS = 10 * 10**9
SESSION_TTL_MAX_NS = 24 * 3600 * 10**9


class LockDelays:
    """Keys that cannot be locked yet, with the time from which they can (the leader's monotonic nanoseconds)."""

    def __init__(self) -> None:
        self._until_ns: dict[bytes, int] = {}

    def start(self, released: Iterable[ReleasedLock], now_ns: int) -> None:
        for lock in released:
            self._until_ns[lock.key] = now_ns + lock.delay_ns

    def holds(self, key: bytes, now_ns: int) -> bool:
        until_ns = self._until_ns.get(key)
        if until_ns is None:
            return False
        if until_ns > now_ns:
            return True
        del self._until_ns[key]
        return False

    def expire(self, now_ns: int) -> None:
        """Forgets what is over; now and then, so that keys nobody locks again do not pile up."""
        self._until_ns = {key: until_ns for key, until_ns in self._until_ns.items() if until_ns > now_ns}

    def clear(self) -> None:
        self._until_ns.clear()

    def __len__(self) -> int:
        return len(self._until_ns)


def precheck(
    command: AnyCommand, delays: LockDelays, now_ns: int, session_ttl_min_ns: int = SESSION_TTL_MIN_NS
) -> Result | None:
    """The answer of a command that is not to be proposed; None: propose it."""
    if isinstance(command, KV):
        if command.verb == "lock" and delays.holds(command.key, now_ns):
            return Outcome(False)
    elif isinstance(command, Txn):
        errors = [
            TxnError(position, f"failed to lock key {_quoted(op.key)} due to lock delay")
            for position, op in enumerate(command.ops)
            if isinstance(op, TxnKV) and op.verb == "lock" and delays.holds(op.key, now_ns)
        ]
        if errors:
            return TxnResult([], errors)
    elif isinstance(command, SessionCreate):
        problem = session_ttl_problem(command.session.ttl, session_ttl_min_ns)
        if problem:
            return Failed(problem)
    return None


def _quoted(key: bytes) -> str:
    return quote(key.decode("utf-8", "surrogateescape"))


def session_ttl_problem(ttl: str, session_ttl_min_ns: int = SESSION_TTL_MIN_NS) -> str:
    """What is wrong with a session's TTL text; empty when nothing is."""
    if not ttl:
        return ""
    try:
        ttl_ns = parse_duration_ns(ttl)
    except DurationError as error:
        return f"Session TTL '{ttl}' invalid: {error}"
    if ttl_ns and not session_ttl_min_ns <= ttl_ns <= SESSION_TTL_MAX_NS:
        return (
            f"Invalid Session TTL '{ttl_ns}', must be between "
            f"[{format_duration(session_ttl_min_ns)}={format_duration(SESSION_TTL_MAX_NS)}]"
        )
    return ""


def session_ttl_ns(ttl: str) -> int:
    """A stored session's TTL; 0: none."""
    return parse_duration_ns(ttl) if ttl else 0
