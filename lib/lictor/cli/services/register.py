"""`consul services register`: make services known to the local agent."""

from __future__ import annotations

from typing import Any

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.services.definitions import from_files
from lictor.config.goflags import FlagSet, decimal
from lictor.state.gotext import quote

USAGE = """
Usage: consul services register [options] [FILE...]

  Registers services with the local agent: one described by flags, or all
  those of files in the agent's configuration syntax.
"""
COMMON = "CSN"
NOTHING_GIVEN = "Service registration requires at least one argument or flags."
BOTH_GIVEN = "Service registration requires arguments or -id, not both."


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("id", "string", "ID of the instance; the name when not given.")
    flags.add("name", "string", "Name of the service.")
    flags.add("address", "string", "Address of the instance; the node's when not given.")
    flags.add("port", "int", "Port of the instance.")
    flags.add("meta", "map", "Metadata, key=value. May be given several times.")
    flags.add("tag", "strings", "Tag. May be given several times.")
    flags.add("tagged-address", "map", "Address for a tag, tag=address:port. May be given several times.")
    flags.add("kind", "string", "Kind of the service.")


def run(call: Call) -> int:
    """Register one after the other."""
    described = _from_flags(call)
    if not call.arguments and not call.flag("name"):
        raise CommandError(NOTHING_GIVEN)
    if call.arguments and call.flag("name"):
        raise CommandError(BOTH_GIVEN)
    for service in from_files(call.arguments) if call.arguments else [described]:
        name = service.get("Name", "")
        try:
            call.client.put_json("/v1/agent/service/register", service)
        except ApiError as error:
            raise CommandError(f'Error registering service "{name}": {error}') from None
        call.out(f"Registered service: {name}")
    return OK


def _from_flags(call: Call) -> dict[str, Any]:
    service: dict[str, Any] = {
        "ID": call.flag("id"),
        "Name": call.flag("name"),
        "Address": call.flag("address"),
        "Port": call.flag("port", 0),
        "Tags": call.flag("tag", []),
        "Meta": call.flag("meta", {}),
        "Kind": call.flag("kind"),
    }
    addresses = {tag: tagged_address(text) for tag, text in call.flag("tagged-address", {}).items()}
    if addresses:
        service["TaggedAddresses"] = addresses
    return {key: value for key, value in service.items() if value or key == "Name"}


def tagged_address(text: str) -> dict[str, Any]:
    """`address:port`, `[address]:port`. Raises CommandError for anything else, in Go's words."""
    address, mark, port = text.rpartition(":")
    if not mark or (text.startswith("[") and not address.endswith("]")):
        raise CommandError(f"Invalid Tagged Address: address {text}: missing port in address")
    if ":" in address and not address.startswith("["):
        raise CommandError(f"Invalid Tagged Address: address {text}: too many colons in address")
    try:
        number = decimal(port)
    except ValueError as error:
        reason = "value out of range" if "range" in str(error) else "invalid syntax"
        raise CommandError(f"Invalid Tagged Address: strconv.Atoi: parsing {quote(port)}: {reason}") from None
    return {"Address": address.strip("[]"), "Port": number}
