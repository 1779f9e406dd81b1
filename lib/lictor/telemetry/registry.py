"""Counters, gauges and samples of one process.

Made for the hot paths of asyncio daemons: adding a value is a few attribute updates (some 200 ns), without locks, since
one thread counts. Figures are kept for the present interval and ever since the start; `roll` ends an interval.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from lictor.telemetry.catalogue import DESCRIPTIONS, Description, Kind, of_daemon

log = logging.getLogger("agent")

INTERVAL_S = 10
# Values remembered of each sample where quantiles or single values are wanted.
RECENT_VALUES = 256
# More series than this come only from names that clients make up; what is counted for them is lost.
MAX_SERIES = 4096

Labels = tuple[tuple[str, str], ...]
SeriesKey = tuple[str, Labels]


@dataclass(frozen=True, slots=True)
class Interval:
    """What was added in a stretch of time. Minimum and maximum are 0 when nothing was."""

    count: int = 0
    sum: float = 0.0
    squares: float = 0.0
    minimum: float = 0.0
    maximum: float = 0.0

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """Of the sample, not of the population; 0 for fewer than two values."""
        if self.count < 2:
            return 0.0
        return math.sqrt(max(self.squares * self.count - self.sum * self.sum, 0.0) / (self.count * (self.count - 1)))

    def plus(self, other: Interval) -> Interval:
        """Both together."""
        if not self.count or not other.count:
            return self if self.count else other
        return Interval(
            self.count + other.count,
            self.sum + other.sum,
            self.squares + other.squares,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
        )


NOTHING = Interval()


class Aggregate:
    """Added values; `Counter` and `Sample` are used alike and shown apart."""

    __slots__ = (
        "_count",
        "_maximum",
        "_minimum",
        "_squares",
        "_sum",
        "finished",
        "labels",
        "name",
        "recent",
        "rolled_count",
        "rolled_sum",
    )

    def __init__(self, name: str, labels: Labels = (), recent_values: int = 0) -> None:
        self.name = name
        self.labels = labels
        self.recent: deque[float] = deque(maxlen=recent_values)
        self.finished = NOTHING
        self.rolled_count = 0
        self.rolled_sum = 0.0
        self._clear()

    def _clear(self) -> None:
        self._count = 0
        self._sum = 0.0
        self._squares = 0.0
        self._minimum = math.inf
        self._maximum = -math.inf

    def add(self, value: float) -> None:
        """Take one value."""
        self._count += 1
        self._sum += value
        self._squares += value * value
        if value < self._minimum:
            self._minimum = value
        if value > self._maximum:
            self._maximum = value
        self.recent.append(value)

    def add_many(self, value: float, count: int) -> None:
        """The same value several times."""
        if count < 1:
            return
        self.add(value)
        more = count - 1
        self._count += more
        self._sum += value * more
        self._squares += value * value * more

    @property
    def present(self) -> Interval:
        """The interval that is not over yet."""
        if not self._count:
            return NOTHING
        return Interval(self._count, self._sum, self._squares, self._minimum, self._maximum)

    @property
    def total_count(self) -> int:
        return self.rolled_count + self._count

    @property
    def total_sum(self) -> float:
        return self.rolled_sum + self._sum

    def roll(self) -> None:
        """End the interval. Recent values older than the one before it are forgotten."""
        finished = self.present
        if len(self.recent) > finished.count:
            keep = list(self.recent)[-finished.count :] if finished.count else []
            self.recent.clear()
            self.recent.extend(keep)
        self.rolled_count += finished.count
        self.rolled_sum += finished.sum
        self.finished = finished
        self._clear()

    def quantiles(self, points: tuple[float, ...]) -> tuple[float, ...]:
        """Of the recent values, nearest rank; nothing when there are none."""
        if not self.recent:
            return ()
        ordered = sorted(self.recent)
        return tuple(ordered[max(math.ceil(point * len(ordered)) - 1, 0)] for point in points)


class Counter(Aggregate):
    """Counts events, or adds up amounts (bytes)."""

    __slots__ = ()

    def increment(self) -> None:
        """One event."""
        self.add(1.0)


class Sample(Aggregate):
    """Values whose distribution matters; durations in milliseconds."""

    __slots__ = ()

    def since(self, started_s: float) -> None:
        """The time since a moment of `time.perf_counter`, in milliseconds."""
        self.add((time.perf_counter() - started_s) * 1000.0)


T = TypeVar("T", bound=Aggregate)


class Gauge:
    """A value that is set. `source` computes it when it is asked for."""

    __slots__ = ("finished", "labels", "name", "source", "value")

    def __init__(self, name: str, labels: Labels = ()) -> None:
        self.name = name
        self.labels = labels
        self.value = 0.0
        self.finished = 0.0
        self.source: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        """Show this from now on."""
        self.value = value

    def read(self) -> float:
        """The present value."""
        if self.source is not None:
            self.value = self.source()
        return self.value

    def roll(self) -> None:
        """The interval ends with the present value."""
        self.finished = self.read()


class Registry:
    """All series of one process. Those of the catalogue only: any other name is a mistake of ours."""

    def __init__(self) -> None:
        self.counters: dict[SeriesKey, Counter] = {}
        self.samples: dict[SeriesKey, Sample] = {}
        self.gauges: dict[SeriesKey, Gauge] = {}
        self.interval_start_s = 0
        """Of the last finished interval; 0 before any is finished."""
        self._recent_values = 0
        self._full = False
        self.before_reading: list[Callable[[], None]] = []
        """Called before gauges are read, to set those that are computed together."""

    # --- making series ----------------------------------------------------------------------------------------

    def counter(self, name: str, part: str = "", labels: Labels = ()) -> Counter:
        """The counter of this name, made at first use. `part` stands for a family's part in angle brackets."""
        return self._series(self.counters, Counter, name, (Kind.COUNTER,), part, labels)

    def sample(self, name: str, part: str = "", labels: Labels = ()) -> Sample:
        """As `counter`, for timers and samples."""
        return self._series(self.samples, Sample, name, (Kind.TIMER, Kind.SAMPLE), part, labels)

    def gauge(self, name: str, part: str = "", labels: Labels = ()) -> Gauge:
        """As `counter`."""
        key = (_named(name, (Kind.GAUGE,), part), labels)
        gauge = self.gauges.get(key)
        if gauge is None:
            gauge = Gauge(*key)
            if self._has_room():
                self.gauges[key] = gauge
        return gauge

    def _series(
        self, known: dict[SeriesKey, T], make: type[T], name: str, kinds: tuple[Kind, ...], part: str, labels: Labels
    ) -> T:
        key = (_named(name, kinds, part), labels)
        series = known.get(key)
        if series is None:
            series = make(key[0], labels, self._recent_values)
            if self._has_room():
                known[key] = series
        return series

    def _has_room(self) -> bool:
        if len(self.counters) + len(self.samples) + len(self.gauges) < MAX_SERIES:
            return True
        if not self._full:
            self._full = True
            log.warning("more than %d metrics series: further ones are not counted", MAX_SERIES)
        return False

    def make_all(self, daemon: str, node_name: str) -> None:
        """Every series that the daemon has by the catalogue and that is known by now, and no other daemon's.

        Modules of others may be loaded in this process, whose series count nothing here.
        """
        self._forget_others(daemon)
        for description in of_daemon(daemon):
            for part, labels in description.series(node_name):
                self._make(description, part, labels)

    def _forget_others(self, daemon: str) -> None:
        for kept in (self.counters, self.samples, self.gauges):
            foreign = [key for key in kept if _owner(key[0]) not in ("", daemon)]
            for key in foreign:
                del kept[key]

    def _make(self, description: Description, part: str, labels: Labels) -> None:
        if description.kind is Kind.COUNTER:
            self.counter(description.name, part, labels)
        elif description.kind is Kind.GAUGE:
            self.gauge(description.name, part, labels)
        else:
            self.sample(description.name, part, labels)

    def remember_values(self, count: int = RECENT_VALUES) -> None:
        """Keep recent values of samples from now on, for quantiles and sinks."""
        self._recent_values = count
        for sample in self.samples.values():
            sample.recent = deque(maxlen=count)

    # --- time -------------------------------------------------------------------------------------------------

    def roll(self, interval_start_s: int) -> None:
        """End the interval that began then (seconds of Unix time)."""
        for prepare in self.before_reading:
            prepare()
        for gauge in self.gauges.values():
            gauge.roll()
        for counter in self.counters.values():
            counter.roll()
        for sample in self.samples.values():
            sample.roll()
        self.interval_start_s = interval_start_s


def _named(name: str, kinds: tuple[Kind, ...], part: str) -> str:
    description = DESCRIPTIONS.get(name)
    assert description is not None, f"{name} is not in the catalogue of metrics"
    assert description.kind in kinds, f"{name} is a {description.kind.value}"
    assert description.is_family == bool(part), f"{name} {'needs' if description.is_family else 'takes no'} part"
    if not part:
        return name
    head, _, rest = name.partition("<")
    return head + part + rest.partition(">")[2]


def _owner(name: str) -> str:
    """The daemon that counts a series; "" for one of a family, whose name the catalogue does not have."""
    description = DESCRIPTIONS.get(name)
    return description.daemon if description is not None else ""


PROCESS = Registry()
"""What this process counts: modules take their series from it when they are loaded."""
counter = PROCESS.counter
sample = PROCESS.sample
gauge = PROCESS.gauge
