"""`consul catalog nodes`: the nodes of a datacenter."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.table import table
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul catalog nodes [options]

  Prints the nodes of a datacenter, or those that match all conditions given.
"""
COMMON = "CS"
SHORT_ID_LENGTH = 8
NONE_FOUND = "No nodes match the given query - try expanding your search."


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("detailed", "bool", "Print full IDs, tagged addresses and metadata, too.")
    flags.add("filter", "string", "Filter expression.")
    flags.add("near", "string", "Sort by estimated round trip time from this node; _agent is the agent's.")
    flags.add("node-meta", "map", "Only nodes with this metadata, `key=value`. May be given several times.")
    flags.add("service", "string", "Only nodes with instances of this service, `id or name`.")


def run(call: Call) -> int:
    """Read and print."""
    if call.arguments:
        raise CommandError(f"Too many arguments (expected 0, got {len(call.arguments)})")
    service = call.flag("service")
    query = [(name, call.flag(name)) for name in ("filter", "near") if call.flag(name)]
    query += [("node-meta", f"{key}:{value}") for key, value in call.flag("node-meta", {}).items()]
    path = f"/v1/catalog/service/{service}" if service else "/v1/catalog/nodes"
    try:
        found = call.client.get(path, query).json()
    except ApiError as error:
        raise CommandError(f"Error listing nodes{' for service' if service else ''}: {error}") from None
    nodes = from_instances(found) if service else found
    if not call.flag("near"):
        nodes.sort(key=lambda node: node["Node"])
    if not nodes:
        call.error(NONE_FOUND)
        return OK
    call.out(table(rows(nodes, call.flag("detailed", False))))
    return OK


def from_instances(instances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nodes of service instances, each once."""
    nodes: dict[str, dict[str, Any]] = {}
    for instance in instances:
        nodes.setdefault(
            instance["Node"],
            {
                "ID": instance["ID"],
                "Node": instance["Node"],
                "Address": instance["Address"],
                "Datacenter": instance["Datacenter"],
                "TaggedAddresses": instance["TaggedAddresses"],
                "Meta": instance["NodeMeta"],
            },
        )
    return list(nodes.values())


def rows(nodes: list[dict[str, Any]], detailed: bool) -> list[list[str]]:
    """The table's rows."""
    head = ["Node", "ID", "Address", "DC"]
    if not detailed:
        return [
            head,
            *([node["Node"], node["ID"][:SHORT_ID_LENGTH], node["Address"], node["Datacenter"]] for node in nodes),
        ]
    return [
        [*head, "TaggedAddresses", "Meta"],
        *(
            [
                node["Node"],
                node["ID"],
                node["Address"],
                node["Datacenter"],
                pairs(node["TaggedAddresses"]),
                pairs(node["Meta"]),
            ]
            for node in nodes
        ),
    ]


def pairs(values: dict[str, str] | None) -> str:
    """`k=v, k=v`, sorted."""
    return ", ".join(f"{key}={value}" for key, value in sorted((values or {}).items()))
