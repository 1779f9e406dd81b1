"""Which agents a user event is for (Consul 1.7: user_event.go, shouldProcessUserEvent).

The filters are regular expressions: of the node's name, of a service's ID, and of one of that service's tags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lictor import regexp


def is_meant(
    node_filter: str,
    service_filter: str,
    tag_filter: str,
    node_name: str,
    services: Mapping[str, Mapping[str, Any]],
) -> bool:
    """Whether the agent of this node with these services (by ID) is meant. Errors: RegexpError."""
    if node_filter and not regexp.compiled(node_filter).found_in(node_name):
        return False
    if not service_filter:
        return True
    service, tag = regexp.compiled(service_filter), regexp.compiled(tag_filter) if tag_filter else None
    return any(
        service.found_in(service_id) and (tag is None or _any_found(tag, row.get("Tags") or ()))
        for service_id, row in services.items()
    )


def _any_found(pattern: regexp.Regexp, texts: Iterable[str]) -> bool:
    return any(pattern.found_in(text) for text in texts)
