"""`consul acl policy create`: a new policy."""

from __future__ import annotations

from lictor.acl.errors import RulesError
from lictor.acl.translate import translate
from lictor.cli.acl import show
from lictor.cli.acl.legacy_rules import rules_of_token
from lictor.cli.acl.names import text_of
from lictor.cli.call import OK, Call, CommandError, UsageWanted
from lictor.cli.client import ApiError
from lictor.config.goflags import FlagSet

USAGE = """
Usage: consul acl policy create -name NAME [options]

  Creates a policy with rules.
"""
COMMON = "CSN"


def define(flags: FlagSet) -> None:
    """The command's flags."""
    flags.add("meta", "bool", "Show hash and indexes, too.")
    flags.add("name", "string", "Name of the policy.")
    flags.add("description", "string", "Description.")
    flags.add("valid-datacenter", "strings", "Datacenter the policy is for; else all. May be given several times.")
    flags.add("rules", "string", "Rules: the text itself, - for standard input or @file.")
    flags.add("from-token", "string", "Take the rules of this old token.")
    flags.add("token-secret", "bool", "-from-token is a secret, not an accessor ID.")


def run(call: Call) -> int:
    """Create and print it."""
    if not call.flag("name"):
        raise UsageWanted("Missing require '-name' flag", blank=False)
    rules = _rules(call)
    try:
        policy = {
            "Name": call.flag("name"),
            "Description": call.flag("description"),
            "Datacenters": call.flag("valid-datacenter") or [],
            "Rules": rules,
        }
        created = call.client.put_json("/v1/acl/policy", policy).json()
    except ApiError as error:
        raise CommandError(f"Failed to create new policy: {error}") from None
    call.out("\n".join(show.policy(created, call.flag("meta", False))))
    return OK


def _rules(call: Call) -> str:
    """The policy's rules, in the present syntax. Raises CommandError."""
    source, rules = call.flag("from-token"), call.flag("rules")
    if source and rules:
        raise CommandError("Error loading rules: Cannot specify both -rules and -from-token")
    if not source:
        return text_of(rules, "Error loading rules:") if rules else ""
    token = text_of(source, "Error loading rules: Invalid -from-token value:")
    try:
        return translate(rules_of_token(call, token, call.flag("token-secret", False)))
    except (ApiError, CommandError, RulesError) as error:
        raise CommandError(f"Error loading rules: {error}") from None
