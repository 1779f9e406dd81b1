"""Lamport clocks: order without a common time."""

# A peer's broken clock must not push ours out of the wire's range.
MAX_TIME = 2**63


class LamportClock:
    """Starts at 1, as Serf's do."""

    def __init__(self) -> None:
        self.time = 1

    def increment(self) -> int:
        self.time += 1
        return self.time

    def witness(self, seen: int) -> None:
        """After seeing a time, ours is later."""
        if self.time <= seen < MAX_TIME:
            self.time = seen + 1
