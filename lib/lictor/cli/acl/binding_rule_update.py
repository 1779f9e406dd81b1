"""`consul acl binding-rule update`: change a binding rule."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.acl.names import NOT_FOUND, Entry, rule_id
from lictor.cli.call import OK, Call, CommandError
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl binding-rule update -id ID [options]

  Changes a binding rule. What is not given stays, unless -no-merge is.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("id", "string", "ID of the rule, or its beginning.")
    flags.add("description", "string", "Description.")
    flags.add("selector", "string", "Expression that chooses logins.")
    flags.add("bind-type", "string", "What is bound: service or role; service when not given.", "service")
    flags.add("bind-name", "string", "Name to bind.")
    flags.add("no-merge", "bool", "Replace everything by what is given.")


def run(call: Call) -> int:
    """Read, change, write and print it."""
    if not call.flag("id"):
        raise CommandError("Cannot update a binding rule without specifying the -id parameter")
    identity = rule_id(call, call.flag("id"))
    rule = _present(call, identity)
    given = {
        "Description": call.flag("description"),
        "BindType": call.flag("bind-type"),
        "BindName": call.flag("bind-name"),
        "Selector": call.flag("selector"),
    }
    try:
        if call.flag("no-merge", False):
            if not given["BindName"]:
                raise CommandError("Missing required '-bind-name' flag")
            rule |= {**given, "BindType": given["BindType"] or "service"}
        else:
            rule |= {
                key: value for key, value in given.items() if value or (key == "Selector" and "selector" in call.flags)
            }
        updated = call.client.put_json(f"/v1/acl/binding-rule/{identity}", rule).json()
    except ApiError as error:
        raise CommandError(f'Error updating binding rule "{identity}": {error}') from None
    call.out("Binding rule updated successfully")
    call.out("\n".join(show.binding_rule(updated, call.flag("meta", False))))
    return OK


def _present(call: Call, identity: str) -> Entry:
    try:
        found: Entry = call.client.get(f"/v1/acl/binding-rule/{identity}").json()
    except ApiError as error:
        if error.status == NOT_FOUND:
            raise CommandError(f'Binding rule not found with ID "{identity}"') from None
        raise CommandError(f"Error when retrieving current binding rule: {error}") from None
    return found
