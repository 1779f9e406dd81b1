"""`consul intention create`: allow or deny connections between services."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.intention.pair import Intention, end, find, show
from lictor.config import gojson
from lictor.config.goflags import FlagSet
from lictor.state.gotext import quote

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
        ends = f'with source "{end(intention, "Source")}" and destination "{end(intention, "Destination")}"'
        if call.flag("replace", False):
            try:
                known = find(call, end(intention, "Source"), end(intention, "Destination"))
            except ApiError as error:
                raise CommandError(f"Error looking up intention for replacement {ends}: {error}") from None
            if known is not None:
                _replace(call, {**intention, "ID": known["ID"]}, ends)
                continue
        try:
            call.client.post_json("/v1/connect/intentions", intention)
        except ApiError as error:
            raise CommandError(f"Error creating intention {quote(show(intention))}: {error}") from None
        call.out(f"Created: {show(intention)}")
    return OK


def _replace(call: Call, intention: Intention, ends: str) -> None:
    try:
        call.client.put_json(f"/v1/connect/intentions/{intention['ID']}", intention)
    except ApiError as error:
        raise CommandError(f"Error replacing intention {ends}: {error}") from None


def _wanted(call: Call) -> list[Intention]:
    if call.flag("file", False):
        return [_from_file(path) for path in call.arguments]
    if len(call.arguments) != 2:
        raise CommandError("Error: Must specify two arguments: source and destination")
    source, destination = call.arguments
    return [
        {
            **_named("Source", source),
            **_named("Destination", destination),
            "SourceType": "consul",
            "Action": "deny" if call.flag("deny", False) else "allow",
            "Meta": call.flag("meta", {}),
        }
    ]


def _named(side: str, text: str) -> Intention:
    namespace, mark, name = text.partition("/")
    if "/" in name:
        raise CommandError(f"Error: Invalid intention {side.lower()}: target can contain at most one '/'")
    return {f"{side}NS": namespace, f"{side}Name": name} if mark else {f"{side}Name": text}


def _from_file(path: str) -> Intention:
    try:
        with open(path, "rb") as file:
            text = file.read()
        intention = gojson.loads(text)
    except OSError as error:
        raise CommandError(f"Error: open {path}: {(error.strerror or str(error)).lower()}") from None
    except gojson.JsonError as error:
        raise CommandError(f"Error: {error if text.strip() else 'EOF'}") from None
    if not isinstance(intention, dict):
        raise CommandError(f"Error: {gojson.mismatch(intention, 'Go value of type api.Intention')}")
    return intention
