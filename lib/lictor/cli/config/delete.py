"""`consul config delete`: remove a configuration entry."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul config delete [options] -kind <config kind> -name <config name>

  Removes a configuration entry.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("kind", "string", "Kind of the entry.")
    flags.add("name", "string", "Name of the entry.")


def run(call: Call) -> int:
    """Remove it."""
    kind, name = call.flag("kind"), call.flag("name")
    if not kind:
        raise CommandError("Must specify the -kind parameter")
    if not name:
        raise CommandError("Must specify the -name parameter")
    try:
        call.client.delete(f"/v1/config/{kind}/{name}")
    except ApiError as error:
        raise CommandError(f'Error deleting config entry "{kind}" / "{name}": {error}') from None
    return OK
