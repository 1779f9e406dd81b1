"""`consul services deregister`: make the local agent forget services."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.cli.services.definitions import from_files
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul services deregister [options] [FILE...]

  Deregisters services from the local agent: the one of -id, or all those of
  files in the agent's configuration syntax.
"""
COMMON = "CSN"
NOTHING_GIVEN = "Service deregistration requires at least one argument or -id."
BOTH_GIVEN = "Service deregistration requires arguments or -id, not both."


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("id", "string", "ID of the instance.")


def run(call: Call) -> int:
    """Deregister one after the other."""
    identity = call.flag("id")
    if not call.arguments and not identity:
        raise CommandError(NOTHING_GIVEN)
    if call.arguments and identity:
        raise CommandError(BOTH_GIVEN)
    for service in [{"ID": identity}] if identity else from_files(call.arguments):
        name = service.get("Name", "")
        each = service.get("ID") or name
        if not each:
            continue
        try:
            call.client.put(f"/v1/agent/service/deregister/{each}")
        except ApiError as error:
            raise CommandError(f'Error registering service "{name}": {error}') from None
        call.out(f"Deregistered service: {each}")
    return OK
