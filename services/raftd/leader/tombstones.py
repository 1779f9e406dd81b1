"""When the tombstones of deleted keys may go: 15 minutes, in steps of 30 seconds (state-machine §4)."""

TTL_NS = 15 * 60 * 1_000_000_000
GRANULARITY_NS = 30 * 1_000_000_000


class TombstoneBins:
    """The highest tombstone index per bin of expiry times."""

    def __init__(self) -> None:
        self._bins: dict[int, int] = {}
        self._seen_index = 0

    def hint(self, index: int, now_ns: int) -> None:
        """The tombstones' table stands at `index` now."""
        if index <= self._seen_index:
            return
        self._seen_index = index
        expiry_ns = (now_ns + TTL_NS) // GRANULARITY_NS * GRANULARITY_NS + GRANULARITY_NS
        self._bins[expiry_ns] = max(self._bins.get(expiry_ns, 0), index)

    def due(self, now_ns: int) -> int:
        """Tombstones up to this index may go; 0: none."""
        over = [expiry_ns for expiry_ns in self._bins if expiry_ns <= now_ns]
        return max((self._bins.pop(expiry_ns) for expiry_ns in over), default=0)
