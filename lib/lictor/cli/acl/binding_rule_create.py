"""`consul acl binding-rule create`: a new binding rule."""

from __future__ import annotations

from lictor.cli.acl import show
from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl binding-rule create [options]

  Creates a rule that gives logins of an auth method a role or a service
  identity.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("method", "string", "Auth method the rule is for.")
    flags.add("description", "string", "Description.")
    flags.add("selector", "string", "Expression that chooses logins.")
    flags.add("bind-type", "string", "What is bound: service or role; service when not given.", "service")
    flags.add("bind-name", "string", "Name to bind.")


def run(call: Call) -> int:
    """Create and print it."""
    for flag in ("method", "bind-name"):
        if not call.flag(flag):
            raise UsageWanted(f"Missing required '-{flag}' flag", blank=False)
    rule = {
        "Description": call.flag("description"),
        "AuthMethod": call.flag("method"),
        "BindType": call.flag("bind-type", "service"),
        "BindName": call.flag("bind-name"),
        "Selector": call.flag("selector"),
    }
    try:
        created = call.client.put_json("/v1/acl/binding-rule", rule).json()
    except ApiError as error:
        raise CommandError(f"Failed to create new binding rule: {error}") from None
    call.out("\n".join(show.binding_rule(created, call.flag("meta", False))))
    return OK
