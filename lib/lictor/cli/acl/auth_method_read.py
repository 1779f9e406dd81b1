"""`consul acl auth-method read`: show an auth method."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl auth-method read -name NAME [options]

  Prints an auth method.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("name", "string", "Name of the method.")


def run(call: Call) -> int:
    """Read and print it."""
    name = call.flag("name")
    if not name:
        raise CommandError("Must specify the -name parameter")
    try:
        method = call.client.get(f"/v1/acl/auth-method/{name}").json()
    except ApiError as error:
        if error.status == 404:
            raise CommandError(f'Auth method not found with name "{name}"') from None
        raise CommandError(f'Error reading auth method "{name}": {error}') from None
    call.out("\n".join(show.auth_method(method, call.flag("meta", False))))
    return OK
