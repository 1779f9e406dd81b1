"""`consul acl auth-method delete`: remove an auth method."""

from __future__ import annotations

from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl auth-method delete -name NAME [options]

  Removes an auth method and the tokens made with it.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("name", "string", "Name of the method.")


def run(call: Call) -> int:
    """Remove it."""
    name = call.flag("name")
    if not name:
        raise CommandError("Must specify the -name parameter")
    try:
        call.client.delete(f"/v1/acl/auth-method/{name}")
    except ApiError as error:
        raise CommandError(f'Error deleting auth method "{name}": {error}') from None
    call.out(f'Auth method "{name}" deleted successfully')
    return OK
