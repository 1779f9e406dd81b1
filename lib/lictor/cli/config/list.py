"""`consul config list`: the names of the configuration entries of a kind."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul config list [options] -kind <config kind>

  Prints the names of all configuration entries of a kind.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("kind", "string", "Kind of the entries.")


def run(call: Call) -> int:
    """Read and print."""
    kind = call.flag("kind")
    if not kind:
        raise CommandError("Must specify the -kind parameter")
    try:
        entries = call.client.get(f"/v1/config/{kind}").json()
    except ApiError as error:
        raise CommandError(f'Error listing config entries for kind "{kind}": {error}') from None
    for entry in entries:
        call.out(entry["Name"])
    return OK
