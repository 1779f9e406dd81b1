"""`consul acl auth-method list`: all auth methods."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl auth-method list [options]

  Prints all auth methods.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")


def run(call: Call) -> int:
    """Read and print them."""
    try:
        found = call.client.get("/v1/acl/auth-methods").json()
    except ApiError as error:
        raise CommandError(f"Failed to retrieve the auth method list: {error}") from None
    for entry in found or ():
        call.out("\n".join(show.auth_method_in_list(entry, call.flag("meta", False))))
    return OK
