"""`consul config read`: show a configuration entry."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.config.kinds import KINDS
from lictor.config import gojson
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul config read [options] -kind <config kind> -name <config name>

  Prints a configuration entry as JSON.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("kind", "string", "Kind of the entry.")
    flags.add("name", "string", "Name of the entry.")


def run(call: Call) -> int:
    """Read and print."""
    kind, name = call.flag("kind"), call.flag("name")
    if not kind:
        raise CommandError("Must specify the -kind parameter")
    if not name:
        raise CommandError("Must specify the -name parameter")
    if kind not in KINDS:
        raise CommandError(f'Error reading config entry "{kind}" / "{name}": invalid config entry kind: {kind}')
    try:
        entry = call.client.get(f"/v1/config/{kind}/{name}").json()
    except ApiError as error:
        raise CommandError(f'Error reading config entry "{kind}" / "{name}": {error}') from None
    call.out(gojson.dumps({key: value for key, value in entry.items() if value is not None}))
    return OK
