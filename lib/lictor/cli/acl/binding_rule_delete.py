"""`consul acl binding-rule delete`: remove a binding rule."""

from __future__ import annotations

from lictor.cli.acl.names import rule_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl binding-rule delete -id ID [options]

  Removes a binding rule.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("id", "string", "ID of the rule, or its beginning.")


def run(call: Call) -> int:
    """Remove it."""
    if not call.flag("id"):
        raise CommandError("Must specify the -id parameter")
    identity = rule_id(call, call.flag("id"))
    try:
        call.client.delete(f"/v1/acl/binding-rule/{identity}")
    except ApiError as error:
        raise CommandError(f'Error deleting binding rule "{identity}": {error}') from None
    call.out(f'Binding rule "{identity}" deleted successfully')
    return OK
