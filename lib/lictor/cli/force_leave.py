"""`consul force-leave`: declare a failed member gone."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul force-leave [options] name

  Moves a failed member to the state "left". A member that still runs will
  join again. With -prune it is forgotten at once.
"""
COMMON = "C"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("prune", "bool", "Remove the member from the list of members, too.")


def run(call: Call) -> int:
    """Ask for it."""
    if len(call.arguments) != 1:
        raise UsageWanted("A single node name must be specified to force leave.")
    query = {"prune": "1"} if call.flag("prune", False) else {}
    try:
        call.client.put(f"/v1/agent/force-leave/{call.arguments[0]}", query)
    except ApiError as error:
        raise CommandError(f"Error force leaving: {error}") from None
    return OK
