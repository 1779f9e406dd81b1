"""`consul intention create`: allow or deny connections between services."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.intention.pair import find, show
from lictor.config import gojson
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul intention create [options] SRC DST
Usage: consul intention create [options] -file FILE...

  Creates the intention that connections from SRC to DST are allowed, or with
  -deny refused. A file holds one intention as JSON.
"""
COMMON = "CS"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("allow", "bool", "Allow the connection; this is the default.")
    flags.add("deny", "bool", "Refuse the connection.")
    flags.add("file", "bool", "The arguments are files.")
    flags.add("replace", "bool", "Change an intention that exists already.")
    flags.add("meta", "map", "Metadata, key=value. May be given several times.")


def run(call: Call) -> int:
    """Create one after the other."""
    if call.flag("allow", False) and call.flag("deny", False):
        raise CommandError("Only one of -allow or -deny may be specified.")
    for intention in _wanted(call):
        try:
            known = (
                find(call, intention["SourceName"], intention["DestinationName"])
                if call.flag("replace", False)
                else None
            )
        except ApiError as error:
            raise CommandError(
                f'Error looking up intention for replacement with source "{intention["SourceName"]}"'
                f' and destination "{intention["DestinationName"]}": {error}'
            ) from None
        try:
            if known is not None:
                call.client.put_json(f"/v1/connect/intentions/{known['ID']}", {**known, **intention})
            else:
                call.client.post_json("/v1/connect/intentions", intention)
        except ApiError as error:
            what = "replacing intention with" if known is not None else "creating intention"
            raise CommandError(f'Error {what} "{show(intention)}": {error}') from None
        if known is None:
            call.out(f"Created: {show(intention)}")
    return OK


def _wanted(call: Call) -> list[dict[str, Any]]:
    if call.flag("file", False):
        return [_from_file(path) for path in call.arguments]
    if len(call.arguments) != 2:
        raise CommandError("Error: Must specify two arguments: source and destination")
    source, destination = call.arguments
    return [
        {
            "SourceName": source,
            "DestinationName": destination,
            "SourceType": "consul",
            "Action": "deny" if call.flag("deny", False) else "allow",
            "Meta": call.flag("meta", {}),
        }
    ]


def _from_file(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            intention = gojson.loads(file.read())
    except OSError as error:
        raise CommandError(f"Error: open {path}: {(error.strerror or str(error)).lower()}") from None
    except gojson.JsonError as error:
        raise CommandError(f"Error: {path}: {error}") from None
    if not isinstance(intention, dict) or not all(
        isinstance(intention.get(key), str) for key in ("SourceName", "DestinationName")
    ):
        raise CommandError(f"Error: {path}: an intention with SourceName and DestinationName is wanted")
    return {"Action": "allow", **intention}
