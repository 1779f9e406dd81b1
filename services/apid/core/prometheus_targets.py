"""Instances as targets of Prometheus' HTTP service discovery: a JSON list of groups, here one for each instance.

The labels bear the names that Prometheus' own Consul discovery gives them (`__meta_consul_service`, …), so that rules
for relabelling are the same for both. `__meta_consul_service_tagged_address_<name>`, as host:port, is only here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from apid.core.encoding import to_json
from lictor.state.queries.read import Instance
from lictor.state.rows import Check

PREFIX = "__meta_consul_"
TAGGED_ADDRESS = f"{PREFIX}tagged_address_"
SERVICE_TAGGED_ADDRESS = f"{PREFIX}service_tagged_address_"
TAG_SEPARATOR = ","
MAINTENANCE = "maintenance"
_NODE_MAINTENANCE = "_node_maintenance"
_SERVICE_MAINTENANCE = "_service_maintenance:"
_SEVERITY = ("critical", "warning")
_NOT_IN_LABELS = re.compile(r"[^a-zA-Z0-9_]")

Group = dict[str, Any]


def targets(items: Iterable[Instance]) -> bytes:
    """The whole answer; an empty list when there are none."""
    return to_json([group(item) for item in items])


def group(item: Instance) -> Group:
    """One instance: where it is scraped and what is known of it."""
    node, service = item.node, item.service
    labels = {
        f"{PREFIX}address": node.address,
        f"{PREFIX}dc": node.datacenter,
        f"{PREFIX}health": health(item.checks),
        f"{PREFIX}node": service.node,
        f"{PREFIX}service": service.service,
        f"{PREFIX}service_address": service.address,
        f"{PREFIX}service_id": service.id,
        f"{PREFIX}service_port": str(service.port),
        f"{PREFIX}tags": surrounded(service.tags or ()),
        **_labels(f"{PREFIX}metadata_", node.meta),
        **_labels(f"{PREFIX}service_metadata_", service.meta),
        **_labels(TAGGED_ADDRESS, node.tagged_addresses),
        **_labels(
            SERVICE_TAGGED_ADDRESS,
            {
                name: host_port(where.get("Address", ""), where.get("Port", 0))
                for name, where in (service.tagged_addresses or {}).items()
            },
        ),
    }
    return {"targets": [host_port(service.address or node.address, service.port)], "labels": labels}


def health(checks: Sequence[Check]) -> str:
    """The worst status among the checks; `maintenance` goes before all others, no checks are `passing`."""
    if any(one.check_id == _NODE_MAINTENANCE or one.check_id.startswith(_SERVICE_MAINTENANCE) for one in checks):
        return MAINTENANCE
    statuses = {one.status for one in checks}
    return next((status for status in _SEVERITY if status in statuses), "passing")


def surrounded(tags: Sequence[str]) -> str:
    """Tags with a separator on every side, so that a rule may ask for `.*,primary,.*`."""
    return f"{TAG_SEPARATOR}{TAG_SEPARATOR.join(tags)}{TAG_SEPARATOR}"


def host_port(host: str, port: int | str) -> str:
    """Both as an address; an IPv6 host goes into brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def label_name(text: str) -> str:
    """The text as a part of a label's name."""
    return _NOT_IN_LABELS.sub("_", text)


def _labels(prefix: str, pairs: Mapping[str, str] | None) -> dict[str, str]:
    return {prefix + label_name(name): value for name, value in (pairs or {}).items()}
