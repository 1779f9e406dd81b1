"""`consul rtt`: the round trip time between two nodes, from their network coordinates."""

from __future__ import annotations

import math
from typing import Any

from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul rtt [options] node1 [node2]

  Estimates the round trip time between two nodes. The second is the agent's
  own node when not given. With -wan the names are node.datacenter of servers.
"""
COMMON = "C"

Coordinate = dict[str, Any]


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("wan", "bool", "Use the WAN coordinates of servers.")


def run(call: Call) -> int:
    """Look up both coordinates and print the estimate."""
    if not 1 <= len(call.arguments) <= 2:
        raise UsageWanted("One or two node names must be specified")
    try:
        return _wan(call) if call.flag("wan", False) else _lan(call)
    except ApiError as error:
        raise CommandError(f"Error getting coordinates: {error}") from None


def _lan(call: Call) -> int:
    first = call.arguments[0]
    second = call.arguments[1] if len(call.arguments) > 1 else _own_name(call, wan=False)
    found = {entry["Node"]: entry["Coord"] for entry in call.client.get("/v1/coordinate/nodes").json()}
    return _print(call, found, first, second, "LAN")


def _wan(call: Call) -> int:
    names = list(call.arguments)
    if len(names) == 1:
        names.append(_own_name(call, wan=True))
    for name in names:
        if name.count(".") != 1:
            raise CommandError("Node names must be specified as <node name>.<datacenter> with -wan")
    found: dict[str, Coordinate] = {}
    for datacenter in call.client.get("/v1/coordinate/datacenters").json():
        for entry in datacenter["Coordinates"] or ():
            found[f"{entry['Node']}.{datacenter['Datacenter']}"] = entry["Coord"]
    if names[1] not in found:
        # Consul shows nothing of a pair that it does not have, and names its first.
        raise CommandError(f'Could not find a coordinate for node "{names[0]}"')
    return _print(call, found, names[0], names[1], "WAN")


def _own_name(call: Call, wan: bool) -> str:
    try:
        own = call.client.get("/v1/agent/self").json()["Config"]
    except ApiError as error:
        raise CommandError(f"Unable to look up agent info: {error}") from None
    return f"{own['NodeName']}.{own['Datacenter']}" if wan else str(own["NodeName"])


def _print(call: Call, found: dict[str, Coordinate], first: str, second: str, pool: str) -> int:
    for name in (first, second):
        if name not in found:
            raise CommandError(f'Could not find a coordinate for node "{name}"')
    seconds = distance_s(found[first], found[second])
    call.out(f"Estimated {first} <-> {second} rtt: {seconds * 1000:.3f} ms (using {pool} coordinates)")
    return OK


def distance_s(first: Coordinate, second: Coordinate) -> float:
    """The estimated round trip time in seconds (Vivaldi with heights and adjustments)."""
    plane = math.sqrt(sum((a - b) ** 2 for a, b in zip(first["Vec"], second["Vec"], strict=True)))
    raw = plane + float(first["Height"]) + float(second["Height"])
    adjusted = raw + float(first["Adjustment"]) + float(second["Adjustment"])
    return adjusted if adjusted > 0 else raw
