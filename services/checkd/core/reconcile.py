"""Full anti-entropy's comparison: what the node knows against what the catalog holds (Consul 1.7: local state).

The node wins, except for the tags of services that allow an override. What the catalog holds beyond is marked to go,
apart from the server's own service and the gossip pool's check. Node details are compared without the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from checkd.core.local_state import LocalState
from checkd.core.proxy import shown_proxy
from checkd.core.records import Check, Service
from checkd.core.render import catalog_service

CONSUL_SERVICE_ID = "consul"
SERF_CHECK_ID = "serfHealth"
_NODE_KEYS = ("ID", "TaggedAddresses", "Meta")
_CHECK_KEYS = ("CheckID", "Name", "Status", "Notes", "ServiceID", "ServiceName")


def compare_with_catalog(
    state: LocalState,
    node: Mapping[str, Any],
    remote_node: Mapping[str, Any] | None,
    remote_services: Mapping[str, Mapping[str, Any]],
    remote_checks: Mapping[str, Mapping[str, Any]],
    compare_output: bool,
) -> None:
    """Mark everything that differs out of sync and everything equal in sync.

    `node` and `remote_node` are node objects of the API, the others are by ID. `compare_output` is whether a
    difference of a check's output alone matters.
    """
    state.node_info_in_sync = remote_node is not None and all(
        (remote_node.get(key) or {}) == (node.get(key) or {}) for key in _NODE_KEYS
    )
    _compare_services(state, remote_services)
    _compare_checks(state, remote_checks, compare_output)


def _compare_services(state: LocalState, remote: Mapping[str, Mapping[str, Any]]) -> None:
    for service_id in remote:
        if service_id not in state.services and service_id != CONSUL_SERVICE_ID:
            state.mark_remote_only(service_id=service_id)
    for service_id, entry in list(state.services.items()):
        found = remote.get(service_id)
        if entry.deleted:
            if found is None:
                state.service_synced(service_id, entry.revision)
            else:
                state.mark_dirty_service(service_id)
            continue
        if found is None:
            state.mark_dirty_service(service_id)
            continue
        if entry.service.enable_tag_override:
            tags = tuple(found.get("Tags") or ())
            if tags != entry.service.tags:
                state.set_tags(entry, tags)
        if same_service(entry.service, found):
            state.service_synced(service_id, entry.revision)
        else:
            state.mark_dirty_service(service_id)


def _compare_checks(state: LocalState, remote: Mapping[str, Mapping[str, Any]], compare_output: bool) -> None:
    for check_id in remote:
        if check_id not in state.checks and check_id != SERF_CHECK_ID:
            state.mark_remote_only(check_id=check_id)
    for check_id, entry in list(state.checks.items()):
        found = remote.get(check_id)
        if entry.deleted:
            if found is None:
                state.check_synced(check_id, entry.revision)
            else:
                state.mark_dirty_check(check_id)
        elif found is not None and same_check(entry.check, found, compare_output):
            state.check_synced(check_id, entry.revision)
        else:
            state.mark_dirty_check(check_id)


def same_service(service: Service, remote: Mapping[str, Any]) -> bool:
    """Whether the catalog's form of a service says what the node says."""
    local = catalog_service(service)
    return (
        (remote.get("Kind") or "") == service.kind
        and all(remote.get(key) == local[key] for key in ("ID", "Service", "Port", "Address", "EnableTagOverride"))
        and tuple(remote.get("Tags") or ()) == service.tags
        and (remote.get("Meta") or {}) == (service.meta or {})
        and (remote.get("TaggedAddresses") or {}) == local.get("TaggedAddresses", {})
        and remote.get("Weights") == local["Weights"]
        and shown_proxy(dict(remote.get("Proxy") or {})) == shown_proxy(service.proxy)
        and bool((remote.get("Connect") or {}).get("Native")) == service.native
    )


def same_check(check: Check, remote: Mapping[str, Any], compare_output: bool) -> bool:
    """Whether the catalog's form of a check says what the node says."""
    local = (check.check_id, check.name, check.status, check.notes, check.service_id, check.service_name)
    return (
        local == tuple(remote.get(key) or "" for key in _CHECK_KEYS)
        and tuple(remote.get("ServiceTags") or ()) == check.service_tags
        and (not compare_output or (remote.get("Output") or "") == check.output)
    )
