"""Session TTLs: the leader's timers, 2 × TTL long, restarted by a renewal and by a new leader (state-machine §4)."""

import heapq
from collections.abc import Iterable

TTL_FACTOR = 2
RETRY_NS = 10_000_000_000
"""A destroy that failed is tried again after this long; doubles."""
ATTEMPTS_MAX = 6


class SessionTimers:
    """Deadlines by session id. Stale entries of the heap are recognised, never removed."""

    def __init__(self) -> None:
        self._deadlines_ns: dict[str, int] = {}
        self._attempts: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._deadlines_ns)

    def reset(self, session_id: str, ttl_ns: int, now_ns: int) -> None:
        """The session was created or renewed. No TTL: no timer."""
        self._attempts.pop(session_id, None)
        if ttl_ns <= 0:
            self._deadlines_ns.pop(session_id, None)
            return
        self._set(session_id, now_ns + TTL_FACTOR * ttl_ns)

    def _set(self, session_id: str, deadline_ns: int) -> None:
        self._deadlines_ns[session_id] = deadline_ns
        heapq.heappush(self._heap, (deadline_ns, session_id))

    def forget(self, session_ids: Iterable[str]) -> None:
        """These sessions are gone."""
        for session_id in session_ids:
            self._deadlines_ns.pop(session_id, None)
            self._attempts.pop(session_id, None)

    def clear(self) -> None:
        """This server leads no more."""
        self._deadlines_ns.clear()
        self._attempts.clear()
        self._heap.clear()

    def due(self, now_ns: int) -> list[str]:
        """Sessions whose time is over; each is given again after a pause until it is forgotten."""
        found: list[str] = []
        while self._heap and self._heap[0][0] <= now_ns:
            deadline_ns, session_id = heapq.heappop(self._heap)
            if self._deadlines_ns.get(session_id) != deadline_ns:
                continue
            attempt = self._attempts.get(session_id, 0)
            if attempt == ATTEMPTS_MAX:
                self.forget((session_id,))
                continue
            self._attempts[session_id] = attempt + 1
            self._set(session_id, now_ns + (RETRY_NS << attempt))
            found.append(session_id)
        return found

    def next_ns(self) -> int | None:
        """When to ask `due` again."""
        return self._heap[0][0] if self._heap else None

    def remaining_ns(self, now_ns: int) -> dict[str, int]:
        """Time left by session."""
        return {session_id: max(at_ns - now_ns, 0) for session_id, at_ns in self._deadlines_ns.items()}
