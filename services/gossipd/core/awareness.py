"""Lifeguard's local health: a node that hears little suspects itself first and probes more patiently."""


class Awareness:
    """A score of 0 (healthy) up to `multiplier_max - 1`."""

    def __init__(self, multiplier_max: int) -> None:
        self._limit = multiplier_max - 1
        self.score = 0

    def apply(self, delta: int) -> None:
        self.score = max(0, min(self._limit, self.score + delta))

    def scaled(self, timeout_ns: int) -> int:
        """The timeout, longer the worse this node's own health is."""
        return timeout_ns * (self.score + 1)
