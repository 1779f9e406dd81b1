"""The answers of /v1/agent/metrics: Consul's JSON of one interval, Prometheus' text of all since the start."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from lictor.telemetry.catalogue import DESCRIPTIONS
from lictor.telemetry.collecting import QUANTILES, Collected, Figures
from lictor.telemetry.naming import Naming
from lictor.telemetry.registry import INTERVAL_S, Labels, SeriesKey

# What Prometheus does not take in a name.
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_:]")


def summary(collected: Collected, naming: Naming) -> dict[str, Any]:
    """The JSON answer (Consul 1.7: its metrics library's display of the in-memory sink), series sorted by name."""
    moment = datetime.fromtimestamp(collected.interval_start_s, UTC)
    gauges = [
        {"Name": name, "Value": _number(value), "Labels": dict(labels)}
        for name, labels, value in _shown(collected.gauges, naming, is_gauge=True)
    ]
    return {
        "Timestamp": f"{moment:%Y-%m-%d %H:%M:%S} +0000 UTC",
        "Gauges": gauges,
        "Points": [],
        "Counters": [_aggregate(*one) for one in _shown(collected.counters, naming)],
        "Samples": [_aggregate(*one) for one in _shown(collected.samples, naming)],
    }


def _shown(series: dict[SeriesKey, Any], naming: Naming, is_gauge: bool = False) -> list[tuple[str, Labels, Any]]:
    named = [(naming.name(key[0], is_gauge), key[1], value) for key, value in series.items()]
    return sorted((one for one in named if naming.lets_out(one[0])), key=lambda one: one[:2])


def _aggregate(name: str, labels: Labels, figures: Figures) -> dict[str, Any]:
    interval = figures.interval
    return {
        "Name": name,
        "Count": interval.count,
        "Rate": _number(interval.sum / INTERVAL_S),
        "Sum": _number(interval.sum),
        "Min": _number(interval.minimum),
        "Max": _number(interval.maximum),
        "Mean": _number(interval.mean),
        "Stddev": _number(interval.deviation),
        "Labels": dict(labels),
    }


def _number(value: float) -> float | int:
    """Whole numbers without a point, as Go's JSON writes them."""
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def prometheus_text(collected: Collected, naming: Naming) -> str:
    """Text format 0.0.4: counters, gauges, and samples as summaries."""
    blocks: list[tuple[str, str]] = []
    for kind, series in (("gauge", collected.gauges), ("counter", collected.counters), ("summary", collected.samples)):
        lines: dict[str, list[str]] = {}
        about: dict[str, str] = {}
        for key, value in series.items():
            full_name = naming.name(key[0], kind == "gauge")
            if not naming.lets_out(full_name):
                continue
            name = metric_name(full_name)
            lines.setdefault(name, []).extend(_lines(kind, name, key[1], value))
            about.setdefault(name, _about(key[0], full_name))
        for name, shown in lines.items():
            head = f"# HELP {name} {about[name]}\n# TYPE {name} {kind}\n"
            blocks.append((name, head + "\n".join(shown) + "\n"))
    return "".join(block for _, block in sorted(blocks))


def metric_name(full_name: str) -> str:
    """A name as Prometheus takes it: everything unusual is an underscore."""
    return _FORBIDDEN.sub("_", full_name)


def _about(series: str, full_name: str) -> str:
    description = DESCRIPTIONS.get(series)
    return description.about if description is not None else full_name


def _lines(kind: str, name: str, labels: Labels, value: Any) -> list[str]:
    if kind == "gauge":
        return [f"{name}{_label_text(labels)} {_prometheus_number(value)}"]
    figures: Figures = value
    if kind == "counter":
        return [f"{name}{_label_text(labels)} {_prometheus_number(figures.total_sum)}"]
    values = figures.quantiles or (math.nan,) * len(QUANTILES)
    found = [
        f"{name}{_label_text((*labels, ('quantile', f'{point:g}')))} {_prometheus_number(quantile)}"
        for point, quantile in zip(QUANTILES, values, strict=True)
    ]
    found.append(f"{name}_sum{_label_text(labels)} {_prometheus_number(figures.total_sum)}")
    found.append(f"{name}_count{_label_text(labels)} {figures.total_count}")
    return found


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{_FORBIDDEN.sub("_", name)}="{_escaped(value)}"' for name, value in labels)
    return "{" + ",".join(pairs) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _prometheus_number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
