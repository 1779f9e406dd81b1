"""Maintenance mode: a critical check that stands for somebody's decision (Consul 1.7: agent)."""

from __future__ import annotations

from checkd.core.records import Check, Service
from checkd.core.status import CRITICAL

NODE_MAINTENANCE_ID = "_node_maintenance"
SERVICE_MAINTENANCE_PREFIX = "_service_maintenance:"
MAINTENANCE_KIND = "maintenance"


def maintenance_id(service_id: str) -> str:
    """The ID of the check for a service, or for the node when empty."""
    return SERVICE_MAINTENANCE_PREFIX + service_id if service_id else NODE_MAINTENANCE_ID


def maintenance_check(service: Service | None, reason: str) -> Check:
    """The check that puts a service, or the node, into maintenance; without a reason it gets a default text."""
    subject = "service" if service is not None else "node"
    default = f"Maintenance mode is enabled for this {subject}, but no reason was provided. This is a default message."
    return Check(
        check_id=maintenance_id(service.service_id if service is not None else ""),
        name=f"{subject.capitalize()} Maintenance Mode",
        status=CRITICAL,
        notes=reason or default,
        service_id=service.service_id if service is not None else "",
        service_name=service.name if service is not None else "",
        service_tags=service.tags if service is not None else (),
        kind=MAINTENANCE_KIND,
    )
