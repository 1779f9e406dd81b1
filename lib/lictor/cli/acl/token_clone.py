"""`consul acl token clone`: a copy of a token."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import token_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl token clone [options]

  Creates a token with the rights of another.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("id", "string", "ID of the token, or its beginning.")
    flags.add("description", "string", "Description.")


def run(call: Call) -> int:
    """Clone and print it."""
    if not call.flag("id"):
        raise CommandError("Cannot update a token without specifying the -id parameter")
    try:
        identity = token_id(call, call.flag("id"))
        body = {"Description": call.flag("description")}
        token = call.client.put_json(f"/v1/acl/token/{identity}/clone", body).json()
    except ApiError as error:
        raise CommandError(f"Error cloning token: {error}") from None
    call.out("Token cloned successfully.")
    call.out("\n".join(show.token(token, meta=False)))
    return OK
