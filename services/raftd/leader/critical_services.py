"""Services of external nodes whose check stays critical for longer than its `DeregisterCriticalServiceAfter`.

Nodes with an agent (check serfHealth) look after their own services; this is for those registered through the catalog.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lictor.state.gotext import DurationError, parse_duration_ns
from lictor.state.rows import Check

MINIMUM_NS = 60 * 1_000_000_000
"""Shorter times count as this (Consul 1.7: one minute)."""
FIELD = "DeregisterCriticalServiceAfter"


@dataclass(frozen=True, slots=True)
class Instance:
    """One service instance."""

    node: str
    service_id: str


def limit_ns(check: Check) -> int:
    """How long the check's service may be critical; 0: for ever."""
    text = check.definition.get(FIELD, "")
    if not check.service_id or not isinstance(text, str) or not text:
        return 0
    try:
        wanted_ns = parse_duration_ns(text)
    except DurationError:
        return 0
    return max(wanted_ns, MINIMUM_NS) if wanted_ns > 0 else 0


class CriticalServices:
    """Since when checks are critical, as this leader saw it."""

    def __init__(self) -> None:
        self._since_ns: dict[tuple[str, str], int] = {}

    def due(self, critical: Iterable[Check], now_ns: int) -> list[Instance]:
        """Takes all critical checks with a limit; gives the instances to deregister."""
        seen: dict[tuple[str, str], int] = {}
        found: dict[Instance, None] = {}
        for check in critical:
            wanted_ns = limit_ns(check)
            if not wanted_ns:
                continue
            key = (check.node, check.check_id)
            since_ns = seen[key] = self._since_ns.get(key, now_ns)
            if now_ns - since_ns >= wanted_ns:
                found[Instance(check.node, check.service_id)] = None
        self._since_ns = seen
        return list(found)
