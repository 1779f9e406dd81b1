"""`consul acl policy read`: show a policy."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import policy_of_flags
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl policy read [options] POLICY

  Prints a policy.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("id", "string", "ID of the policy, or its beginning.")
    flags.add("name", "string", "Name of the policy.")


def run(call: Call) -> int:
    """Read and print it."""
    identity = policy_of_flags(call)
    try:
        policy = call.client.get(f"/v1/acl/policy/{identity}").json()
    except ApiError as error:
        raise CommandError(f'Error reading policy "{identity}": {error}') from None
    call.out("\n".join(show.policy(policy, call.flag("meta", False))))
    return OK
