"""`consul join`: the agent joins other agents."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul join [options] address ...

  Tells the agent to join the cluster of which an agent at one of the
  addresses is a member.
"""
COMMON = "C"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("wan", "bool", "Join a server of another datacenter over the WAN.")


def run(call: Call) -> int:
    """Try every address; one that works is enough."""
    if not call.arguments:
        raise UsageWanted("At least one address to join must be specified.")
    joined = 0
    for address in call.arguments:
        query = {"wan": "1"} if call.flag("wan", False) else {}
        try:
            call.client.put(f"/v1/agent/join/{address}", query)
            joined += 1
        except ApiError as error:
            call.error(f"Error joining address '{address}': {error}")
    if not joined:
        raise CommandError("Failed to join any nodes.")
    call.out(f"Successfully joined cluster by contacting {joined} nodes.")
    return OK
