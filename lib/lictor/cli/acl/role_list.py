"""`consul acl role list`: all roles."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl role list [options]

  Prints all roles.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")


def run(call: Call) -> int:
    """Read and print them."""
    try:
        found = call.client.get("/v1/acl/roles").json()
    except ApiError as error:
        raise CommandError(f"Failed to retrieve the role list: {error}") from None
    for entry in found or ():
        call.out("\n".join(show.role_in_list(entry, call.flag("meta", False))))
    return OK
