"""`consul acl token delete`: remove a token."""

from __future__ import annotations

from lictor.cli.acl.names import token_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl token delete [options] -id TOKEN

  Removes a token.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("id", "string", "ID of the token, or its beginning.")


def run(call: Call) -> int:
    """Remove it."""
    if not call.flag("id"):
        raise CommandError("Must specify the -id parameter")
    identity = token_id(call, call.flag("id"))
    try:
        call.client.delete(f"/v1/acl/token/{identity}")
    except ApiError as error:
        raise CommandError(f'Error deleting token "{identity}": {error}') from None
    call.out(f'Token "{identity}" deleted successfully')
    return OK
