"""`consul intention match`: the intentions that decide about a service."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.intention.pair import show
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul intention match [options] SRC|DST

  Prints the intentions that match a service as source or destination, the
  one that is asked first at the top.
"""
WRONG_FLAGS = 2
COMMON = "CS"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("source", "bool", "Match the service as source.")
    flags.add("destination", "bool", "Match the service as destination; this is the default.")


def run(call: Call) -> int:
    """Read and print."""
    if len(call.arguments) != 1:
        raise CommandError("Error: command requires exactly one argument: src or dst")
    if call.flag("source", False) and call.flag("destination", False):
        raise CommandError("Error: only one of -source or -destination may be specified")
    name = call.arguments[0]
    query = {"by": "source" if call.flag("source", False) else "destination", "name": name}
    try:
        found = call.client.get("/v1/connect/intentions/match", query).json()
    except ApiError as error:
        raise CommandError(f"Error matching the connection: {error}") from None
    for intention in found.get(name) or ():
        call.out(show(intention))
    return OK
