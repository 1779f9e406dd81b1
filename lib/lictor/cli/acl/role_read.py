"""`consul acl role read`: show a role."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import role_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl role read [options] ROLE

  Prints a role.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("id", "string", "ID of the role, or its beginning.")
    flags.add("name", "string", "Name of the role.")


def run(call: Call) -> int:
    """Read and print it."""
    identity, name = call.flag("id"), call.flag("name")
    if not identity and not name:
        raise CommandError("Must specify either the -id or -name parameters")
    if identity:
        identity = role_id(call, identity)
    try:
        path = f"/v1/acl/role/{identity}" if identity else f"/v1/acl/role/name/{name}"
        role = call.client.get(path).json()
    except ApiError as error:
        if error.status == 404:
            what = f'ID "{identity}"' if identity else f'name "{name}"'
            raise CommandError(f"Role not found with {what}") from None
        raise CommandError(f'Error reading role "{identity or name}": {error}') from None
    call.out("\n".join(show.role(role, call.flag("meta", False))))
    return OK
