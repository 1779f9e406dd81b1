"""`consul acl binding-rule list`: all binding rules."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl binding-rule list [options]

  Prints all binding rules.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("method", "string", "Only rules of this auth method.")


def run(call: Call) -> int:
    """Read and print them."""
    try:
        found = call.client.get(
            "/v1/acl/binding-rules", {"authmethod": call.flag("method")} if call.flag("method") else {}
        ).json()
    except ApiError as error:
        raise CommandError(f"Failed to retrieve the binding rule list: {error}") from None
    for entry in found or ():
        call.out("\n".join(show.binding_rule_in_list(entry, call.flag("meta", False))))
    return OK
