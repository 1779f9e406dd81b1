"""How often the primary datacenter is asked: a bucket of turns, and pauses that grow while it fails.

Times are seconds of any clock that only goes forward; they come from the caller.
"""

ROUNDS_PER_S = 1.0
BURST = 5
"""(Consul 1.7: ConfigReplicationRate, ConfigReplicationBurst and those of ACLs)."""
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 64.0
"""(Consul 1.7: aclReplicationMaxRetryBackoff)."""
UNREACHABLE_PAUSE_S = 8.0
"""While no server of the primary datacenter can be reached: to find that out costs nobody else anything, and what was
missed is fetched soon after the link is back."""


class Turns:
    """A bucket that holds `burst` turns and gets `rate_per_s` new ones."""

    def __init__(self, rate_per_s: float = ROUNDS_PER_S, burst: int = BURST) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._turns = float(burst)
        self._at_s: float | None = None

    def take(self, now_s: float) -> float:
        """Takes a turn: how long to wait before it."""
        if self._at_s is not None:
            self._turns = min(self._turns + (now_s - self._at_s) * self._rate_per_s, self._burst)
        self._at_s = now_s
        self._turns -= 1
        return max(-self._turns / self._rate_per_s, 0.0)


class Backoff:
    """Pauses after failures in a row: 1, 2, 4 … 64 s."""

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S

    def failed(self, unreachable: bool = False) -> float:
        """The pause after one more failure."""
        pause_s = self._next_s
        self._next_s = min(self._next_s * 2, LONGEST_PAUSE_S)
        return min(pause_s, UNREACHABLE_PAUSE_S) if unreachable else pause_s

    def succeeded(self) -> None:
        """The next failure begins anew."""
        self._next_s = FIRST_PAUSE_S
