"""What a benchmark prints: medians of several runs, and ratios beside a peer measured in the same run."""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass

DEFAULT_RUNS = 3


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure: the median of its runs with the least and the greatest. `unit` is e.g. "/s", "s" or "MB"."""

    name: str
    unit: str
    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.runs)

    def __str__(self) -> str:
        digits = 0 if self.median >= 100 else 2
        low, high = min(self.runs), max(self.runs)
        return f"{self.name:44} {self.median:>10,.{digits}f} {self.unit:4} ({low:,.{digits}f} to {high:,.{digits}f})"


def measure(name: str, unit: str, run: Callable[[], float], runs: int = DEFAULT_RUNS) -> Measure:
    """Runs once to warm up, then `runs` times."""
    run()
    return Measure(name, unit, tuple(run() for _ in range(runs)))


def show(ours: Measure, peer: Measure | None = None) -> None:
    """Prints a figure, and the ratio of the medians when there is a peer."""
    print(ours, flush=True)
    if peer is not None:
        print(peer)
        print(f"{'  ratio, ours to the peer':44} {ours.median / peer.median:>10.2f}", flush=True)


@dataclass(frozen=True, slots=True)
class Distribution:
    """Many single values of one thing, e.g. latencies."""

    name: str
    unit: str
    values: tuple[float, ...]

    def quantile(self, part: float) -> float:
        """The smallest value that at least this part of all does not exceed."""
        ordered = sorted(self.values)
        return ordered[max(0, math.ceil(part * len(ordered)) - 1)]

    @property
    def worst(self) -> float:
        return max(self.values)

    def __str__(self) -> str:
        shown = (("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0))
        parts = "  ".join(f"{label} {self.quantile(part):8.3f}" for label, part in shown)
        return f"{self.name:44} {parts} {self.unit}  (n={len(self.values)})"
