"""`consul acl token read`: show a token."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import token_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl token read [options] -id TOKENID

  Prints a token.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("self", "bool", "Show the token that is used for the request.")
    flags.add("id", "string", "ID of the token, or its beginning.")


def run(call: Call) -> int:
    """Read and print it."""
    own, identity = call.flag("self", False), call.flag("id")
    if not own and not identity:
        raise CommandError("Must specify the -id parameter")
    try:
        if own:
            token = call.client.get("/v1/acl/token/self").json()
        else:
            identity = token_id(call, identity)
            token = call.client.get(f"/v1/acl/token/{identity}").json()
    except ApiError as error:
        which = "" if own else f' "{identity}"'
        raise CommandError(f"Error reading token{which}: {error}") from None
    call.out("\n".join(show.token(token, call.flag("meta", False))))
    return OK
