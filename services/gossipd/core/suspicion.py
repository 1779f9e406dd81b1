"""One suspicion: a timer that independent confirmations shorten (Lifeguard 4.2)."""

from gossipd.core.formulas import suspicion_remaining_ns


class Suspicion:
    """`token` changes whenever the timer is set anew, so that older timers are recognised as stale."""

    __slots__ = ("_confirmers", "_expected", "_max_ns", "_min_ns", "_started_ns", "token")

    def __init__(self, sender: str, expected: int, min_ns: int, max_ns: int, now_ns: int, token: int) -> None:
        self._confirmers = {sender}
        self._expected = expected
        self._min_ns = min_ns
        self._max_ns = max_ns
        self._started_ns = now_ns
        self.token = token

    @property
    def confirmations(self) -> int:
        return len(self._confirmers) - 1

    @property
    def due_ns(self) -> int:
        """When the node counts as dead if nothing more is heard."""
        if self._expected < 1:
            return self._started_ns + self._min_ns
        return self._started_ns + suspicion_remaining_ns(
            self.confirmations, self._expected, 0, self._min_ns, self._max_ns
        )

    def maybe_confirm(self, sender: str) -> bool:
        """Whether this is news: one of the first expected confirmations from somebody not heard before."""
        if self.confirmations >= self._expected or sender in self._confirmers:
            return False
        self._confirmers.add(sender)
        return True
