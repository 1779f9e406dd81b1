"""Alias checks: the health of another service, or of a node, from its checks (Consul 1.7: CheckAlias)."""

from __future__ import annotations

from collections.abc import Iterable

from checkd.core.records import Check
from checkd.core.status import CRITICAL, PASSING, WARNING

NO_CHECKS = "No checks found."
ALL_PASSING = "All checks passing."


def aliased(checks: Iterable[Check], service_id: str, own_id: str = "") -> tuple[str, str]:
    """Status and output of an alias of `service_id` (empty: the node alone) given all checks of its node.

    Checks of the node itself count for every service on it; the alias itself does not.
    """
    status, output = PASSING, NO_CHECKS
    for check in checks:
        if check.check_id == own_id or (check.service_id and check.service_id != service_id):
            continue
        if check.status == CRITICAL:
            return CRITICAL, _failing(check)
        if check.status == WARNING:
            status, output = WARNING, _failing(check)
        elif status == PASSING:
            output = ALL_PASSING
    return status, output


def _failing(check: Check) -> str:
    return f'Aliased check "{check.name}" failing: {check.output}'
