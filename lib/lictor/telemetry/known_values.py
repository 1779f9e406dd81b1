"""The values that some families' open parts and labels can take: their series are there from the start, too.

Left open are those whose values only the cluster knows: peers, services, tags, names of events, datacenters.
"""

from __future__ import annotations

CONFIG_ENTRY_KINDS = ("proxy-defaults", "service-defaults", "service-resolver", "service-router", "service-splitter")
CACHE_TYPES = (
    "catalog-datacenters",
    "catalog-list-services",
    "catalog-services",
    "connect-ca-leaf",
    "connect-ca-root",
    "health-services",
    "intention-match",
    "node-services",
    "prepared-query",
)
CACHE_FIGURES = ("fetch_error", "fetch_success", "hit", "miss_block", "miss_new")
REPLICATED_TABLES = ("acl.policy", "acl.role", "acl.token")

PARTS: dict[str, tuple[str, ...]] = {
    "fsm.config_entry.<kind>": CONFIG_ENTRY_KINDS,
    "leader.replication.<replicator>.apply": (*REPLICATED_TABLES, "config"),
    "leader.replication.<replicator>.fetch": (*REPLICATED_TABLES, "config-entries"),
    **{f"consul.cache.<type>.{figure}": CACHE_TYPES for figure in CACHE_FIGURES},
}
"""By family, what stands for the part in angle brackets."""

_SET_OR_DELETED = ("delete", "upsert")
OPERATIONS: dict[str, tuple[str, ...]] = {
    "fsm.acl": ("bootstrap", "delete", "set"),
    "fsm.acl.authmethod": _SET_OR_DELETED,
    "fsm.acl.bindingrule": _SET_OR_DELETED,
    "fsm.acl.policy": _SET_OR_DELETED,
    "fsm.acl.role": _SET_OR_DELETED,
    "fsm.acl.token": ("bootstrap", *_SET_OR_DELETED),
    "fsm.ca": ("delete-provider-state", "set-config", "set-provider-state", "set-roots"),
    "fsm.ca.leaf": ("increment-serial",),
    "fsm.config_entry.<kind>": _SET_OR_DELETED,
    "fsm.intention": ("delete", "update"),
    "fsm.kvs": ("cas", "delete", "delete-cas", "delete-tree", "lock", "set", "unlock"),
    "fsm.prepared-query": ("delete", "update"),
    "fsm.session": ("create", "destroy"),
    "fsm.tombstone": ("reap",),
}
"""By name, the values of its label `op`."""
