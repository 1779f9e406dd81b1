"""`consul catalog services`: the services of a datacenter or a node."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.table import WIDE_GAP, table
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul catalog services [options]

  Prints the names of the registered services.
"""
COMMON = "CSN"
NONE_FOUND = "No services match the given query - try expanding your search."


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("node", "string", "Only services of this node, `id or name`.")
    flags.add("node-meta", "map", "Only services of nodes with this metadata, `key=value`. May be given several times.")
    flags.add("tags", "bool", "Print the services' tags, too.")


def run(call: Call) -> int:
    """Read and print."""
    if call.arguments:
        raise CommandError(f"Too many arguments (expected 0, got {len(call.arguments)})")
    node = call.flag("node")
    query = [("node-meta", f"{key}:{value}") for key, value in call.flag("node-meta", {}).items()]
    services: dict[str, set[str]] = {}
    try:
        if node:
            found = call.client.get(f"/v1/catalog/node/{node}", query).json()
            for instance in ((found or {}).get("Services") or {}).values():
                services.setdefault(instance["Service"], set()).update(instance["Tags"] or ())
        else:
            listed = call.client.get("/v1/catalog/services", query).json()
            services = {name: set(tags or ()) for name, tags in listed.items()}
    except ApiError as error:
        raise CommandError(f"Error listing services{' for node' if node else ''}: {error}") from None
    if not services:
        call.error(NONE_FOUND)
        return OK
    if call.flag("tags", False):
        call.out(table([[name, ",".join(sorted(tags))] for name, tags in sorted(services.items())], WIDE_GAP).strip())
    else:
        for name in sorted(services):
            call.out(name)
    return OK
