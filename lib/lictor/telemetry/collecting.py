"""One daemon's figures as a message, and the figures of several daemons as one set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from lictor.pb.lictor.v1 import metrics_pb2
from lictor.telemetry.catalogue import Description, Kind
from lictor.telemetry.registry import NOTHING, Aggregate, Interval, Labels, Registry, SeriesKey

QUANTILES = (0.5, 0.9, 0.99)


@dataclass(slots=True)
class Figures:
    """One counter or sample, as it is shown: the finished interval, all since the start, recent quantiles."""

    interval: Interval = NOTHING
    total_count: int = 0
    total_sum: float = 0.0
    quantiles: tuple[float, ...] = ()


@dataclass(slots=True)
class Collected:
    """Figures of one or several daemons, by name and labels."""

    interval_start_s: int = 0
    gauges: dict[SeriesKey, float] = field(default_factory=dict)
    counters: dict[SeriesKey, Figures] = field(default_factory=dict)
    samples: dict[SeriesKey, Figures] = field(default_factory=dict)

    def take(self, message: metrics_pb2.CollectResponse) -> None:
        """Add a daemon's figures. A gauge that several daemons have is their sum, as of one process."""
        self.interval_start_s = max(self.interval_start_s, message.interval_start_s)
        for gauge in message.gauges:
            key = (gauge.name, _labels(gauge.labels))
            self.gauges[key] = self.gauges.get(key, 0.0) + gauge.value
        for into, series in ((self.counters, message.counters), (self.samples, message.samples)):
            for one in series:
                _take_aggregate(into, one)

    def complete(self, descriptions: Iterable[Description], node_name: str) -> None:
        """Series that nobody told of are there with zeros: a daemon that was never heard must not hide its own."""
        for description in descriptions:
            for part, labels in description.series(node_name):
                key: SeriesKey = (description.named(part), labels)
                if description.kind is Kind.GAUGE:
                    self.gauges.setdefault(key, 0.0)
                else:
                    known = self.counters if description.kind is Kind.COUNTER else self.samples
                    known.setdefault(key, Figures())


def _take_aggregate(known: dict[SeriesKey, Figures], one: metrics_pb2.AggregateSeries) -> None:
    figures = known.setdefault((one.name, _labels(one.labels)), Figures())
    interval = Interval(one.count, one.sum, one.squares, one.min, one.max)
    figures.interval = figures.interval.plus(interval)
    figures.total_count += one.total_count
    figures.total_sum += one.total_sum
    if one.quantiles:
        # Quantiles of several processes cannot be merged exactly: the largest is the safe one to show.
        given = tuple(one.quantiles)
        figures.quantiles = (
            tuple(max(pair) for pair in zip(figures.quantiles, given, strict=True)) if figures.quantiles else given
        )


def _labels(labels: Iterable[metrics_pb2.SeriesLabel]) -> Labels:
    return tuple((label.name, label.value) for label in labels)


def message_of(registry: Registry, now_s: float, interval_s: int) -> metrics_pb2.CollectResponse:
    """A registry's figures. Before its first interval is over, those of the present one."""
    finished = bool(registry.interval_start_s)
    start_s = registry.interval_start_s if finished else int(now_s // interval_s) * interval_s
    for prepare in registry.before_reading:
        prepare()
    return metrics_pb2.CollectResponse(
        interval_start_s=start_s,
        gauges=[
            metrics_pb2.GaugeSeries(name=gauge.name, labels=_label_messages(gauge.labels), value=gauge.read())
            for gauge in registry.gauges.values()
        ],
        counters=[_aggregate_message(counter, finished, ()) for counter in registry.counters.values()],
        samples=[
            _aggregate_message(sample, finished, sample.quantiles(QUANTILES)) for sample in registry.samples.values()
        ],
    )


def _aggregate_message(
    aggregate: Aggregate, finished: bool, quantiles: tuple[float, ...]
) -> metrics_pb2.AggregateSeries:
    interval = aggregate.finished if finished else aggregate.present
    return metrics_pb2.AggregateSeries(
        name=aggregate.name,
        labels=_label_messages(aggregate.labels),
        count=interval.count,
        sum=interval.sum,
        squares=interval.squares,
        min=interval.minimum,
        max=interval.maximum,
        total_count=aggregate.total_count,
        total_sum=aggregate.total_sum,
        quantiles=quantiles,
    )


def _label_messages(labels: Labels) -> list[metrics_pb2.SeriesLabel]:
    return [metrics_pb2.SeriesLabel(name=name, value=value) for name, value in labels]
