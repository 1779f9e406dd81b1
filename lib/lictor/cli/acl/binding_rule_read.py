"""`consul acl binding-rule read`: show a binding rule."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import rule_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl binding-rule read -id ID [options]

  Prints a binding rule.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("id", "string", "ID of the rule, or its beginning.")


def run(call: Call) -> int:
    """Read and print it."""
    if not call.flag("id"):
        raise CommandError("Must specify the -id parameter.")
    identity = rule_id(call, call.flag("id"))
    try:
        rule = call.client.get(f"/v1/acl/binding-rule/{identity}").json()
    except ApiError as error:
        if error.status == 404:
            raise CommandError(f'Binding rule not found with ID "{identity}"') from None
        raise CommandError(f'Error reading binding rule "{identity}": {error}') from None
    call.out("\n".join(show.binding_rule(rule, call.flag("meta", False))))
    return OK
