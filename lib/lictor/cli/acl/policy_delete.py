"""`consul acl policy delete`: remove a policy."""

from __future__ import annotations

from lictor.cli.acl.names import policy_of_flags
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl policy delete [options] -id POLICY

  Removes a policy.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("id", "string", "ID of the policy, or its beginning.")
    flags.add("name", "string", "Name of the policy.")


def run(call: Call) -> int:
    """Remove it."""
    identity = policy_of_flags(call)
    try:
        call.client.delete(f"/v1/acl/policy/{identity}")
    except ApiError as error:
        raise CommandError(f'Error deleting policy "{identity}": {error}') from None
    call.out(f'Policy "{identity}" deleted successfully')
    return OK
