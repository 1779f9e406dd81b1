"""`consul acl role delete`: remove a role."""

from __future__ import annotations

from lictor.cli.acl.names import named_role, role_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl role delete [options] -id ROLE

  Removes a role.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("id", "string", "ID of the role, or its beginning.")
    flags.add("name", "string", "Name of the role.")


def run(call: Call) -> int:
    """Remove it."""
    identity, name = call.flag("id"), call.flag("name")
    if not identity and not name:
        raise CommandError("Must specify the -id or -name parameters")
    try:
        found = role_id(call, identity) if identity else named_role(call, name)
    except (ApiError, CommandError) as error:
        if identity:
            raise
        raise CommandError(f"Error determining role ID: {error}") from None
    try:
        call.client.delete(f"/v1/acl/role/{found}")
    except ApiError as error:
        raise CommandError(f'Error deleting role "{found}": {error}') from None
    call.out(f'Role "{found}" deleted successfully')
    return OK
