"""`consul acl token list`: all tokens."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl token list [options]

  Prints all tokens.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")


def run(call: Call) -> int:
    """Read and print them."""
    try:
        found = call.client.get("/v1/acl/tokens").json()
    except ApiError as error:
        raise CommandError(f"Failed to retrieve the token list: {error}") from None
    for number, entry in enumerate(found or ()):
        if number:
            call.out("")
        call.out("\n".join(show.token(entry, call.flag("meta", False), secret=False)))
    return OK
