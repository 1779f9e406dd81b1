"""`consul acl policy update`: change a policy."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import policy_of_flags, text_of
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl policy update [options]

  Changes a policy. What is not given stays, unless -no-merge is.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("id", "string", "ID of the policy, or its beginning.")
    flags.add("name", "string", "Name of the policy.")
    flags.add("description", "string", "Description.")
    flags.add("valid-datacenter", "strings", "Datacenter the policy is for. May be given several times.")
    flags.add("rules", "string", "Rules: the text itself, - for standard input or @file.")
    flags.add("no-merge", "bool", "Replace everything by what is given.")


def run(call: Call) -> int:
    """Read, change, write and print it."""
    if not call.flag("id") and not call.flag("name"):
        raise CommandError("Must specify either the -id or -name parameters")
    identity = policy_of_flags(call)
    given = {
        "Name": call.flag("name"),
        "Description": call.flag("description"),
        "Datacenters": call.flag("valid-datacenter") or [],
        "Rules": text_of(call.flag("rules"), "Error loading data source:") if call.flag("rules") else "",
    }
    try:
        policy = (
            {"ID": identity} if call.flag("no-merge", False) else call.client.get(f"/v1/acl/policy/{identity}").json()
        )
        keep_empty = call.flag("no-merge", False)
        policy |= {key: value for key, value in given.items() if value or keep_empty}
        updated = call.client.put_json(f"/v1/acl/policy/{identity}", policy).json()
    except ApiError as error:
        raise CommandError(f'Error updating policy "{identity}": {error}') from None
    call.out("Policy updated successfully")
    call.out("\n".join(show.policy(updated, call.flag("meta", False))))
    return OK
